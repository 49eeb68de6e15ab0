"""Marks of faces: their fields, their JSON syntax, and the usual position of brows and nose in a marked box."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import NoReturn, TypeGuard

import numpy as np

from ...errors import OptionError
from ...video.clip import Clip

MAX_TEXT_CHARACTERS = 1_000_000
MAX_MARKS = 5000
MAX_FACES = 32  # numbered 0 to 31
MIN_BOX_SIDE = 8.0  # pixels: a box's sides
MIN_POINT_DISTANCE = 1.0  # pixels between any two of the three points
KEYS = ("frame", "time", "box", "points", "gone", "face")
EXAMPLE = '[{"frame": 0, "box": [310, 120, 470, 300]}, {"frame": 50, "box": [330, 118, 492, 300]}]'
MAX_QUOTED_CHARACTERS = 60  # of a user's value that a message quotes

# Left brow, right brow and nose in fractions of a box's width and height, upright and facing the camera.
# In the box around the whole face, hairline to chin and ear to ear: the mean over the 468-point meshes of a real
# portrait, a filmed speaker (5 frames) and 12 rendered heads, made symmetric. Standard deviations: 0.07 to 0.10 of the
# width, nearly all of it from yaw; 0.02 (brows) and 0.03 (nose) of the height.
POINTS_IN_FACE_BOX = ((0.231, 0.189), (0.769, 0.189), (0.500, 0.515))
FACE_BOX_ASPECT = 0.89  # width by height of those boxes
# In the square box that the short-range detector gives, from the middle of the forehead to the chin: the portrait and
# the rendered heads. Standard deviations: 0.08 of the width, 0.03 of the height.
POINTS_IN_DETECTED_BOX = ((0.236, 0.123), (0.764, 0.123), (0.500, 0.493))

Box = tuple[float, float, float, float]
Points = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Mark:
    """A face's position in one frame, in displayed pixels; with neither box nor points the face is gone from there on.

    A box encloses the whole face, hairline to chin and ear to ear. Points are left brow, right brow and nose; left and
    right are the picture's, of an upright face.
    """

    frame: int  # of the clip
    box: Box | None = None  # x0, y0, x1, y1
    points: Points | None = None
    face: int = 0  # which face, where several are marked

    @property
    def gone(self) -> bool:
        return self.box is None and self.points is None

    def box_and_points(self, aspect: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Its box (4,) and three points (3, 2), float64 displayed pixels; the missing one is estimated from the other.

        `aspect` is a sample's width by its height. Undefined for a "gone" mark.
        """
        if self.points is None:
            box = np.array(self.box, np.float64)
            return box, points_of_box(box).astype(np.float64)
        points = np.array(self.points, np.float64)
        box = box_of_points(points, aspect) if self.box is None else np.array(self.box, np.float64)
        return box, points


def points_of_box(box: np.ndarray, mean_points: Points = POINTS_IN_FACE_BOX) -> np.ndarray:
    """Left brow, right brow and nose at their usual places in a (4,) box: (3, 2) float32, in the box's own pixels.

    `mean_points` is POINTS_IN_FACE_BOX for a box around the whole face, POINTS_IN_DETECTED_BOX for a detector's. An
    estimate: on a face that is turned to the side they are off by up to a tenth of the width.
    """
    box = np.asarray(box, np.float64)
    return (box[:2] + np.array(mean_points) * (box[2:] - box[:2])).astype(np.float32)


def box_of_points(points: np.ndarray, aspect: float = 1.0) -> np.ndarray:
    """The upright box around the face that has these (3, 2) brows and nose: (4,) float64, in the points' pixels."""
    size = np.array([FACE_BOX_ASPECT, 1.0])
    # As complex numbers, which one factor rotates and scales.
    mean_points = (np.array(POINTS_IN_FACE_BOX) - 0.5) * size @ (1, 1j)
    given = points * (aspect, 1) @ (1, 1j)
    centred_points = mean_points - mean_points.mean()
    factor = np.vdot(centred_points, given - given.mean()) / np.vdot(centred_points, centred_points).real
    middle = given.mean() - factor * mean_points.mean()
    centre, half = np.array([middle.real, middle.imag]), abs(factor) * size / 2
    return np.concatenate([centre - half, centre + half]) / (aspect, 1, aspect, 1)


def box_of_detection(detected: np.ndarray, aspect: float = 1.0) -> np.ndarray:
    """The box of a whole face, (4,) float64, from a detector's box, which begins at the middle of the forehead."""
    return box_of_points(points_of_box(detected, POINTS_IN_DETECTED_BOX), aspect)


