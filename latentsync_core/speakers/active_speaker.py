"""Finds who of a clip speaks when, by its own sound and the filmed mouths."""

from __future__ import annotations

from pathlib import Path

from ..audio.source import AudioSource, load_audio
from ..errors import AudioError
from ..evaluation.syncnet import load_syncnet
from ..faces.face_tracks import FaceTracks
from ..faces.speaking import SpeechSegment
from ..messages import Remedy
from ..progress import Progress
from ..video.clip import Clip
from .decision import speech_segments
from .kept_signals import read_signals, signals_path, write_signals
from .signals import measure_signals


def original_sound(clip: Clip) -> AudioSource:
    """The sound that a clip was filmed with: that of its own file.

    Raises:
        AudioError: it has none, or it can't be read.
    """
    if clip.identity is None or clip.audio_codec is None:
        raise AudioError(f"who speaks can't be found: {clip.name} has no sound of its own", Remedy.GIVE_ORIGINAL_SOUND)
    return load_audio(clip.identity.path, clip)


def find_speech(
    faces: FaceTracks, original: AudioSource, folder: Path | None = None, on_progress: Progress | None = None
) -> tuple[SpeechSegment, ...]:
    """All speech of the clip, and which track speaks in each segment of it.

    Args:
        original: the sound that the clip was filmed with, beginning with its first frame.
        folder: where the measured signals are kept, so that a second run measures nothing; None keeps none.
        on_progress: counts frames; raising from it cancels.

    Raises:
        AudioError, VideoError, OutputError.
    """
    path = None if folder is None else signals_path(folder, faces, original)
    signals = None if path is None else read_signals(path, len(faces.tracks), faces.clip.frame_count)
    if signals is None:
        signals = measure_signals(faces, original, load_syncnet(), on_progress)
        if path is not None:
            write_signals(signals, path)
    return speech_segments(signals, faces.shots)
