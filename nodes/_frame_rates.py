"""Compares the frame rate that a node was given with what the clip says.

A VIDEO has its own rate. IMAGE frames, and a VIDEO that was made of some, have the one that somebody typed: it is
compared with that of the file that they come from, which the running prompt names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..latentsync_core.errors import LatentSyncError
from ..latentsync_core.files.media_suffixes import VIDEO_SUFFIXES
from ..latentsync_core.messages import Note, NoteLevel
from ..latentsync_core.video.clip import Clip
from ..latentsync_core.video.reading.listing.rates import is_same_rate, rate_text, stated_rate_note
from ..latentsync_core.video.reading.probing import probe
from ._comfy import file_below_input, upstream_nodes
from ._inputs import DEFAULT_FPS


def compare_rates(clip: Clip, fps: float, hidden: Any) -> tuple[Clip, tuple[Note, ...]]:
    """The clip, and a note, which it keeps too, where its rate isn't the node's `fps`, or its file's."""
    note = _note(clip, fps, hidden)
    notes = () if note is None else (note,)
    return dataclasses.replace(clip, notes=(*clip.notes, *notes)), notes


def _note(clip: Clip, fps: float, hidden: Any) -> Note | None:
    if clip.images is None:
        stated = None if fps == DEFAULT_FPS else Fraction(fps).limit_denominator(100_000)
        return stated_rate_note(clip.fps, stated)
    for path in _files_upstream(hidden.prompt or {}, hidden.unique_id):
        try:
            source = probe(path)
        except LatentSyncError:
            continue  # not what the frames come from, or its loader says what is wrong
        # Only where all frames of the file arrive: a loader may skip some, and an interpolator may add some.
        if source.frame_count == clip.frame_count and not is_same_rate(source.fps, clip.fps):
            return Note(
                f"These frames have a frame rate of {rate_text(clip.fps)}, and {path.name}, from which they come, has "
                f"{rate_text(source.fps)}: connect its VIDEO, or its fps.",
                NoteLevel.WARNING,
            )
    return None


def _files_upstream(prompt: Mapping[str, Any], node_id: str) -> Iterator[Path]:
    """Clips in the input folder that the nodes name which feed `clip` of a node."""
    for node in upstream_nodes(prompt, node_id, "clip"):
        for value in node.get("inputs", {}).values():
            if isinstance(value, str) and Path(value.split(" [")[0]).suffix.lower() in VIDEO_SUFFIXES:
                path = file_below_input(value.removesuffix(" [input]"))
                if path is not None:
                    yield path