def read_marks(text: str, clip: Clip) -> tuple[Mark, ...]:
    """Parses marks from JSON, a list with one object per mark; sorted by frame, then face.

    Each gives its "frame" (from 0) or its "time" (seconds after the clip's start), and "box" [x0, y0, x1, y1],
    "points" [[x, y], [x, y], [x, y]] (left brow, right brow, nose), both, or "gone": true. "face" numbers the face
    where several are marked, 0 if left out. An empty text has no marks.

    Raises:
        OptionError: the text isn't such a list, or a mark doesn't fit the clip; the message says which and why.
    """
    if len(text) > MAX_TEXT_CHARACTERS:
        raise OptionError(
            f"the marks are {len(text)} characters long; use at most {MAX_TEXT_CHARACTERS}: the "
            "face is tracked between marks"
        )
    if not text.strip():
        return ()
    entries = _parsed(text)
    if not isinstance(entries, list):
        raise OptionError(f"the marks are {_quoted(entries)}; write a list, such as {EXAMPLE}")
    if len(entries) > MAX_MARKS:
        raise OptionError(f"there are {len(entries)} marks; use at most {MAX_MARKS}: the face is tracked between marks")
    marks = [_Entry(number, entry).mark(clip) for number, entry in enumerate(entries, 1)]
    seen: dict[tuple[int, int], int] = {}
    for number, mark in enumerate(marks, 1):
        other = seen.setdefault((mark.frame, mark.face), number)
        if other != number:
            raise OptionError(
                f"marks {other} and {number} both place face {mark.face} in frame {mark.frame}; keep one of them, "
                f'or number the faces: "face": 1'
            )
    return tuple(sorted(marks, key=lambda mark: (mark.frame, mark.face)))


def _parsed(text: str) -> object:
    def constant(name: str) -> NoReturn:
        raise OptionError(f"the marks contain {name}; write a number")

    def single(pairs: list[tuple[str, object]]) -> dict[str, object]:
        keys = [key for key, _ in pairs]
        for key in keys:
            if keys.count(key) > 1:
                raise OptionError(f'a mark has "{_quoted(key)}" {keys.count(key)} times; keep one')
        return dict(pairs)

    try:
        return json.loads(text, parse_constant=constant, object_pairs_hook=single)
    except json.JSONDecodeError as problem:
        raise OptionError(
            f"the marks aren't JSON: {problem.msg} at line {problem.lineno}, column {problem.colno}; "
            f"write them like {EXAMPLE}"
        ) from None
    except (RecursionError, ValueError):  # nested too deep, or a number of thousands of digits
        raise OptionError(f"the marks nest too deep or contain too long a number; write them like {EXAMPLE}") from None


