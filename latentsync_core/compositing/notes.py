"""What the user should know of a finished job: how much was synced, where not and why, and what was cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..audio.pause_options import PauseBehaviour
from ..audio.source import AudioSource
from ..faces.limits import Outcome
from ..faces.report import MAX_LINES, OUTCOME_LABELS, outcome_runs
from ..messages import Note, NoteLevel, Remedy
from ..models.model import LatentSyncModel
from ..runs import runs_where
from ..sampling.synced_faces import SyncedFaces
from ..video.clip import Clip

SYNCED_OUTCOMES = (Outcome.SYNCED, Outcome.FADED)
PAUSE_LABELS = {
    PauseBehaviour.CLOSED: "silence drives the mouth there",
    PauseBehaviour.ORIGINAL: "the filmed mouth shows there",
}
MAX_ENLARGEMENT = 1.5  # of a generated crop to its place in the frame; beyond, it looks softer than the rest


def job_notes(
    synced_per_speaker: Sequence[SyncedFaces], written: Iterable[Note], mux: AudioSource | None = None
) -> tuple[Note, ...]:
    """Everything about the files of a job: what was left out of them, cut or converted; each note once.

    Args:
        synced_per_speaker: the new faces, all over the same frames of one clip.
        written: the writers' own notes.
        mux: the sound of the result, where it isn't the voices.
    """
    voices = [synced.audio.source for synced in synced_per_speaker]
    sources = (synced_per_speaker[0].faces.clip, *voices, *([mux] if mux else []))
    read = [note for source in sources for note in source.notes]
    cut, soft = _cut_voice_notes(synced_per_speaker), _enlargement_notes(synced_per_speaker)
    memory = [note for one in synced_per_speaker for note in (*one.notes, *getattr(one.codec, "notes", ()))]
    cut += _stretch_notes(synced_per_speaker[0].output_clip)
    return tuple(dict.fromkeys([*read, *memory, *cut, *_pause_notes(synced_per_speaker), *soft, *written]))


def outcome_notes(synced_per_speaker: Sequence[SyncedFaces], occluded: np.ndarray) -> tuple[Note, ...]:
    """How many frames were synced, and which were not and why.

    Args:
        synced_per_speaker: the new faces, all over the same F output frames.
        occluded: (F,) bool, as `write_rendered` returns it.
    """
    present = synced_frames(synced_per_speaker)
    level = NoteLevel.INFO if present.any() else NoteLevel.WARNING
    ranges = []
    for number, synced in enumerate(synced_per_speaker, 1):
        who = f"speaker {number}: " if len(synced_per_speaker) > 1 else ""
        ranges += [
            f"{who}{_frames(run.first, run.stop)} passed through: {OUTCOME_LABELS[run.outcome]}"
            for run in outcome_runs(synced.faces)
            if run.outcome not in SYNCED_OUTCOMES
        ]
    ranges += [
        f"{_frames(first, stop)}: an object in front of a mouth was left unchanged"
        for first, stop in runs_where(occluded)
    ]
    more = [f"and {len(ranges) - MAX_LINES} more ranges"] if len(ranges) > MAX_LINES else []
    return (
        Note(f"{int(present.sum())} of {len(present)} frames synced", level),
        *map(Note, [*ranges[:MAX_LINES], *more]),
    )


def demonstration_notes(model: LatentSyncModel) -> tuple[Note, ...]:
    """A warning where the model is no real lip-sync model."""
    if not model.demonstration:
        return ()
    fact = f"{model.name} is a demonstration model: it shows how the pack works, not how well LatentSync draws"
    return (Note(fact, NoteLevel.WARNING),)


def synced_frames(synced_per_speaker: Sequence[SyncedFaces]) -> np.ndarray:
    """(F,) bool: the output frames in which at least one mouth is new, and not the filmed one that shows in a pause."""
    return np.any(
        [np.isfinite(one.transforms).all(axis=(1, 2)) & (one.blend > 0) for one in synced_per_speaker], axis=0
    )


def _cut_voice_notes(synced_per_speaker: Sequence[SyncedFaces]) -> list[Note]:
    """A note where the longest voice goes on after the last frame."""
    first = synced_per_speaker[0]
    clip = first.output_clip
    seconds = max(synced.audio.duration for synced in synced_per_speaker)
    written = float((first.pts[-1] - first.pts[0]) * clip.time_base + 1 / clip.fps)
    if seconds <= written + float(1 / clip.fps):
        return []
    fact = f"the voice lasts {seconds:.2f} s, the clip {written:.2f} s: the voice was cut"
    return [Note(fact, NoteLevel.WARNING, (Remedy.KEEP_WHOLE_VOICE,))]


def _stretch_notes(clip: Clip) -> list[Note]:
    """A note where the clip's times are scaled."""
    if clip.stretch == 1:
        return []
    ratio, rate = float(clip.stretch), float(clip.fps)
    return [Note(f"every frame is shown {ratio:.4f} times as long as filmed, at {rate:.3f} fps")]


def _pause_notes(synced_per_speaker: Sequence[SyncedFaces]) -> list[Note]:
    """How much of each voice was taken for pauses, where that decides what the mouth does."""
    notes = []
    for number, synced in enumerate(synced_per_speaker, 1):
        if synced.speech is None:
            continue
        who = f"speaker {number}'s voice" if len(synced_per_speaker) > 1 else "the voice"
        paused, frames = int((synced.speech == 0).sum()), len(synced.speech)
        level = NoteLevel.WARNING if paused == frames else NoteLevel.INFO
        notes.append(Note(f"{who} pauses in {paused} of {frames} frames: {PAUSE_LABELS[synced.pauses]}", level))
    return notes


def _enlargement_notes(synced_per_speaker: Sequence[SyncedFaces]) -> list[Note]:
    """A note where a face is much larger in the frame than the model generates it."""
    notes = []
    for synced in synced_per_speaker:
        transforms = synced.transforms[np.isfinite(synced.transforms).all((1, 2)), :, :2].astype(np.float64)
        enlargement = np.linalg.det(transforms).min(initial=1.0) ** -0.5
        if enlargement > MAX_ENLARGEMENT:
            side, drawn = round(synced.resolution * enlargement), synced.resolution
            notes.append(Note(f"a face crop is up to {side} pixels wide, the model generates {drawn}: it is softer"))
    return notes


def _frames(first: int, stop: int) -> str:
    return f"frames {first} to {stop - 1}" if stop - first > 1 else f"frame {first}"
