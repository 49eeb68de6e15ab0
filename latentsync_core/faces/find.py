"""All faces of a clip, detected or marked by the user, as one list of tracks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..progress import Progress, span
from ..video.clip import Clip
from .alignment.align_options import AlignOptions
from .cache import cached_faces
from .detection.blazeface import iou
from .face_options import FaceOptions
from .face_tracks import FaceTracks
from .keyframes.interpolate import track_marked_faces
from .keyframes.marks import Mark, read_marks
from .limits import TouchLimits
from .selection import choose
from .tracking.find_tracks import track_faces
from .tracks import FaceTrack

OLD_NAMES = {"min_size": "smallest", "max_gap": "longest_gap", "search_interval": "search_every"}
MARKED_FACE_IOU = 0.3  # intersection over union from which on a found face is the marked one
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
    faces = cached_faces(
        clip,
        cache_request(options, by_hand),
        folder,
        align,
        limits,
        lambda: find_all_faces(clip, options, align, limits, by_hand, on_progress),
    )
    return choose(faces)


def cache_request(options: FaceOptions, marks: Sequence[Mark]) -> str:
    """What was asked for, as the cache's key holds it: kept faces stay valid though some fields have new names now."""
    values = dataclasses.asdict(options)
    if values["shot_threshold"] == FaceOptions.shot_threshold:
        del values["shot_threshold"]  # a field that came later
    values = ", ".join(f"{OLD_NAMES.get(key, key)}={value!r}" for key, value in values.items())
    return f"(FaceOptions({values}), {marks!r})"


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
        return track_faces(clip, options, align, on_progress, limits)
    on_progress = on_progress or (lambda done, total: None)
    found = track_faces(clip, options, align, span(on_progress, 0, DETECTION_SHARE), limits, required=False)
    marked = track_marked_faces(clip, marks, found.shots, span(on_progress, DETECTION_SHARE, 1))
    return choose(dataclasses.replace(found, tracks=merge_tracks(marked, found.tracks)))


def merge_tracks(marked: Sequence[FaceTrack], found: Sequence[FaceTrack]) -> tuple[FaceTrack, ...]:
    """Both as one list, in the order of their frames, persons numbered anew from 0, the marked ones first."""
    faces = sorted({track.person for track in marked})
    numbers = {("marked", face): number for number, face in enumerate(faces)}
    remaining: list[FaceTrack] = []
    for track in found:
        same = _matching_mark(track, marked)
        for face in np.unique(same[same >= 0]):
            numbers.setdefault(("found", track.person), numbers["marked", int(face)])
        rest = track.visible & (same < 0)
        if rest.any():
            remaining.append(track if rest.all() else _keep_frames(track, rest))
    for track in remaining:
        numbers.setdefault(("found", track.person), max(numbers.values(), default=-1) + 1)
    numbered = [(numbers["marked", track.person], track) for track in marked]
    numbered += [(numbers["found", track.person], track) for track in remaining]
    numbered.sort(key=lambda each: (each[1].start, each[0]))
    return tuple(
        dataclasses.replace(track, track_id=number, person=person) for number, (person, track) in enumerate(numbered)
    )


def _matching_mark(track: FaceTrack, marked: Sequence[FaceTrack]) -> np.ndarray:
    """(n,) which marked person a found track is in each of its frames; -1 where none."""
    same = np.full(len(track.visible), -1)
    for other in marked:
        for frame in range(max(track.start, other.start), min(track.stop, other.stop)):
            row, other_row = frame - track.start, frame - other.start
            both = track.visible[row] and other.visible[other_row]
            if both and iou(track.boxes[row].astype(float), other.boxes[other_row].astype(float)) > MARKED_FACE_IOU:
                same[row] = other.person
    return same


def _keep_frames(track: FaceTrack, rest: np.ndarray) -> FaceTrack:
    """The track where `rest` (n,) is True, not visible elsewhere, its ends cut to what is left."""
    first, last = np.flatnonzero(rest)[[0, -1]].tolist()
    return track.part(track.start + first, track.start + last + 1, rest[first : last + 1])
