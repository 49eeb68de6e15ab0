"""Finds all faces of a clip, detected or marked by the user, as one list of tracks."""

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
from .tracking.find_tracks import TrackedClip, track_faces
from .tracks import FaceTrack

OLD_NAMES = {"min_size": "smallest", "max_gap": "longest_gap", "search_interval": "search_every"}  # in cache keys
MARKED_FACE_IOU = 0.3  # intersection over union above which a detected face is the marked one
DETECTION_SHARE = 0.8  # of the progress, where marked faces are tracked afterwards


def find_faces(
    clip: Clip,
    options: FaceOptions | None = None,
    align: AlignOptions | None = None,
    limits: TouchLimits | None = None,
    marks: str = "",
    folder: Path | None = None,
    on_progress: Progress | None = None,
    tracked: TrackedClip | None = None,
) -> FaceTracks:
    """Finds every face of the clip, including marked ones, and chooses the most prominent person.

    Args:
        marks: JSON text (`keyframes.marks.read_marks`).
        folder: of the cache, from which an unchanged clip's faces are read the next time; None disables it.
        tracked: the clip's faces where they have been tracked in parts (`tracking.find_tracks.track_range`).

    Raises:
        FaceError, OptionError, VideoError, OutputError.
    """
    options, align, limits = options or FaceOptions(), align or AlignOptions(), limits or TouchLimits()
    user_marks = read_marks(marks, clip)
    faces = cached_faces(
        clip,
        cache_request(options, user_marks),
        folder,
        align,
        limits,
        lambda: find_all_faces(clip, options, align, limits, user_marks, on_progress, tracked),
    )
    return choose(faces)


def cache_request(options: FaceOptions, marks: Sequence[Mark]) -> str:
    """The request as text for the cache key; renamed fields keep their old names there, so older files stay valid."""
    values = dataclasses.asdict(options)
    if values["shot_threshold"] == FaceOptions.shot_threshold:
        del values["shot_threshold"]  # added later: keys made before it have no such field
    values = ", ".join(f"{OLD_NAMES.get(key, key)}={value!r}" for key, value in values.items())
    return f"(FaceOptions({values}), {marks!r})"


def find_all_faces(
    clip: Clip,
    options: FaceOptions | None = None,
    align: AlignOptions | None = None,
    limits: TouchLimits | None = None,
    marks: Sequence[Mark] = (),
    on_progress: Progress | None = None,
    tracked: TrackedClip | None = None,
) -> FaceTracks:
    """Finds all faces of the clip and chooses person 0: the first marked one, or else the most prominent.

    Where a detected face coincides with a marked one, the mark takes precedence, and the detected person's other tracks
    are assigned to the marked person.

    Raises:
        FaceError: no face was detected or marked.
        VideoError: the clip can't be read, or has changed.
    """
    if not marks:
        return track_faces(clip, options, align, on_progress, limits, tracked=tracked)
    on_progress = on_progress or (lambda done, total: None)
    found = track_faces(clip, options, align, span(on_progress, 0, DETECTION_SHARE), limits, False, tracked)
    marked = track_marked_faces(clip, marks, found.shots, span(on_progress, DETECTION_SHARE, 1))
    return choose(dataclasses.replace(found, tracks=merge_tracks(marked, found.tracks)))


def merge_tracks(marked: Sequence[FaceTrack], found: Sequence[FaceTrack]) -> tuple[FaceTrack, ...]:
    """Merges both into one list ordered by first frame; persons are renumbered from 0, the marked ones first."""
    marked_people = sorted({track.person for track in marked})
    numbers = {("marked", person): number for number, person in enumerate(marked_people)}
    remaining: list[FaceTrack] = []
    for track in found:
        matches = _matching_mark(track, marked)
        for person in np.unique(matches[matches >= 0]):
            numbers.setdefault(("found", track.person), numbers["marked", int(person)])
        keep = track.visible & (matches < 0)
        if keep.any():
            remaining.append(track if keep.all() else _keep_frames(track, keep))
    for track in remaining:
        numbers.setdefault(("found", track.person), max(numbers.values(), default=-1) + 1)
    numbered = [(numbers["marked", track.person], track) for track in marked]
    numbered += [(numbers["found", track.person], track) for track in remaining]
    numbered.sort(key=lambda each: (each[1].start, each[0]))
    return tuple(
        dataclasses.replace(track, track_id=number, person=person) for number, (person, track) in enumerate(numbered)
    )


def _matching_mark(track: FaceTrack, marked: Sequence[FaceTrack]) -> np.ndarray:
    """(n,) the marked person that a detected track coincides with in each of its frames; -1 where none."""
    matches = np.full(len(track.visible), -1)
    for other in marked:
        for frame in range(max(track.start, other.start), min(track.stop, other.stop)):
            row, other_row = frame - track.start, frame - other.start
            both = track.visible[row] and other.visible[other_row]
            if both and iou(track.boxes[row].astype(float), other.boxes[other_row].astype(float)) > MARKED_FACE_IOU:
                matches[row] = other.person
    return matches


def _keep_frames(track: FaceTrack, keep: np.ndarray) -> FaceTrack:
    """The track, trimmed to the frames where `keep` (n,) is True and invisible in the others between them."""
    first, last = np.flatnonzero(keep)[[0, -1]].tolist()
    return track.part(track.start + first, track.start + last + 1, keep[first : last + 1])