class _Entry:
    """One mark's unchecked JSON value, and its position in the list (from 1) for messages."""

    def __init__(self, number: int, entry: object) -> None:
        self._number = number
        if not isinstance(entry, dict):
            self._refuse(f"is {_quoted(entry)}", f"write it like {EXAMPLE[1:-1].split('}')[0]}}}")
        for key in entry:
            if key not in KEYS:
                self._refuse(f'has "{_quoted(key)}"', f"the known keys are {', '.join(KEYS)}")
        self._entry: dict = entry

    def mark(self, clip: Clip) -> Mark:
        """Checks the values and returns the mark."""
        frame, face = self._frame(clip), self._face()
        gone = self._entry.get("gone", False)
        if not isinstance(gone, bool):
            self._refuse(f'has "gone": {_quoted(gone)}', "write true, or leave it out")
        placed = [key for key in ("box", "points") if key in self._entry]
        if gone and placed:
            self._refuse(f'says gone and has "{placed[0]}"', "keep one of them")
        if not gone and not placed:
            self._refuse("places no face", 'add "box": [x0, y0, x1, y1] or "points": [[x, y], [x, y], [x, y]] '
                         'of left brow, right brow and nose, or "gone": true')  # fmt: skip
        box = self._box(clip) if "box" in self._entry else None
        points = self._points(clip) if "points" in self._entry else None
        return Mark(frame, box, points, face)

    def _frame(self, clip: Clip) -> int:
        if ("frame" in self._entry) == ("time" in self._entry):
            self._refuse("has both a frame and a time" if "frame" in self._entry else "names no frame",
                         'use one of "frame": 0 and "time": 0.0 (seconds)')  # fmt: skip
        if "frame" in self._entry:
            frame = self._entry["frame"]
            if isinstance(frame, float) and frame.is_integer():
                frame = int(frame)
            if not _is_whole(frame):
                self._refuse(f"is at frame {_quoted(frame)}", "use a whole number")
            if not 0 <= frame < clip.frame_count:
                self._refuse(f"is at frame {_quoted(frame)}", f"the clip has frames 0 to {clip.frame_count - 1}")
            return frame
        time = self._number_value(self._entry["time"], "is at time", "use seconds after the clip's start")
        if not 0 <= time <= clip.duration:
            self._refuse(f"is at time {_quoted(time)} s", f"the clip lasts {clip.duration:.3f} s")
        return max(int(np.searchsorted(clip.times, time + 1e-6, side="right")) - 1, 0)

    def _face(self) -> int:
        face = self._entry.get("face", 0)
        if not _is_whole(face) or not 0 <= face < MAX_FACES:
            self._refuse(f"has face {_quoted(face)}", f"use a number from 0 to {MAX_FACES - 1}")
        return face

    def _box(self, clip: Clip) -> Box:
        written = self._entry["box"]
        remedy = "use [x0, y0, x1, y1] in pixels: left, top, right and bottom"
        if not isinstance(written, list) or len(written) != 4:
            self._refuse(f"has the box {_quoted(written)}", remedy)
        x0, y0, x1, y1 = (self._number_value(value, "has in its box", remedy) for value in written)
        if x1 - x0 < MIN_BOX_SIDE or y1 - y0 < MIN_BOX_SIDE:
            self._refuse(
                f"has the box {_quoted(written)}", f"{remedy}, with x1 - x0 and y1 - y0 at least {MIN_BOX_SIDE:g}"
            )
        self._check_inside(clip, (x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, y1 - y0), f"the box {_quoted(written)}")
        return x0, y0, x1, y1

    def _points(self, clip: Clip) -> Points:
        written = self._entry["points"]
        remedy = "use [[x, y], [x, y], [x, y]] in pixels: left brow, right brow, nose"
        if not isinstance(written, list) or len(written) != 3:
            self._refuse(f"has the points {_quoted(written)}", remedy)
        for point in written:
            if not isinstance(point, list) or len(point) != 2:
                self._refuse(f"has the point {_quoted(point)}", remedy)
        left, right, nose = (
            (self._number_value(x, "has in its points", remedy), self._number_value(y, "has in its points", remedy))
            for x, y in written
        )
        apart = min(math.dist(*pair) for pair in ((left, right), (left, nose), (right, nose)))
        if not apart >= MIN_POINT_DISTANCE:
            self._refuse(
                f"has points that coincide, {_quoted(written)}",
                f"set them {MIN_POINT_DISTANCE:g} pixel or more apart",
            )
        x, y = ((left[k] + right[k] + nose[k]) / 3 for k in (0, 1))
        self._check_inside(
            clip, x, y, max(math.dist(left, right), math.dist(left, nose)), f"the points {_quoted(written)}"
        )
        # Swapped brows would mirror the face.
        if (right[0] - left[0]) * (nose[1] - left[1]) < (right[1] - left[1]) * (nose[0] - left[0]):
            left, right = right, left
        return left, right, nose

    def _check_inside(self, clip: Clip, x: float, y: float, size: float, what: str) -> None:
        if not (0 <= x < clip.width and 0 <= y < clip.height):
            self._refuse(f"has {what}, whose centre lies outside of the picture",
                         f"the picture is {clip.width}×{clip.height} pixels")  # fmt: skip
        if size > 4 * max(clip.width, clip.height):
            self._refuse(
                f"has {what}, much larger than the picture", f"the picture is {clip.width}×{clip.height} pixels"
            )

    def _number_value(self, value: object, what: str, remedy: str) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e9:
            self._refuse(f"{what} {_quoted(value)}", remedy)
        return float(value)

    def _refuse(self, what: str, remedy: str) -> NoReturn:
        raise OptionError(f"mark {self._number} {what}; {remedy}")


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _quoted(value: object) -> str:
    """A user's value for a message: as JSON, shortened."""
    try:
        text = json.dumps(value)
    except RecursionError:
        return "something nested too deep"
    if isinstance(value, str):
        text = text[1:-1]
    return text if len(text) <= MAX_QUOTED_CHARACTERS else text[: MAX_QUOTED_CHARACTERS - 1] + "…"
