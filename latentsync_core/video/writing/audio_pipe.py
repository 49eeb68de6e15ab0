"""Feeds a sound's samples into the pipe to ffmpeg, beside the frames that they play with."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from ...media.sound_reader import SoundReader
from .audio_plan import AudioPlan

if TYPE_CHECKING:
    from av.container import OutputContainer

PACKET_SAMPLES = 4096  # per channel


class AudioPipe:
    """Decodes a plan's track as the picture goes on: exactly as many samples as the picture lasts.

    Args:
        pipe: what frames go into; its header isn't written yet.
        begin: when the sound begins, in seconds on the output's clock.
        seconds: how long the picture lasts.
    """

    def __init__(self, pipe: OutputContainer, plan: AudioPlan, begin: Fraction, seconds: Fraction) -> None:
        track = plan.track
        self._pipe, self._rate = pipe, track.rate
        self._next = self._begin = plan.first_tick(begin)
        self._stop = self._begin + plan.samples(seconds)
        self._stream = pipe.add_stream("pcm_f32le", rate=track.rate, layout=f"{track.channels}c")
        self._stream.time_base = Fraction(1, track.rate)
        self._reader = SoundReader(track, plan.samples(seconds))
        self._reader.__enter__()
        self._packets = self._read_packets()

    def write_until(self, seconds: Fraction) -> None:
        """Writes what plays before `seconds` after the sound's begin, or before a little later."""
        import av

        until = self._begin + round(seconds * self._rate)
        while self._next < min(until, self._stop):
            samples = next(self._packets)
            packet = av.Packet(samples)  # pyright: ignore[reportArgumentType]  # any buffer will do; the stub names bytes
            packet.pts = packet.dts = self._next
            packet.duration = len(samples)
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, self._rate), self._stream, True
            self._pipe.mux(packet)
            self._next += len(samples)

    def close(self) -> None:
        """Closes the sound's file."""
        self._reader.__exit__(None, None, None)

    def _read_packets(self) -> Iterator[np.ndarray]:
        """Yields (n, channels) float32 of PACKET_SAMPLES, fewer only at the end of a block."""
        for block in self._reader:
            for piece in block.split(PACKET_SAMPLES, dim=1):
                yield piece.T.contiguous().numpy()
