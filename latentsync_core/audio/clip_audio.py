"""A clip's own audio: exactly the part that belongs to its frames, without decoding one of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..errors import AudioError
from ..media.opening import open_container
from ..media.streams import audio_stream, time_base
from ..messages import Remedy
from ..video.clip import Clip
from ..video.reading.probing import check_identity
from .wav import ensure_float_wav

if TYPE_CHECKING:
    import av

PREROLL = Fraction(1)  # seconds decoded ahead of the clip: more preroll than any codec needs
# Seconds: a jump beyond it is a hole in the sound; less is how coarsely a container keeps time.
MIN_GAP_SECONDS = Fraction(1, 100)
BLOCK_SAMPLES = 1 << 18  # per channel, of silence at a time
MAX_AUDIO_BYTES = 16 << 30  # of a sound in memory: 11 hours of stereo
# A stamp that lies makes a clip of days out of a few bytes, nearly all of it silence: a sound may take this many times
# the bytes of its whole file, and this many more. Speech at 16 kbit/s takes 200 times as many.
MAX_EXPANSION_RATIO, MIN_SIZE_LIMIT = 1000, 256 << 20
START_TOLERANCE_SECONDS = Fraction(1, 1000)  # seconds, as fine as any container keeps time


def clip_audio(clip: Clip) -> tuple[torch.Tensor, int]:
    """The sound of a file's clip: (C, T) float32, about [-1, 1], and its rate in Hz. All of it sits in memory.

    Sample 0 plays as frame 0 begins, and T is the clip's length: where the file's sound begins later, ends earlier
    or has a hole, there is silence. Channels and rate are the file's own. Exact to the sample where the container tells
    times that finely (mp4, mov), within half a millisecond in Matroska.

    Raises:
        AudioError: the clip is no file's, its file has no sound, that can't be decoded, or it is too long to be held.
        ClipChangedError: the file is not the one that was probed.
    """
    with _ClipAudioReader(clip) as sound:
        return torch.cat(list(sound), dim=1), sound.rate


def clip_audio_file(clip: Clip, folder: Path) -> Path:
    """A file with the clip's own sound, as FrameWriter takes it: the clip's file itself where that begins with frame 0
    (its sound can then be copied without loss), else a 32-bit float WAV of `clip_audio` in `folder`.

    Raises:
        AudioError, ClipChangedError: as `clip_audio`.
        OutputError: `folder` can't be written to.
    """
    with _ClipAudioReader(clip) as sound:
        if sound.begins_with_clip:
            return sound.identity.path
        facts = f"{sound.identity.digest} {sound.identity.mtime_ns} {clip.first_frame} {clip.frame_count}"
        target = Path(folder) / f"clip-sound-{hashlib.sha256(facts.encode()).hexdigest()[:16]}.wav"
        return ensure_float_wav(target, sound.rate, sound.channels, sound.samples, sound)


class _ClipAudioReader:
    """A clip's sound in blocks of (channels, n) float32, `samples` long in all. A context manager."""

    def __init__(self, clip: Clip) -> None:
        if clip.identity is None or clip.pictures:
            raise AudioError("A clip of images in memory has no sound of its own.", Remedy.GIVE_SOUND)
        check_identity(clip)
        self._clip, self.identity = clip, clip.identity

    def __enter__(self) -> _ClipAudioReader:
        path = self.identity.path
        self._container = open_container(path, AudioError)
        stream = audio_stream(self._container)
        if stream is None:
            silent = not self._container.streams.audio
            self._container.close()
            reason = "has no sound in it" if silent else "has sound in codecs that have no decoder here"
            raise AudioError(f"{path} {reason}.", Remedy.GIVE_SOUND)
        self.rate: int = stream.codec_context.sample_rate
        self.channels: int = stream.codec_context.layout.nb_channels
        self._start = int(self._clip.pts[0]) * self._clip.time_base  # on the file's clock
        last = int(self._clip.pts[-1] - self._clip.pts[0]) * self._clip.time_base
        self.samples: int = max(1, round((last + 1 / self._clip.fps) * self.rate))
        self._stream = stream
        size = self.samples * self.channels * 4
        if size > min(MAX_AUDIO_BYTES, MAX_EXPANSION_RATIO * self.identity.size + MIN_SIZE_LIMIT):
            self._container.close()
            raise AudioError(
                f"The sound of {path} would take {size / 1e9:.1f} GB of memory ({self._clip.duration:.0f} s of "
                f"{self.channels} channels): use a shorter part of the clip, or repair its times."
            )
        return self

    def __exit__(self, *problem: object) -> None:
        self._container.close()

    @property
    def begins_with_clip(self) -> bool:
        """Whether the file's own clock begins with the clip's frame 0."""
        import av

        begin = Fraction(self._container.start_time or 0, av.time_base)
        return self._clip.first_frame == 0 and abs(begin - self._start) <= START_TOLERANCE_SECONDS

    def __iter__(self) -> Iterator[torch.Tensor]:
        """Yields `samples` samples; each of the file's lands where its stamp says, silence between."""
        done = 0  # samples yielded
        expected_position: int | None = None  # where the next decoded sample would go if there is no hole
        for timestamp, block in self._decode():
            position = expected_position
            if timestamp is not None:
                stamped = round((timestamp - self._start) * self.rate)
                if position is None or abs(stamped - position) > MIN_GAP_SECONDS * self.rate:
                    position = stamped
            position = position or 0
            expected_position = position + block.shape[1]
            block = block[:, max(0, done - position) : max(0, self.samples - position)]
            position = max(position, done)
            if not block.shape[1]:
                if position >= self.samples:
                    break
                continue
            yield from self._silence(position - done)
            yield block
            done = position + block.shape[1]
        yield from self._silence(self.samples - done)

    def _silence(self, samples: int) -> Iterator[torch.Tensor]:
        for start in range(0, samples, BLOCK_SAMPLES):
            yield torch.zeros(self.channels, min(BLOCK_SAMPLES, samples - start))

    def _decode(self) -> Iterator[tuple[Fraction | None, torch.Tensor]]:
        """Yields (seconds on the file's clock, (channels, n) float32) from the clip's begin or some time ahead."""
        from av.error import FFmpegError

        path = self.identity.path
        stream = self._stream
        tick = time_base(stream)
        if self._start > 2 * PREROLL and (1 / tick) % self.rate == 0:
            # only where stamps are as fine as samples: elsewhere the way there would move the samples
            self._container.seek(int((self._start - PREROLL) / tick), stream=stream, backward=True)
        failure = None
        decoded = False
        to_float = _FloatConverter()
        for packet in self._container.demux(stream):
            try:
                frames = packet.decode()
            except FFmpegError as problem:  # the hole that it leaves is filled
                failure = problem.strerror or problem
                continue
            for frame in frames:
                if frame.sample_rate != self.rate or frame.layout.nb_channels != self.channels:
                    raise AudioError(
                        f"The sound of {path} changes from {self.rate} Hz and {self.channels} channels to "
                        f"{frame.sample_rate} Hz and {frame.layout.nb_channels}: convert it first."
                    )
                decoded = True
                yield None if frame.pts is None else frame.pts * tick, to_float(frame)
        if failure and not decoded:
            raise AudioError(f"The sound of {path} can't be decoded ({failure}).")


class _FloatConverter:
    """Turns decoded frames into (channels, n) float32; integers are divided by their range.

    PyAV's own `to_ndarray` and `planes` read past the end of a planar frame's list from 8 channels on, which can end
    the process; its resampler interleaves the channels first, and changes no value.
    """

    def __init__(self) -> None:
        self._resamplers: dict[tuple, av.AudioResampler] = {}

    def __call__(self, frame: av.AudioFrame) -> torch.Tensor:
        import av

        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind not in self._resamplers:
            self._resamplers[kind] = av.AudioResampler("flt", frame.layout, frame.sample_rate)
        channels = frame.layout.nb_channels
        blocks = [
            np.frombuffer(memoryview(part.planes[0]), np.float32, count=part.samples * channels).reshape(-1, channels)
            for part in self._resamplers[kind].resample(frame)
        ]
        return torch.from_numpy(np.concatenate(blocks).T.copy() if blocks else np.zeros((channels, 0), np.float32))
