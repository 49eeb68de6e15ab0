"""Selects the faces to sync: by size, pose, position, number, picture or mask; single tracks go on or off."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FaceError, OptionError
from ..messages import Remedy
from .face_tracks import FaceTracks
from .identity.person_names import no_such_person
from .tracks import FaceTrack

if TYPE_CHECKING:
    import torch

MAX_FRONTAL_ANGLES = (25.0, 20.0)  # degrees of yaw and pitch up to which a face counts as frontal
MAX_POINT_DISTANCE = 1.0  # box sizes: how far outside a face's box a point may lie and still select it
MAX_TRACKS = 100_000  # in a list that a user types
MAX_LIST_CHARACTERS = 10_000


class ChooseBy(str, Enum):
    """How the face to sync is chosen."""

    LARGEST = "largest"  # person 0: the largest area summed over time; marked faces take precedence
    FRONTAL = "most frontal"  # the person who faces the camera in most frames
    LEFT = "left-most"  # the left-most person of every shot
    INDEX = "person"  # by number: 0 is person A of the contact sheet
    POINT = "point"  # the person at a point of one frame
    PICTURE = "picture"  # the person who looks like the one in a picture
    MASK = "mask"  # the person under a mask


@dataclass(frozen=True)
class FaceChoice:
    """Which faces are synced. A person's tracks are synced in every shot; `on` and `off` override that."""

    by: ChooseBy = ChooseBy.LARGEST
    person: int = 0  # for INDEX
    point: tuple[float, float] = (0.0, 0.0)  # for POINT: x y in displayed pixels
    frame: int = 0  # of the clip, for POINT, and for a MASK that is a single picture
    on: tuple[int, ...] = ()  # tracks that are synced in addition
    off: tuple[int, ...] = ()  # tracks that are never synced

    def __post_init__(self) -> None:
        both = set(self.on) & set(self.off)
        if both:
            raise OptionError(f"tracks {sorted(both)} are both on and off; name each once")


def choose(
    faces: FaceTracks,
    choice: FaceChoice | None = None,
    picture: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
) -> FaceTracks:
    """`faces` with other faces chosen.

    Args:
        picture: for PICTURE: (h, w, 3) or (1, h, w, 3) float RGB in [0, 1] that shows one face.
        mask: for MASK: (h, w), (1, h, w) or (N, h, w) float in [0, 1], any size; one picture belongs to the choice's
            frame.

    Raises:
        OptionError: a number, point or mask doesn't fit the clip, or a needed picture or mask is missing.
        FaceError: no face matches the choice.
    """
    choice = choice or FaceChoice()
    return switch_tracks(faces, base_choice(faces, choice, picture, mask), choice)


def base_choice(
    faces: FaceTracks,
    choice: FaceChoice,
    picture: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
) -> list[int]:
    """The tracks that `choice` means before any are switched on or off; arguments and errors as of `choose`."""
    by = ChooseBy(choice.by)
    if by is ChooseBy.PICTURE:
        return _tracks_of_person(faces, _person_in_picture(faces, picture))
    if by is ChooseBy.MASK:
        return _tracks_of_person(faces, _person_under_mask(faces, mask, choice.frame))
    return _SELECTORS[by](faces, choice)


def switch_tracks(faces: FaceTracks, chosen: Sequence[int], choice: FaceChoice) -> FaceTracks:
    """`faces` with the tracks `chosen`, less those that `choice` switches off, after those that it switches on.

    Raises:
        OptionError: it switches a track that the clip doesn't have.
    """
    for track in (*choice.on, *choice.off):
        if not 0 <= track < len(faces.tracks):
            raise OptionError(f"there is no track {track}; the clip has tracks 0 to {len(faces.tracks) - 1}")
    chosen = [track for track in (*choice.on, *(t for t in chosen if t not in choice.on)) if track not in choice.off]
    return dataclasses.replace(faces, chosen=tuple(chosen))


