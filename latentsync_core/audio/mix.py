"""Mixes the speakers' voices of a scene into one file, at their own levels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from ..errors import AudioError, OutputError
from ..files.scratch import ScratchFolder, atomic_write
from ..media.downmix import stereo_downmix_filter
from ..media.ffmpeg import run_ffmpeg
from ..media.opening import ffmpeg_input, ffmpeg_output
from ..media.sound_reader import SoundTrack
from ..messages import Remedy
from .source import AudioSource, wav_track


def mixed_track(sources: Sequence[AudioSource], folder: Path) -> SoundTrack:
    """All of the sounds in one track, as long as the longest: a float WAV in `folder`.

    A single sound is left unchanged (`AudioSource.as_track`). Levels are added up, never scaled, so loud voices that
    speak at the same time may pass full scale; the WAV holds that, and its encoder clips it. Mono sounds are in the
    middle.

    Raises:
        AudioError: there is no sound, or one has changed since it was loaded.
        OutputError: `folder` can't be written to.
    """
    if not sources:
        raise AudioError("No sound was given to mix.", Remedy.GIVE_SOUND)
    if len(sources) == 1:
        return sources[0].as_track(folder)
    name = hashlib.sha256(" ".join(sound.digest for sound in sources).encode()).hexdigest()[:16]
    target = Path(folder) / f"mix-{name}.wav"
    rate = max(sound.sample_rate for sound in sources)
    is_stereo = max(sound.channels for sound in sources) > 1
    track = wav_track(target, rate, 2 if is_stereo else 1)
    if target.exists():
        return track
    with ScratchFolder() as scratch:
        _mix([(sound.as_wav(scratch), sound.channels) for sound in sources], target, rate, is_stereo)
    return track


def _mix(files: Sequence[tuple[Path, int]], target: Path, rate: int, is_stereo: bool) -> None:
    """Mixes WAVs, each of that many channels, into a float WAV at `rate` Hz."""
    inputs, branches = [], []
    for number, (file, channels) in enumerate(files):
        layout = "aformat=channel_layouts=stereo" if is_stereo else "aformat=channel_layouts=mono"
        if is_stereo and channels != 2:  # ffmpeg's own way up from mono is 3 dB quieter, and it knows few layouts
            layout = stereo_downmix_filter(channels)
        inputs += ffmpeg_input(file, AudioError)
        branches.append(f"[{number}:0]aresample={rate},{layout}[v{number}]")
    joined = "".join(f"[v{number}]" for number in range(len(files)))
    graph = f"{';'.join(branches)};{joined}amix=inputs={len(files)}:normalize=0:duration=longest"
    try:
        with atomic_write(target) as partial:
            run_ffmpeg(
                ["-y", *inputs, "-filter_complex", graph, "-c:a", "pcm_f32le", ffmpeg_output(partial)],
                error=OutputError,
                what="Can't mix the voices",
            )
    except OSError as problem:
        raise OutputError(
            f"The mixed voices can't be written to {target} ({problem.strerror or problem}): free some room there."
        ) from None
