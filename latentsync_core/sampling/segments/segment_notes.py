"""What the user should know of a clip that was sampled by lines: what was sampled now, kept, and switched off."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from ...messages import Note
from .segments import Segment, Segments

MAX_LISTED = 5  # segments that a note names


def segment_notes(segments: Segments, present: np.ndarray, sampled: Collection[int]) -> tuple[Note, ...]:
    """Notes on a finished run.

    Args:
        present: (F,) bool, the frames that were to be synced.
        sampled: the places of the segments of which windows were sampled; the others' were kept.
    """
    synced = sum(bool(present[one.start : one.stop].any()) for one in segments.segments)
    now = [one for number, one in enumerate(segments.segments) if number in sampled]
    off = [one for one in segments.segments if not one.enabled]
    notes = []
    if len(now) < synced:
        kept = f"{synced - len(now)} of {synced} ranges were kept from an earlier run"
        notes.append(Note(f"{kept}, sampled now: {_listed(now) or 'none'}"))
    if off:
        notes.append(Note(f"switched off and left unchanged: {_listed(off)}"))
    return tuple(notes)


def _listed(segments: Sequence[Segment]) -> str:
    texts = [
        f"{'a pause' if one.line is None else f'line {one.line}'} (frames {one.start} to {one.stop - 1})"
        for one in segments[:MAX_LISTED]
    ]
    return ", ".join([*texts, *([f"{len(segments) - MAX_LISTED} more"] if len(segments) > MAX_LISTED else [])])
