"""What the measures of a film mean: a finding for each person, as lines of text and as JSON's own types."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np

from ..faces.identity.person_names import person_name
from ..runs import runs, runs_where
from .measures import SPEECH_WEIGHT, PersonMeasures, ResultMeasures

# Of the carried SyncNet, by `python -m benchmarks.result_report` and reports on dubs by Nano: with its own voice
# a mouth's least distance is 0.48 to 0.83 and its confidence at least 0.26, with another 0.79 to 1.03 and at most 0.25.
MIN_CONFIDENCE, MAX_DISTANCE = 0.15, 0.86
MAX_MOVED_DISTANCE = 0.76  # at an offset: that another voice fits well at one of thirty is likelier than at 0
MIN_WINDOWS = 40  # that a finding is made from; of fewer, one offset fits well by chance
MAX_OFFSET = 1  # frames at 25 fps that nobody sees
OUTCOMES: tuple[str, ...] = ("not seen", "as filmed", "new mouth", "beyond the source")
MOTION_BLIND_SPOT = "the carried encoder was trained on rendered people and hardly tells jitter"


class Finding(str, Enum):
    """How a mouth goes with the sound."""

    IN_SYNC = "in sync"
    LATE = "the sound is late"
    EARLY = "the sound is early"
    ANOTHER_VOICE = "the mouth doesn't follow this sound"
    UNCLEAR = "unclear: at an offset the sound fits, but not well"
    NO_SPEECH = "the sound has no speech while the mouth is a new one"
    TOO_SHORT = "too short to tell"


@dataclass(frozen=True)
class Networks:
    """Which networks made the scores, by name."""

    syncnet: str
    encoder: str
    is_carried: bool  # whether `syncnet` is the carried one, whose scores are known


def find(person: PersonMeasures, speech: np.ndarray, networks: Networks) -> Finding | None:
    """What the scores say of a person; None where the network is one whose confidence isn't known to us."""
    if not (speech[person.changed] >= SPEECH_WEIGHT).any():
        return Finding.NO_SPEECH
    score = person.sync
    if score is None or sum(one.windows for one in person.stretches) < MIN_WINDOWS:
        return Finding.TOO_SHORT
    if not networks.is_carried:
        return None
    if score.distance > MAX_DISTANCE or score.confidence < MIN_CONFIDENCE:
        return Finding.ANOTHER_VOICE
    if abs(score.offset) <= MAX_OFFSET:
        return Finding.IN_SYNC
    if score.distance > MAX_MOVED_DISTANCE:
        return Finding.UNCLEAR
    return Finding.LATE if score.offset > 0 else Finding.EARLY


def result_text(measures: ResultMeasures, networks: Networks) -> str:
    """Lines for a terminal or a node."""
    frames = len(measures.times)
    spoken = float((measures.speech >= SPEECH_WEIGHT).mean())
    lines = [
        f"{Path(measures.result.name).name}: {frames} frames, speech in {spoken:.0%} of them ({measures.detector}); "
        f"sync by {networks.syncnet}, motion by {networks.encoder}"
    ]
    if not measures.people:
        lines.append("no mouth differs from the source's")
    for person in measures.people:
        lines.append(f"{person_name(person.person)}: {person_text(person, measures.speech, networks)}")
    return "\n".join(lines)


def person_text(person: PersonMeasures, speech: np.ndarray, networks: Networks) -> str:
    """One person's finding and scores."""
    finding, score = find(person, speech, networks), person.sync
    parts = [finding.value] if finding else []
    if score is not None:
        parts.append(f"offset {score.offset:+d} frames of 1/25 s, confidence {score.confidence:.2f}")
    parts.append(f"new mouth in {int(person.changed.sum())} of {int(person.seen.sum())} frames")
    if person.motion is not None:
        parts.append(f"motion distance {person.motion:.4f}")
    if person.flicker is not None:
        parts.append(f"border flicker {person.flicker:.2f} of the source's")
    return "; ".join(parts)


def result_data(measures: ResultMeasures, networks: Networks) -> dict:
    """All of it for machines: JSON's own types."""
    return {
        "result": measures.result.name,
        "source": measures.source.name,
        "sound": measures.sound,
        "frames": len(measures.times),
        "fps": str(measures.result.fps),
        "frames_beyond_source": int((measures.index < 0).sum()),
        "networks": {"sync": networks.syncnet, "motion": networks.encoder, "motion_note": MOTION_BLIND_SPOT},
        "speech": {
            "detector": measures.detector,
            "ranges": [[first, stop] for first, stop in runs_where(measures.speech >= SPEECH_WEIGHT)],
        },
        "people": [_person_data(person, measures, networks) for person in measures.people],
    }


def _person_data(person: PersonMeasures, measures: ResultMeasures, networks: Networks) -> dict:
    finding, score = find(person, measures.speech, networks), person.sync
    return {
        "person": person.person,
        "finding": finding.value if finding else None,
        "offset_frames": score.offset if score else None,
        "confidence": round(score.confidence, 4) if score else None,
        "distances": [round(distance, 4) for distance in score.distances] if score else [],
        "motion_distance": None if person.motion is None else round(person.motion, 6),
        "border_flicker": None if person.flicker is None else round(person.flicker, 4),
        "frames_seen": int(person.seen.sum()),
        "frames_changed": int(person.changed.sum()),
        "outcomes": [
            {"frames": [first, stop], "outcome": outcome}
            for first, stop, outcome in outcome_ranges(person, measures.index)
        ],
        "stretches": [
            {
                "frames": [one.first, one.stop],
                "offset_frames": one.sync.offset if one.sync else None,
                "confidence": round(one.sync.confidence, 4) if one.sync else None,
                "motion_distance": None if one.motion is None else round(one.motion, 6),
            }
            for one in person.stretches
        ],
    }


def outcome_ranges(person: PersonMeasures, index: np.ndarray) -> list[tuple[int, int, str]]:
    """What became of a person's mouth in the result's frames: first frame, the one after the last, one of OUTCOMES."""
    outcomes = np.where(index < 0, 3, np.where(person.changed, 2, np.where(person.seen, 1, 0)))
    return [(first, stop, OUTCOMES[outcomes[first]]) for first, stop in runs(outcomes)]
