"""The one decoder of sound: any file's tracks as blocks of samples whose places tell their times."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from ..errors import AudioError
from .downmix import Channels, downmix_channels
from .opening import open_container, unreadable_message
from .streams import time_base

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from typing_extensions import Self

PREROLL = Fraction(1)  # seconds decoded ahead of a track's start: more preroll than any codec needs
# Seconds: a jump beyond it is a hole in the sound; less is how coarsely a container keeps time.
MIN_GAP_SECONDS = Fraction(1, 100)
MIN_RESTART_SECONDS = 1  # a clock that goes back by more than that has begun again: chunks were joined
BLOCK_SAMPLES = 1 << 18  # per channel, yielded at a time
# Seconds of silence in one hole of a sound that is read to its end. A damaged stamp may ask for days.
MAX_HOLE_SECONDS = 1800
# The formats whose stamps tell holes. In others, what follows in the file follows in time: the stamps of joined chunks
# (MP3s, Ogg chains) begin again or count in the first chunk's rate.
TIMESTAMPED_FORMATS = {"mov", "matroska", "mpegts", "avi", "asf", "mxf", "flv", "gxf", "wtv", "nut"}


@dataclass(frozen=True)
class SoundTrack:
    """Where a sound lies, and from when on: what is needed to decode it, or to copy its packets."""

    path: Path
    streams: tuple[int, ...]  # of the file; several are averaged
    start: Fraction  # seconds on the file's clock at which the sound begins: what lies before is left out
    first: Fraction  # seconds on the file's clock at which the first sample plays
    rate: int  # Hz
    channels: int
    layout: str | None  # ffmpeg's name for the channels' places; None where the file doesn't tell
    codec: str  # of the first stream, as its decoder is called
    is_uniform: bool  # every packet has this rate and these channels


def sound_track(path: Path, streams: tuple[int, ...]) -> SoundTrack | None:
    """The sound of a file's streams, from its first sample on; None where they hold no samples.

    Raises:
        AudioError: the file can't be read, or no packet of a stream can be decoded.
    """
    begun = [found for index in streams if (found := _first_frame(path, index)) is not None]
    if not begun:
        return None
    first = min(seconds for seconds, _, _ in begun)
    frames = [frame for _, frame, _ in begun]
    if min(frame.sample_rate for frame in frames) < 1:
        raise AudioError(f"The sound of {path} states no sample rate: export it again, as WAV.")
    layout = frames[0].layout
    return SoundTrack(
        path=path,
        streams=streams,
        start=first,
        first=first,
        rate=max(frame.sample_rate for frame in frames),
        channels=max(frame.layout.nb_channels for frame in frames),
        layout=None if "channels" in layout.name else layout.name,
        codec=begun[0][2],
        is_uniform=True,
    )


def _first_frame(path: Path, index: int) -> tuple[Fraction, AudioFrame, str] | None:
    """When a stream's first sample plays, in seconds on the file's clock, the frame that holds it, and the codec."""
    with open_container(path, AudioError) as container:
        stream = container.streams[index]
        tick = time_base(stream)
        for frame in decoded_frames(container, stream, path):
            return (frame.pts or 0) * tick, frame, stream.codec_context.name
    return None


class SoundReader:
    """A track in blocks of (channels, n) float32, about [-1, 1], n = BLOCK_SAMPLES but for the last. A context manager.

    Sample 0 plays at the track's start. Each sample lands where its stamp says, silence between, exact to the sample
    where the container tells times that finely (mp4, mov), within half a millisecond in Matroska. Chunks of another
    rate or of other channels are converted to the track's. The same track gives the same bits each time.

    Args:
        samples: how many to yield in all: cut, or padded with silence. None: to the sound's end.

    Raises, while reading:
        AudioError: the file can't be read or decoded, or has a hole of more than MAX_HOLE_SECONDS and `samples` is
            None.
    """

    def __init__(self, track: SoundTrack, samples: int | None = None) -> None:
        self._track, self._samples = track, samples
        self.formats: set[tuple[int, int]] = set()  # rate and channels of what was decoded so far

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            self._containers = [
                opened.enter_context(open_container(self._track.path, AudioError)) for _ in self._track.streams
            ]
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *problem: object) -> None:
        self._opened.close()

    def __iter__(self) -> Iterator[torch.Tensor]:
        tracks = [
            _rechunk(self._placed(container, index))
            for container, index in zip(self._containers, self._track.streams, strict=True)
        ]
        if len(tracks) == 1:
            yield from tracks[0]
            return
        while blocks := [block for block in (next(track, None) for track in tracks) if block is not None]:
            mixed = torch.zeros(self._track.channels, max(block.shape[1] for block in blocks))
            for block in blocks:
                mixed[:, : block.shape[1]] += block
            yield mixed / len(tracks)

    def joined_track(self) -> SoundTrack:
        """The track as it should be read, once it has been read: the highest rate and the most channels of all chunks
        that its file joins, and no copying where there are several kinds."""
        if len(self.formats) < 2:
            return self._track
        rate, channels = (max(values) for values in zip(*self.formats, strict=True))
        return dataclasses.replace(self._track, rate=rate, channels=channels, layout=None, is_uniform=False)

    def _placed(self, container: InputContainer, index: int) -> Iterator[torch.Tensor]:
        """Yields one stream's samples from the track's start on, without holes."""
        rate, channels, limit = self._track.rate, self._track.channels, self._samples
        is_stamped = bool(TIMESTAMPED_FORMATS & set(container.format.name.split(",")))
        done = 0  # samples yielded
        place = _Place(_SampleClock(time_base(container.streams[index]), self._track.start, rate))
        was_negative = False  # whether the last stamp was
        end = _stated_end(container, index)
        for timestamp, block, is_last in _marking_last(self._converted(container, index, place)):
            position = place.expected
            if timestamp is not None and (position is None or is_stamped):
                stamped = place.clock.sample_at(timestamp) + place.shift
                if position is not None and position - stamped > MIN_RESTART_SECONDS * rate:
                    place.shift += position - stamped
                elif position is None or abs(stamped - position) > MIN_GAP_SECONDS * rate:
                    position = stamped
                elif (timestamp < 0 or was_negative) and not done:
                    # FFmpeg counts Matroska's stamps below zero back from it, in packets of whole milliseconds: the
                    # nearer to zero, the truer they are.
                    position = stamped
                was_negative = timestamp < 0
            position = position or 0
            place.expected = position + block.shape[1]
            if is_last and end is not None:  # the last packet's padding isn't part of the sound
                stated = round((end - self._track.start) * rate) + place.shift
                if position < stated < place.expected:
                    block = block[:, : stated - position]
            block = block[:, max(0, done - position) :]
            position = max(position, done)
            if limit is not None:
                block = block[:, : max(0, limit - position)]
                if position >= limit:
                    break
            elif position - done > MAX_HOLE_SECONDS * rate:
                raise AudioError(
                    f"The sound of {self._track.path} has a hole of many minutes at {done / rate:.0f} s, or is "
                    f"damaged: cut it, or convert it to WAV first."
                )
            if block.shape[1]:
                yield from _silence(channels, position - done)
                yield block
                done = position + block.shape[1]
        if limit is not None:
            yield from _silence(channels, limit - done)

    def _converted(
        self, container: InputContainer, index: int, place: _Place
    ) -> Iterator[tuple[int | None, torch.Tensor]]:
        """Yields (stamp in the stream's ticks, (channels, n) float32) at the track's rate.

        Blocks that lie well before the track's start count, but aren't converted, which takes most of the time.
        """
        stream = cast("AudioStream", container.streams[index])
        tick, rate = time_base(stream), self._track.rate
        begin = self._track.start
        if begin - self._track.first > 2 * PREROLL and (1 / tick) % rate == 0:
            # only where stamps are as fine as samples: elsewhere the way there would move the samples
            container.seek(int((begin - PREROLL) / tick), stream=stream, backward=True)
        convert: _Converter | None = None
        unconverted = torch.zeros(self._track.channels, 1)
        for frame in decoded_frames(container, stream, self._track.path):
            kind = (frame.sample_rate, frame.layout.name, frame.format.name)
            self.formats.add((frame.sample_rate, frame.layout.nb_channels))
            if convert is None or convert.kind != kind:
                if convert is not None:
                    yield None, convert.rest()
                convert = _Converter(frame, rate, self._track.channels)
            if convert.keeps_rate and place.is_before_start(frame.pts, frame.samples):
                yield frame.pts, unconverted.expand(-1, frame.samples)
            else:
                yield frame.pts, convert(frame)
        if convert is not None:
            yield None, convert.rest()


class _SampleClock:
    """Turns a stream's stamps into samples after the track's start: in whole numbers, since there are many stamps."""

    def __init__(self, tick: Fraction, start: Fraction, rate: int) -> None:
        scale, offset = tick * rate, start * rate
        self._denominator = scale.denominator * offset.denominator
        self._factor = scale.numerator * offset.denominator
        self._offset = offset.numerator * scale.denominator
        self.margin = int(PREROLL * rate)

    def sample_at(self, stamp: int) -> int:
        """The nearest sample, the even one of two."""
        whole, rest = divmod(stamp * self._factor - self._offset, self._denominator)
        return whole + (2 * rest > self._denominator or (2 * rest == self._denominator and whole % 2))


@dataclass
class _Place:
    """Where a stream's samples are being placed."""

    clock: _SampleClock
    expected: int | None = None  # where the next decoded sample would go if there is no hole
    shift: int = 0  # samples that joined chunks' stamps are late by

    def is_before_start(self, stamp: int | None, samples: int) -> bool:
        """Whether a block ends before the track's start, wherever it is placed: by its stamp, or after the last one."""
        if stamp is None or self.expected is None:
            return False
        margin = max(self.clock.margin, 4 * samples)  # what is known here is up to two blocks old
        return max(self.clock.sample_at(stamp) + self.shift, self.expected) + margin < 0


def _stated_end(container: InputContainer, index: int) -> Fraction | None:
    """When a stream ends by an MP4's or MOV's tables, in seconds on the file's clock: within its last packet.

    FFmpeg before 9 decodes that packet to its end.
    """
    stream = container.streams[index]
    if "mov" not in container.format.name.split(",") or stream.start_time is None or not stream.duration:
        return None
    return (stream.start_time + stream.duration) * time_base(stream)


def _marking_last(
    blocks: Iterator[tuple[int | None, torch.Tensor]],
) -> Iterator[tuple[int | None, torch.Tensor, bool]]:
    """Leaves out empty blocks and says of each whether it is the last one."""
    held: tuple[int | None, torch.Tensor] | None = None
    for timestamp, block in blocks:
        if block.shape[1]:
            if held is not None:
                yield (*held, False)
            held = timestamp, block
    if held is not None:
        yield (*held, True)


def decoded_frames(container: InputContainer, stream: AudioStream, path: Path) -> Iterator[AudioFrame]:
    """What a stream's packets decode to, one frame at a time; a packet that can't be decoded leaves a hole.

    Raises:
        AudioError: not one packet could be decoded.
    """
    from av.error import FFmpegError

    failure: FFmpegError | None = None
    decoded = False
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError as problem:  # what follows can't be reached
            failure = problem
            break
        if packet is None:
            break
        try:
            frames = packet.decode()
        except FFmpegError as problem:
            failure = problem
            continue
        for frame in frames:
            decoded = True
            yield frame
    if failure and not decoded:
        raise AudioError(unreadable_message(path, failure, AudioError))


class _Converter:
    """Turns decoded frames of one kind into (channels, n) float32 at a rate; integers are divided by their range.

    PyAV's own `to_ndarray` and `planes` read past the end of a planar frame's list from 8 channels on, which can end
    the process; its resampler interleaves the channels first, and changes no value where the rate stays.
    """

    def __init__(self, frame: AudioFrame, rate: int, channels: int) -> None:
        import av

        self.kind = (frame.sample_rate, frame.layout.name, frame.format.name)
        self._ratio = Fraction(rate, frame.sample_rate)
        self._own_channels, self._channels = frame.layout.nb_channels, channels
        self._resampler = av.AudioResampler("flt", frame.layout, rate)
        self._taken = self._made = 0

    @property
    def keeps_rate(self) -> bool:
        """Whether a frame's samples depend on that frame alone, and are as many."""
        return self._ratio == 1

    def __call__(self, frame: AudioFrame) -> torch.Tensor:
        self._taken += frame.samples
        return self._blocks(frame)

    def rest(self) -> torch.Tensor:
        """What the resampler still holds: after it, as many samples came out as the rates' ratio asks."""
        if self._ratio == 1:
            return torch.zeros(self._channels, 0)
        rest = self._blocks(None)
        surplus = self._made - round(self._taken * self._ratio)
        if surplus > 0:
            return rest[:, : max(0, rest.shape[1] - surplus)]
        return torch.cat([rest, torch.zeros(self._channels, -surplus)], dim=1)

    def _blocks(self, frame: AudioFrame | None) -> torch.Tensor:
        count = self._own_channels
        parts = [
            np.frombuffer(memoryview(part.planes[0]), np.float32, count=part.samples * count).reshape(-1, count)
            for part in self._resampler.resample(frame)
        ]
        block = np.concatenate(parts).T.copy() if parts else np.zeros((count, 0), np.float32)
        self._made += block.shape[1]
        return _with_channels(torch.from_numpy(block), self._channels)


def _with_channels(block: torch.Tensor, channels: int) -> torch.Tensor:
    """(C, n) → (channels, n): one channel goes to the left and right, more are mixed down or get silent ones beside."""
    count, samples = block.shape
    if count == channels:
        return block
    if count == 1:
        return torch.cat([block.expand(2, -1), torch.zeros(channels - 2, samples)])
    if channels <= 2:
        return downmix_channels(block, Channels.MONO if channels == 1 else Channels.STEREO)
    if count > channels:
        block = downmix_channels(block, Channels.STEREO)
    return torch.cat([block, torch.zeros(channels - len(block), samples)])


def _rechunk(blocks: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Regroups (C, n) blocks into (C, BLOCK_SAMPLES) ones; the last holds the rest."""
    waiting: list[torch.Tensor] = []
    held = 0
    for block in blocks:
        waiting.append(block)
        held += block.shape[1]
        if held >= BLOCK_SAMPLES:
            *whole, rest = torch.cat(waiting, dim=1).split(BLOCK_SAMPLES, dim=1)
            if rest.shape[1] == BLOCK_SAMPLES:
                whole, rest = [*whole, rest], rest[:, :0]
            yield from whole
            waiting, held = [rest.clone()], rest.shape[1]
    if held:
        yield torch.cat(waiting, dim=1)


def _silence(channels: int, samples: int) -> Iterator[torch.Tensor]:
    for start in range(0, samples, BLOCK_SAMPLES):
        yield torch.zeros(channels, min(BLOCK_SAMPLES, samples - start))
