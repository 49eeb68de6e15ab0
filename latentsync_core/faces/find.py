"""All faces of a clip, detected or marked by the user, as one list of tracks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..progress import Progress, span
from ..video.clip import Clip
from .alignment.align_options import AlignOptions
from .cache import found_before
from .detection.blazeface import overlap
from .face_options import FaceOptions
from .face_tracks import FaceTracks
from .keyframes.interpolate import follow_marks
from .keyframes.marks import Mark, read_marks
from .limits import TouchLimits
from .selection import choose
from .tracking.find_tracks import prepare_faces
from .tracks import FaceTrack

SAME = 0.3  # intersection over union from which on a found face is the marked one
DETECTION_SHARE = 0.8  # of the progress, where there are marks to follow afterwards


def find_faces(
    clip: Clip,
    options: FaceOptions | None = None,
    align: AlignOptions | None = None,
    limits: TouchLimits | None = None,
    marks: str = "",
    folder: Path | None = None,
    on_progress: Progress | None = None,
) -> FaceTracks:
    """Every face of the clip, those marked by hand included; the person seen most is chosen.

    Args:
        marks: JSON text (`keyframes.marks.read_marks`).
        folder: keeps what was found, so that the same clip's faces are there at once the next time; None keeps nothing.

    Raises:
        FaceError, OptionError, VideoError, OutputError.
    """
    options, align, limits = options or FaceOptions(), align or AlignOptions(), limits or TouchLimits()
    by_hand = read_marks(marks, clip)
    faces = found_before(
        clip,
        repr((options, by_hand)),
        folder,
        align,
        limits,
        lambda: find_all_faces(clip, options, align, limits, by_hand, on_progress),
    )
    return choose(faces)


def find_all_faces(
    clip: Clip,
    options: FaceOptions | None = None,
    align: AlignOptions | None = None,
    limits: TouchLimits | None = None,
    marks: Sequence[Mark] = (),
    on_progress: Progress | None = None,
) -> FaceTracks:
    """All faces of the clip, the most seen person chosen; marked people come first, so they are chosen by themselves.

    Where a found face and a marked one are the same, the mark counts, and the person's other tracks are taken for the
    marked person's too.

    Raises:
        FaceError: there is no face, found or marked.
        VideoError: the clip can't be read, or has changed.
    """
    if not marks:
        return prepare_faces(clip, options, align, on_progress, limits)
    on_progress = on_progress or (lambda done, total: None)
    found = prepare_faces(clip, options, align, span(on_progress, 0, DETECTION_SHARE), limits, needed=False)
    marked = follow_marks(clip, marks, found.shots, span(on_progress, DETECTION_SHARE, 1))
    return choose(dataclasses.replace(found, tracks=joined(marked, found.tracks)))


def joined(marked: Sequence[FaceTrack], found: Sequence[FaceTrack]) -> tuple[FaceTrack, ...]:
    """Both as one list, in the order of their frames, persons numbered anew from 0, the marked ones first."""
    faces = sorted({track.person for track in marked})
    numbers = {("marked", face): number for number, face in enumerate(faces)}
    left: list[FaceTrack] = []
    for track in found:
        same = _covered(track, marked)
        for face in np.unique(same[same >= 0]):
            numbers.setdefault(("found", track.person), numbers["marked", int(face)])
        rest = track.visible & (same < 0)
        if rest.any():
            left.append(track if rest.all() else _without(track, rest))
    for track in left:
        numbers.setdefault(("found", track.person), max(numbers.values(), default=-1) + 1)
    everyone = [(numbers["marked", track.person], track) for track in marked]
    everyone += [(numbers["found", track.person], track) for track in left]
    everyone.sort(key=lambda each: (each[1].start, each[0]))
    return tuple(
        dataclasses.replace(track, track_id=number, person=person) for number, (person, track) in enumerate(everyone)
    )


def _covered(track: FaceTrack, marked: Sequence[FaceTrack]) -> np.ndarray:
    """(n,) which marked person a found track is in each of its frames; -1 where none."""
    same = np.full(len(track.visible), -1)
    for other in marked:
        for frame in range(max(track.start, other.start), min(track.stop, other.stop)):
            ours, theirs = frame - track.start, frame - other.start
            both = track.visible[ours] and other.visible[theirs]
            if both and overlap(track.boxes[ours].astype(float), other.boxes[theirs].astype(float)) > SAME:
                same[ours] = other.person
    return same


def _without(track: FaceTrack, rest: np.ndarray) -> FaceTrack:
    """The track where `rest` (n,) is True, not visible elsewhere, its ends cut to what is left."""
    first, last = np.flatnonzero(rest)[[0, -1]].tolist()
    return track.part(track.start + first, track.start + last + 1, rest[first : last + 1])
