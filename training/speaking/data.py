"""Rendered dialogues as examples: what is measured of their mouths and sound, and who truly speaks."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latentsync_core.audio.source import load_audio
from latentsync_core.errors import OutputError
from latentsync_core.evaluation.syncnet import CARRIED_SYNCNET, load_syncnet
from latentsync_core.faces.find import find_all_faces
from latentsync_core.faces.tracks import FaceTrack
from latentsync_core.speakers.kept_signals import read_signals, write_signals
from latentsync_core.speakers.signals import SpeakerSignals, measure_signals
from latentsync_core.video.reading.probing import probe

from ..paths import CACHE
from ..synthetic.scenes.dialogue_file import DialogueTruth, dialogue_file

FITTED_SEEDS = 2001  # the first of the scenes that constants are fitted to; measured ones begin at 1
SECONDS = 8.0
FACTS = ("seed", "spans", "truth", "heard", "on_screen", "shots", "face_seconds", "speaker_seconds")
SIGNAL_SOURCES = ("signals.py", "mouth_sync.py", "sliding_mel.py")


@dataclass(frozen=True, eq=False)
class Example:
    """A dialogue at 25 fps, G frames and steps, with T tracks."""

    seed: int
    signals: SpeakerSignals
    spans: np.ndarray  # (T, 2) int: each track's frames, half-open
    truth: np.ndarray  # (T, G) bool: the track's person speaks, and is shown by it
    heard: np.ndarray  # (G, P) bool: who speaks, shown or not
    on_screen: np.ndarray  # (G, P) bool
    shots: np.ndarray  # (S, 2) int: as found
    face_seconds: float  # of one core, for finding the faces
    speaker_seconds: float  # of one core, for the signals


def example(seed: int, folder: Path = CACHE) -> Example:
    """The example of a dialogue of two people, or of three for even seeds; rendered and measured once."""
    truth = dialogue_file(seed, people_of(seed), SECONDS, folder=folder)
    stem = folder / f"speaking-{truth.video.stem}-{_digest()}"
    facts, kept = stem.with_name(f"{stem.name}.npz"), stem.with_name(f"{stem.name}.voices.npz")
    if not facts.exists():
        measured = _measured(seed, truth)
        write_signals(measured.signals, kept)
        partial = facts.with_suffix(".new.npz")
        np.savez(partial, **{name: getattr(measured, name) for name in FACTS})
        partial.replace(facts)
    with np.load(facts, allow_pickle=False) as file:
        values = {name: file[name] if file[name].ndim else file[name].item() for name in FACTS}
    signals = read_signals(kept, len(values["spans"]), len(truth.speaks))
    if signals is None:
        raise OutputError(f"{kept} is damaged; delete it and {facts.name}")
    return Example(signals=signals, **values)


def people_of(seed: int) -> int:
    return 3 if seed % 2 == 0 else 2


def _measured(seed: int, truth: DialogueTruth) -> Example:
    clip = probe(truth.video)
    started = time.process_time()
    faces = find_all_faces(clip)
    found = time.process_time()
    signals = measure_signals(faces, load_audio(truth.video, clip), load_syncnet())
    measured = time.process_time()
    count = len(signals.frames)
    speaks = np.zeros((len(faces.tracks), count), bool)
    for track in faces.tracks:
        person = _person(track, truth)
        if person is not None:
            speaks[track.track_id, track.start : track.stop] = truth.speaks[track.start : track.stop, person]
    spans = np.array([(track.start, track.stop) for track in faces.tracks])
    return Example(
        seed, signals, spans, speaks, truth.speaks[:count], truth.on_screen[:count], np.array(faces.shots),
        found - started, measured - found,
    )  # fmt: skip


def _person(track: FaceTrack, truth: DialogueTruth) -> int | None:
    """Whose face a track is, by where its middle lies; None if it is nobody's."""
    middles = track.boxes.reshape(-1, 2, 2).mean(1)[:, None]  # (n, 1, 2)
    boxes = truth.boxes[track.start : track.stop]  # (n, P, 4)
    with np.errstate(invalid="ignore"):
        inside = ((boxes[..., :2] <= middles) & (middles <= boxes[..., 2:])).all(-1).sum(0)
    return int(inside.argmax()) if inside.max() > 0 else None


def _digest() -> str:
    """Of what decides about the signals but the scene itself."""
    found = hashlib.sha256(CARRIED_SYNCNET.read_bytes())
    folder = Path(__file__).parents[2] / "latentsync_core" / "speakers"
    for name in SIGNAL_SOURCES:
        found.update((folder / name).read_bytes())
    return found.hexdigest()[:10]