def check_no_shared_faces(selections: Sequence[FaceTracks]) -> None:
    """Checks that no two voices drive the same face.

    Raises:
        OptionError: two selections over one clip sync the same track in some frame.
    """
    for number, one in enumerate(selections):
        for other in selections[:number]:
            path, other_path = one.path, other.path
            both = np.flatnonzero((path.track == other_path.track) & (path.blend > 0) & (other_path.blend > 0))
            if len(both):
                raise OptionError(
                    f"two voices drive the same face, track {path.track[both[0]]} in frame {both[0]}; choose another "
                    f"person for one of them"
                )


def read_track_list(text: str) -> tuple[int, ...]:
    """Parses track numbers and ranges: "3, 5-7" gives 3, 5, 6, 7.

    Raises:
        OptionError: the text is no such list, or it is too long.
    """
    if len(text) > MAX_LIST_CHARACTERS:
        raise OptionError(f"the list of tracks has {len(text)} characters; use at most {MAX_LIST_CHARACTERS}")
    numbers: list[int] = []
    for part in filter(None, re.split(r"[\s,;]+", text.strip())):
        span = re.fullmatch(r"([0-9]{1,6})(?:-([0-9]{1,6}))?", part)
        if not span:
            raise OptionError(f"{part[:40]!r} is not a track number; write numbers and ranges such as 3, 5-7")
        first, last = int(span[1]), int(span[2] or span[1])
        if last < first:
            raise OptionError(f"{part!r} is not a valid range of tracks; write the smaller number first")
        if len(numbers) + last - first >= MAX_TRACKS:
            raise OptionError(
                f"{part!r} makes the list longer than {MAX_TRACKS} tracks; list only tracks of the contact sheet"
            )
        numbers += range(first, last + 1)
    return tuple(dict.fromkeys(numbers))


def _tracks_of_person(faces: FaceTracks, person: int) -> list[int]:
    """A person's tracks, longest first: where two share a frame, the longer one is synced."""
    own = [track for track in faces.tracks if track.person == person]
    return [track.track_id for track in sorted(own, key=lambda track: (-int(track.visible.sum()), track.start))]


def _best_person(tracks: Iterable[FaceTrack], score: Callable[[FaceTrack], float]) -> int:
    """The person with the highest total score; the lower number of two with equal scores."""
    sums: dict[int, float] = {}
    for track in tracks:
        sums[track.person] = sums.get(track.person, 0.0) + score(track)
    return min(sums, key=lambda person: (-sums[person], person))


def _largest(faces: FaceTracks, _: FaceChoice) -> list[int]:
    return _tracks_of_person(faces, 0)  # persons are numbered by prominence, the marked ones first


def _frontal(faces: FaceTracks, _: FaceChoice) -> list[int]:
    def frames(track: FaceTrack) -> float:
        yaw, pitch = np.abs(track.pose[track.visible, :2]).T
        return float(((yaw <= MAX_FRONTAL_ANGLES[0]) & (pitch <= MAX_FRONTAL_ANGLES[1])).sum()) + 1e-9 * _area(track)

    return _tracks_of_person(faces, _best_person(faces.tracks, frames))


def _left(faces: FaceTracks, _: FaceChoice) -> list[int]:
    chosen = []
    for first, stop in faces.shots:
        inside = [track for track in faces.tracks if first <= track.start < stop]
        places: dict[int, list[np.ndarray]] = {}
        for track in inside:
            places.setdefault(track.person, []).append(track.boxes[track.visible][:, [0, 2]].mean(1))
        if places:
            left_most = min(places, key=lambda person: float(np.concatenate(places[person]).mean()))
            chosen += [track.track_id for track in inside if track.person == left_most]
    return chosen


def _index(faces: FaceTracks, choice: FaceChoice) -> list[int]:
    chosen = _tracks_of_person(faces, choice.person)
    if not chosen:
        most = max(track.person for track in faces.tracks)
        raise OptionError(no_such_person(choice.person, most + 1))
    return chosen


