"""Audio input, a file or ComfyUI's AUDIO: streamed as 16 kHz mono for Whisper, the original kept for muxing."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch

from ..errors import AudioError
from ..files.scratch import ScratchFolder
from ..media.ffmpeg import FfmpegStream
from ..media.opening import check_file, ffmpeg_input, open_container
from ..media.streams import audio_note, audio_stream, time_base
from ..messages import Note, Remedy
from ..required_packages import importing
from .resample import FFMPEG_FILTER, TARGET_RATE, resampler
from .wav import ensure_float_wav

MAX_CHANNELS = 8
MIN_SAMPLE_RATE = 1000  # Hz; a rate of 1 Hz would make hours out of a few kilobytes
MAX_SAMPLE_RATE = 2**31 - 1  # Hz, what a WAV header and ffmpeg can hold
BLOCK_SAMPLES = 1 << 18  # per channel, read at a time
HASH_BYTES = 1 << 22  # read at a time
# Silence where a stream starts late or has a hole, so that a sample's place tells its time. Other samples stay as is.
FILL_GAPS_FILTER = "aresample=async=1:first_pts=0"
# Bytes of silence in one hole, which ffmpeg holds at once: 23 minutes of stereo at 48 kHz. A damaged stamp may ask for
# days. What goes beyond it ffmpeg silently drops, so that the audio is shorter than declared.
MAX_GAP_BYTES = 1 << 29
MAX_MISSING_SECONDS = 5  # between what a file says and what can be read, from which on a hole must have been left out
TIMESTAMPED_FORMATS = {"mov", "matroska", "mpegts", "avi", "asf", "mxf"}  # the formats in which a sound may have holes


@dataclass(frozen=True, eq=False)
class AudioSource:
    """A sound that has been read through once and found good. Made by `load_audio`."""

    path: Path | None  # the file, or None for a sound in memory
    waveform: torch.Tensor | None  # (C, T), the caller's own tensor of any float dtype, only for a sound in memory
    sample_rate: int  # Hz
    channels: int
    samples: int  # per channel
    digest: str  # hex SHA-256 of the file's bytes, or of the tensor's values with their rate, shape and dtype
    stat: tuple[int, int] | None = field(default=None, repr=False)  # the file's size and mtime_ns when it was read
    stream: int = 0  # which of the file's streams it is
    notes: tuple[Note, ...] = ()  # what of the file is left out

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.samples / self.sample_rate

    @property
    def name(self) -> str:
        """What to call the sound in messages."""
        return str(self.path) if self.path else "the sound"

    def mono16k_blocks(self, block_samples: int = 30 * TARGET_RATE) -> Iterator[torch.Tensor]:
        """Yields the sound as (n,) float32 at 16 kHz mono, about [-1, 1], n = `block_samples` but for the last.

        Channels are averaged at the sound's own rate. (The reference lets ffmpeg mix down, which for stereo is the same
        average and for surround weighs the channels, and rounds to 16 bits; a 16-bit mono file at 16 kHz gives exactly
        int16 / 32768 both ways.)

        Raises:
            AudioError: the file is gone, has changed since it was loaded, or can't be decoded.
        """
        convert = resampler(self.sample_rate)
        if convert:
            return _rechunk(convert(block.mean(dim=0) for block in self._blocks()), block_samples)
        return _rechunk(self._ffmpeg_16k(), block_samples)

    def mono16k(self) -> torch.Tensor:
        """All of `mono16k_blocks` at once, (S,) float32; for short sounds."""
        return torch.cat(list(self.mono16k_blocks()))

    def whole(self) -> torch.Tensor:
        """All of the sound at its own rate, (C, T) float32; for sounds that memory can hold."""
        return torch.cat(list(self._blocks()), dim=1)

    def as_file(self, folder: Path) -> Path:
        """A file with the original sound, untouched, for the mux: the given one, or a 32-bit float WAV in `folder`.

        The WAV is named by its content and written only once.

        Raises:
            AudioError: the file has changed since it was loaded.
            OutputError: `folder` can't be written to.
        """
        if self.path:
            self._check_unchanged(self.path)
            return self.path
        target = Path(folder) / f"sound-{self.digest[:16]}.wav"
        return ensure_float_wav(target, self.sample_rate, self.channels, self.samples, self._blocks())

    def _blocks(self) -> Iterator[torch.Tensor]:
        """Yields the sound at its own rate as (channels, n) float32."""
        if self.waveform is not None:
            for start in range(0, self.samples, BLOCK_SAMPLES):
                yield self.waveform[:, start : start + BLOCK_SAMPLES].to("cpu", torch.float32)
        elif self.path is not None:
            self._check_unchanged(self.path)
            with _Decoder(self.path, self.stream) as decoder:
                yield from decoder

    def _ffmpeg_16k(self) -> Iterator[torch.Tensor]:
        """Yields the sound as (n,) float32 at 16 kHz, resampled by ffmpeg before the channels are averaged."""
        with (
            ScratchFolder() as folder,
            _Decoder(self.as_file(folder), self.stream, FFMPEG_FILTER) as decoder,
        ):
            for block in decoder:
                yield block.mean(dim=0)

    def _check_unchanged(self, path: Path) -> None:
        if _stat(path) != self.stat:
            raise AudioError(f"{path} has changed since it was loaded: load it again.")


def load_audio(source: str | os.PathLike | Mapping | None) -> AudioSource:
    """Reads a sound through once, checks every sample, and returns the way to stream it again.

    Args:
        source: a path of any file that ffmpeg can decode (the first audio stream that has a decoder is taken), or
            ComfyUI's AUDIO: any mapping with "waveform", a float tensor (1, C, T) or (C, T) with 1 to 8 channels, and
            "sample_rate" in Hz.

    Raises:
        AudioError: nothing given, no such file, no sound in it, no samples, a sample that is not finite, or a mapping
            of another form.
    """
    if source is None:
        raise AudioError("No sound was given.", Remedy.GIVE_SOUND)
    if isinstance(source, Mapping):
        return _load_mapping(source)
    if isinstance(source, (str, os.PathLike)):
        return _load_file(Path(source))
    raise AudioError(
        f"A {type(source).__name__} is no sound, which is a waveform with a sample_rate, or a path.", Remedy.GIVE_SOUND
    )


def _load_file(path: Path) -> AudioSource:
    stat = _stat(path)
    with importing("av"):
        import av
    with open_container(path, AudioError) as container:
        stream, note = audio_stream(container), audio_note(container)
        if stream is None and container.streams.audio:
            raise AudioError(f"The codec of {path}'s sound has no decoder here: convert it to WAV first.")
        if stream is None:
            raise AudioError(f"{path} has no audio stream: choose a file with sound.")
        index = stream.index
        stated = 0.0
        if TIMESTAMPED_FORMATS & set(container.format.name.split(",")):
            stated = float(
                (stream.duration or 0) * time_base(stream) or Fraction(container.duration or 0, av.time_base)
            )
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(HASH_BYTES):
                digest.update(piece)
    except OSError as problem:
        raise AudioError(f"{path} can't be read ({problem.strerror}): check its permissions.") from None
    with _Decoder(path, index) as decoder:
        rate, channels = decoder.rate, decoder.channels
        if rate < MIN_SAMPLE_RATE:
            raise AudioError(
                f"{path} has a sample rate of {rate} Hz, below {MIN_SAMPLE_RATE}: give a recording of speech."
            )
        samples = _check_finite(decoder, rate, str(path))
    if channels > MAX_CHANNELS:
        raise AudioError(f"{path} has {channels} channels, more than {MAX_CHANNELS}: mix it down first.")
    is_long = stated * rate * channels * 4 > MAX_GAP_BYTES
    if is_long and stated - samples / rate > MAX_MISSING_SECONDS:
        raise AudioError(
            f"{path} says that its sound lasts {stated:.0f} s, but {samples / rate:.0f} s could be read: it has a hole "
            f"of many minutes, or is damaged; convert it to WAV first."
        )
    notes = (note,) if note else ()
    return AudioSource(path, None, rate, channels, samples, digest.hexdigest(), stat, index, notes)


def _load_mapping(audio: Mapping) -> AudioSource:
    try:
        waveform, rate = audio["waveform"], audio["sample_rate"]
    except KeyError as problem:
        raise AudioError(f"The sound has no {problem}: it must hold a waveform and a sample_rate.") from None
    if not isinstance(waveform, torch.Tensor) or not waveform.is_floating_point():
        kind = waveform.dtype if isinstance(waveform, torch.Tensor) else type(waveform).__name__
        raise AudioError(f"The sound's waveform is {kind}, not a float tensor: convert it to float in -1 to 1.")
    shape = tuple(waveform.shape)
    if waveform.ndim == 3 and shape[0] == 1:
        waveform = waveform[0]
    if waveform.ndim != 2 or not 1 <= waveform.shape[0] <= MAX_CHANNELS:
        raise AudioError(
            f"The sound's waveform has shape {shape}: give one sound as (1, channels, samples), "
            f"1 to {MAX_CHANNELS} channels."
        )
    rate = _checked_sample_rate(rate)
    waveform = waveform.detach()
    channels, samples = waveform.shape
    digest = hashlib.sha256(f"{rate} {channels} {samples} {waveform.dtype}".encode())
    for channel in waveform:
        for piece in channel.split(BLOCK_SAMPLES):
            digest.update(piece.to("cpu").contiguous().view(torch.uint8).numpy().data)
    source = AudioSource(None, waveform, rate, channels, samples, digest.hexdigest())
    _check_finite(source._blocks(), rate, "The sound")
    return source


def _checked_sample_rate(rate: Any) -> int:
    try:
        whole = int(rate)
    except (TypeError, ValueError, OverflowError):
        whole = 0
    if not MIN_SAMPLE_RATE <= whole <= MAX_SAMPLE_RATE or whole != rate:
        raise AudioError(
            f"The sound's sample_rate is {rate!r}: give a whole number of Hz from {MIN_SAMPLE_RATE} on, such as 44100."
        )
    return whole


def _check_finite(blocks: Iterable[torch.Tensor], rate: int, name: str) -> int:
    """The number of samples; raises where there is none or one is not finite."""
    samples = 0
    for block in blocks:
        bad = (~torch.isfinite(block)).any(dim=0).nonzero()
        if len(bad):
            second = (samples + int(bad[0])) / rate
            raise AudioError(
                f"{name} has a sample that is not a finite number at {second:.3f} s: repair or remake the recording."
            )
        samples += block.shape[1]
    if not samples:
        raise AudioError(f"{name} holds no samples: give a sound that lasts.")
    return samples


def _stat(path: Path) -> tuple[int, int]:
    check_file(path, AudioError)
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns


def _rechunk(blocks: Iterable[torch.Tensor], size: int) -> Iterator[torch.Tensor]:
    """Regroups (n,) blocks into (size,) ones; the last holds the rest."""
    buffered = torch.zeros(0)
    for block in blocks:
        buffered = torch.cat([buffered, block])
        while len(buffered) >= size:
            yield buffered[:size]
            buffered = buffered[size:]
    if len(buffered):
        yield buffered


class _Decoder:
    """One of a file's audio streams as (channels, n) float32 blocks at its own rate, or as `filters` make it.

    ffmpeg sends it as an AU file: a header of 24 bytes or more that names rate and channels, then big-endian floats
    until the stream ends.
    """

    def __init__(self, path: Path, stream: int, filters: str | None = None) -> None:
        chain = f"{FILL_GAPS_FILTER},{filters}" if filters else FILL_GAPS_FILTER
        output = ("-map", f"0:{stream}", "-af", chain, "-c:a", "pcm_f32be", "-f", "au", "pipe:1")
        self._path = path
        self._stream = FfmpegStream(
            ["-max_alloc", str(MAX_GAP_BYTES), *ffmpeg_input(path, AudioError), *output],
            error=AudioError,
            what=f"{path} can't be read as a sound, choose another file or convert it",
        )

    def __enter__(self) -> _Decoder:
        self._stream.__enter__()
        try:
            head = self._stream.read(24)
            if len(head) < 24:
                self._stream.finish()
                raise AudioError(f"{self._path} holds no samples: give a sound that lasts.")
            _, start, _, _, self.rate, self.channels = struct.unpack(">6I", head)
            self._stream.read(start - 24)
        except BaseException as problem:
            self._stream.__exit__(type(problem), problem, problem.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.__exit__(kind, problem, trace)

    def __iter__(self) -> Iterator[torch.Tensor]:
        frame = 4 * self.channels  # bytes
        while data := self._stream.read(BLOCK_SAMPLES * frame):
            samples = np.frombuffer(data, ">f4", count=len(data) // frame * self.channels)
            yield torch.from_numpy(samples.astype(np.float32).reshape(-1, self.channels)).T
        self._stream.finish()
