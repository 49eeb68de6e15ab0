"""Audio input, a file or ComfyUI's AUDIO: streamed as 16 kHz mono for Whisper, the original kept for muxing."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import AudioError
from ..files.scratch import ScratchFolder
from ..media.downmix import to_mono
from ..media.ffmpeg import FfmpegStream
from ..media.opening import check_file, ffmpeg_input
from ..media.sound_reader import BLOCK_SAMPLES, SoundReader, SoundTrack
from ..messages import Note, Remedy
from ..video.clip import Clip
from .resample import FFMPEG_FILTER, TARGET_RATE, resampler
from .sound_tracks import find_track
from .survey import survey
from .track_choice import TrackChoice
from .wav import ensure_float_wav, write_float_wav

MAX_CHANNELS = 8
MIN_SAMPLE_RATE = 1000  # Hz; a rate of 1 Hz would make hours out of a few kilobytes
MAX_SAMPLE_RATE = 2**31 - 1  # Hz, what a WAV header and ffmpeg can hold
HASH_BYTES = 1 << 22  # read at a time


@dataclass(frozen=True, eq=False)
class AudioSource:
    """A sound that has been read through once and found good. Made by `load_audio`."""

    track: SoundTrack | None  # where it lies in a file, or None for a sound in memory
    waveform: torch.Tensor | None  # (C, T), the caller's own tensor of any float dtype, only for a sound in memory
    sample_rate: int  # Hz
    channels: int
    samples: int  # per channel
    digest: str  # hex SHA-256 of the file's bytes, or of the tensor's values with their rate, shape and dtype
    stat: tuple[int, int] | None = field(default=None, repr=False)  # the file's size and mtime_ns when it was read
    notes: tuple[Note, ...] = ()  # what of the file is left out, and what is odd about the sound
    mono_channel: int | None = None  # the channel that is the voice, where the mean of all would cancel

    @property
    def path(self) -> Path | None:
        """The sound's file; None for a sound in memory."""
        return self.track.path if self.track else None

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

        Channels are averaged at the sound's own rate, or one stands for all where they would cancel. (The reference
        lets ffmpeg mix down, which for stereo is the same average and for surround weighs the channels, and rounds to
        16 bits; a 16-bit mono file at 16 kHz gives exactly int16 / 32768 both ways.)

        Raises:
            AudioError: the file is gone, has changed since it was loaded, or can't be decoded.
        """
        convert = resampler(self.sample_rate)
        if convert:
            return _rechunk(convert(self._mono_blocks()), block_samples)
        return _rechunk(self._ffmpeg_16k(), block_samples)

    def mono16k(self) -> torch.Tensor:
        """All of `mono16k_blocks` at once, (S,) float32; for short sounds."""
        return torch.cat(list(self.mono16k_blocks()))

    def whole(self) -> torch.Tensor:
        """All of the sound at its own rate, (C, T) float32; for sounds that memory can hold."""
        return torch.cat(list(self._blocks()), dim=1)

    def as_track(self, folder: Path) -> SoundTrack:
        """Where the original sound lies, untouched, for the mux: in the given file, or a 32-bit float WAV in `folder`.

        The WAV is named by its content and written only once.

        Raises:
            AudioError: the file has changed since it was loaded.
            OutputError: `folder` can't be written to.
        """
        if self.track:
            self._check_unchanged(self.track.path)
            return self.track
        return wav_track(self.as_wav(folder), self.sample_rate, self.channels)

    def as_wav(self, folder: Path) -> Path:
        """The whole sound as a 32-bit float WAV in `folder`, named by its content and written only once.

        Raises:
            AudioError: the file has changed since it was loaded.
            OutputError: `folder` can't be written to.
        """
        target = Path(folder) / f"sound-{self.digest[:16]}.wav"
        return ensure_float_wav(target, self.sample_rate, self.channels, self.samples, self._blocks())

    def _blocks(self) -> Iterator[torch.Tensor]:
        """Yields the sound at its own rate as (channels, n) float32."""
        if self.waveform is not None:
            for start in range(0, self.samples, BLOCK_SAMPLES):
                yield self.waveform[:, start : start + BLOCK_SAMPLES].to("cpu", torch.float32)
        elif self.track is not None:
            self._check_unchanged(self.track.path)
            with SoundReader(self.track) as reader:
                yield from reader

    def _mono_blocks(self) -> Iterator[torch.Tensor]:
        return (to_mono(block, self.mono_channel) for block in self._blocks())

    def _ffmpeg_16k(self) -> Iterator[torch.Tensor]:
        """Yields the sound as (n,) float32 at 16 kHz, mixed to mono and then resampled by ffmpeg."""
        with ScratchFolder() as folder:
            mono = folder / "mono.wav"
            write_float_wav(mono, self.sample_rate, 1, self.samples, (block[None] for block in self._mono_blocks()))
            yield from _resampled_by_ffmpeg(mono)

    def _check_unchanged(self, path: Path) -> None:
        if _stat(path) != self.stat:
            raise AudioError(f"{path} has changed since it was loaded: load it again.")


def load_audio(
    source: str | os.PathLike | Mapping | None, clip: Clip | None = None, tracks: TrackChoice = TrackChoice.FIRST
) -> AudioSource:
    """Reads a sound through once, checks every sample, and returns the way to stream it again.

    Args:
        source: a path of any file that ffmpeg can decode, or ComfyUI's AUDIO: any mapping with "waveform", a float
            tensor (1, C, T) or (C, T) with 1 to 8 channels, and "sample_rate" in Hz. The sound of a file with a picture
            begins with the first frame that is shown.
        clip: the clip that the sound goes with. The sound of the clip's own file begins with the clip's first frame.
        tracks: which of a file's audio tracks make the sound.

    Raises:
        AudioError: nothing given, no such file, no sound in it, no samples, a sample that is not finite, or a mapping
            of another form.
    """
    if source is None:
        raise AudioError("No sound was given.", Remedy.GIVE_SOUND)
    if isinstance(source, Mapping):
        return _load_mapping(source)
    if isinstance(source, (str, os.PathLike)):
        return _load_file(Path(source), clip, tracks)
    raise AudioError(
        f"A {type(source).__name__} is no sound, which is a waveform with a sample_rate, or a path.", Remedy.GIVE_SOUND
    )


def wav_track(path: Path, rate: int, channels: int) -> SoundTrack:
    """The track of a WAV that this package wrote."""
    return SoundTrack(path, (0,), Fraction(0), Fraction(0), rate, channels, None, "pcm_f32le", is_uniform=True)


def _load_file(path: Path, clip: Clip | None, tracks: TrackChoice) -> AudioSource:
    stat = _stat(path)
    track, notes = find_track(path, clip, tracks)
    if track.rate < MIN_SAMPLE_RATE:
        raise AudioError(
            f"{path} has a sample rate of {track.rate} Hz, below {MIN_SAMPLE_RATE}: give a recording of speech."
        )
    if track.channels > MAX_CHANNELS:
        raise AudioError(f"{path} has {track.channels} channels, more than {MAX_CHANNELS}: mix it down first.")
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(HASH_BYTES):
                digest.update(piece)
    except OSError as problem:
        raise AudioError(f"{path} can't be read ({problem.strerror}): check its permissions.") from None
    with SoundReader(track) as reader:
        found = survey(reader, track.rate, str(path))
    joined = reader.joined_track()
    if joined is not track:
        track = joined
        with SoundReader(track) as reader:
            found = survey(reader, track.rate, str(path))
    if track.start != track.first or len(track.streams) > 1 or not track.is_uniform or found.mono_channel is not None:
        digest.update(f"{track.start} {track.streams} {track.is_uniform} {found.mono_channel}".encode())
    return AudioSource(
        track, None, track.rate, track.channels, found.samples, digest.hexdigest(), stat,
        (*notes, *found.notes(path.name)), found.mono_channel,
    )  # fmt: skip


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
    found = survey(source._blocks(), rate, "The sound")
    if found.mono_channel is not None:
        digest.update(f"{found.mono_channel}".encode())
    return dataclasses.replace(
        source, digest=digest.hexdigest(), notes=found.notes("the sound"), mono_channel=found.mono_channel
    )


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


def _resampled_by_ffmpeg(mono: Path) -> Iterator[torch.Tensor]:
    """Yields a WAV of one channel as (n,) float32 at 16 kHz.

    ffmpeg sends it as an AU file: a header of 24 bytes or more, then big-endian floats until the stream ends.
    """
    args = [*ffmpeg_input(mono, AudioError), "-af", FFMPEG_FILTER, "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
    with FfmpegStream(args, error=AudioError, what="The voice can't be resampled") as stream:
        head = stream.read(24)
        if len(head) == 24:
            stream.read(struct.unpack(">I", head[4:8])[0] - 24)
        while data := stream.read(BLOCK_SAMPLES * 4):
            yield torch.from_numpy(np.frombuffer(data, ">f4").astype(np.float32))
        stream.finish()