def _tracks_at_point(faces: FaceTracks, choice: FaceChoice) -> list[int]:
    clip, (x, y) = faces.clip, choice.point
    _check_frame(faces, choice.frame)
    if not (0 <= x < clip.width and 0 <= y < clip.height):
        raise OptionError(f"the point {x:g}, {y:g} lies outside the picture of {clip.width}×{clip.height} pixels")
    away = {}
    for track in _tracks_visible_at(faces, choice.frame):
        box = track.boxes[choice.frame - track.start].astype(float)
        size = max(*(box[2:] - box[:2]), 1.0)
        beside = np.maximum(np.maximum(box[:2] - (x, y), (x, y) - box[2:]), 0).max() / size
        centre = np.abs((box[:2] + box[2:]) / 2 - (x, y)).max() / size
        if beside <= MAX_POINT_DISTANCE:
            away[track.person] = (beside, centre)
    if not away:
        raise FaceError(
            f"no face is at {x:g}, {y:g} in frame {choice.frame}; {_describe_nearby_faces(faces, choice.frame)}"
        )
    return _tracks_of_person(faces, min(away, key=away.__getitem__))


def _person_in_picture(faces: FaceTracks, picture: torch.Tensor | None) -> int:
    from .likeness import closest_person, picture_embedding

    if picture is None:
        raise OptionError("choosing by picture needs a picture of the person", Remedy.GIVE_PICTURE)
    return closest_person(picture_embedding(picture), faces.tracks)


def _person_under_mask(faces: FaceTracks, mask: torch.Tensor | None, frame: int) -> int:
    if mask is None:
        raise OptionError("choosing by mask needs a mask that lies over the person", Remedy.GIVE_MASK)
    mask = mask[None] if mask.ndim == 2 else mask
    if mask.ndim != 3 or len(mask) not in (1, faces.clip.frame_count):
        raise OptionError(
            f"the mask has shape {tuple(mask.shape)}; use one picture, or one for each of the "
            f"{faces.clip.frame_count} frames"
        )
    _check_frame(faces, frame)
    scale = np.array([mask.shape[2] / faces.clip.width, mask.shape[1] / faces.clip.height] * 2)
    covered: dict[int, float] = {}
    for index in [frame] if len(mask) == 1 else range(len(mask)):
        picture = mask[0 if len(mask) == 1 else index]
        for track in _tracks_visible_at(faces, index):
            x0, y0, x1, y1 = (track.boxes[index - track.start] * scale).round().astype(int).clip(0).tolist()
            part = picture[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
            share = float(part.float().mean()) if part.numel() else 0.0
            covered[track.person] = covered.get(track.person, 0.0) + share
    if not covered or max(covered.values()) <= 0:
        raise FaceError(f"no face is under the mask; {_describe_nearby_faces(faces, frame)}")
    return min(covered, key=lambda person: (-covered[person], person))


def _tracks_visible_at(faces: FaceTracks, frame: int) -> list[FaceTrack]:
    return [t for t in faces.tracks if t.start <= frame < t.stop and t.visible[frame - t.start]]


def _check_frame(faces: FaceTracks, frame: int) -> None:
    if not 0 <= frame < faces.clip.frame_count:
        raise OptionError(f"there is no frame {frame}; the clip has frames 0 to {faces.clip.frame_count - 1}")


def _describe_nearby_faces(faces: FaceTracks, frame: int) -> str:
    """Where the frame's faces are, or the nearest frames that have one: the end of an error message."""
    seen = _tracks_visible_at(faces, frame)
    if seen:
        centres = ("{:.0f}, {:.0f}".format(*t.boxes[frame - t.start].reshape(2, 2).mean(0)) for t in seen)
        return f"that frame has faces around {'; '.join(centres)}"
    nearest = min(faces.tracks, key=lambda t: max(t.start - frame, frame - t.stop + 1))
    return f"that frame has no face; the nearest track covers frames {nearest.start} to {nearest.stop - 1}"


def _area(track: FaceTrack) -> float:
    boxes = track.boxes[track.visible].astype(np.float64)
    return float(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).sum())


_SELECTORS: dict[ChooseBy, Callable[[FaceTracks, FaceChoice], list[int]]] = {
    ChooseBy.LARGEST: _largest,
    ChooseBy.FRONTAL: _frontal,
    ChooseBy.LEFT: _left,
    ChooseBy.INDEX: _index,
    ChooseBy.POINT: _tracks_at_point,
}
