"""Renders a film frame by frame, with the ground truth of each: faces, occlusions, the shot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..backdrop import backdrop
from ..head.painter import FaceTruth, HeadState, Painter
from ..head.surface import Pose
from ..occluders.objects import paint_occluder
from .film import BLACK_FRAMES, DISSOLVE_FRAMES, FADE_FRAMES, FLASH_FRAMES, Film, FilmShot
from .film_staging import Keyframe, Pan, Role
from .scene import NOISE_TILES, add_grain

BACKDROP_MARGIN = 0.16  # of the frame's width and height that the backdrop reaches beyond each of its edges
FLASH_GAIN = 1.7  # times as bright in the first frame of a flash
MIN_OCCLUDING_ALPHA = 0.5  # of a hand's alpha from which a pixel of the face counts as hidden


@dataclass(frozen=True, eq=False)
class FaceVisibility:
    """A person's face in a frame. Shares are parts of the ellipse in its box; with `visible` they make up 1."""

    person: int
    truth: FaceTruth
    outside: float  # beyond the frame's edges
    hidden: float  # behind somebody nearer to the camera
    covered: float  # behind a hand or what it holds

    @property
    def visible(self) -> float:
        return max(0.0, 1.0 - self.outside - self.hidden - self.covered)


@dataclass(frozen=True, eq=False)
class FilmTruth:
    """What is true of a frame."""

    index: int
    time: float  # seconds
    shot: int
    faces: tuple[FaceVisibility, ...]  # of all people of the shot, the farthest first, also those outside the frame
    occluder_alpha: (
        np.ndarray | None
    )  # (H, W) float32 in [0, 1]: alpha of hands, microphones and cups; None where there is none
    pure: float  # 1 in an undisturbed frame; its brightness in a fade, the own shot's share in a dissolve


def render_film(film: Film) -> Iterator[tuple[np.ndarray, FilmTruth]]:
    """Frame by frame: (H, W, 3) uint8 RGB and its truth. The same film gives the same bits."""
    renderers = [_ShotRenderer(film, number) for number in range(len(film.shots))]
    for number, (start, stop) in enumerate(film.ranges):
        for index in range(start, stop):
            frame, faces, occluder_alpha = renderers[number].draw(index)
            pure = 1.0
            other, share = _dissolve_partner(film, number, index)
            if other is not None:
                other_frame, _, _ = renderers[other].draw(index)
                frame = (frame * share + other_frame * (1 - share) + 0.5).astype(np.uint8)
                pure = share
            bright = _fade_level(film, number, index)
            if bright < 1:
                frame = (frame * bright + 0.5).astype(np.uint8)
                pure = bright
            grain = renderers[number].grain
            if grain is not None and bright > 0:
                add_grain(frame, grain[index % NOISE_TILES], index)
            yield frame, FilmTruth(index, float(index / film.fps), number, faces, occluder_alpha, pure)
        if number:
            renderers[number - 1].release()


def _dissolve_partner(film: Film, number: int, index: int) -> tuple[int | None, float]:
    """The shot that shows through in this frame, if any, and the share of the frame's own shot."""
    start, stop = film.ranges[number]
    half = DISSOLVE_FRAMES // 2
    if film.shots[number].begins == "dissolve" and index < start + half:
        return number - 1, 0.5 + (index - start + 0.5) / DISSOLVE_FRAMES
    if number + 1 < len(film.shots) and film.shots[number + 1].begins == "dissolve" and index >= stop - half:
        return number + 1, 0.5 + (stop - index - 0.5) / DISSOLVE_FRAMES
    return None, 1.0


def _fade_level(film: Film, number: int, index: int) -> float:
    """How bright the frame is, 0 to 1."""
    start, stop = film.ranges[number]
    bright = 1.0
    if film.shots[number].begins == "fade":
        bright = (index - start - BLACK_FRAMES + 1) / (FADE_FRAMES + 1)
    if number + 1 < len(film.shots) and film.shots[number + 1].begins == "fade":
        bright = min(bright, (stop - index) / (FADE_FRAMES + 1))
    return float(np.clip(bright, 0, 1))


class _ShotRenderer:
    """One shot, ready to be drawn at any of the film's frames; its pictures are made when first needed."""

    def __init__(self, film: Film, number: int):
        self._film = film
        self._shot: FilmShot = film.shots[number]
        self._start = film.ranges[number][0]
        self._number = number
        self._behind: np.ndarray | None = None
        self._painters: list[Painter] = []
        self._grain: np.ndarray | None = None

    @property
    def grain(self) -> np.ndarray | None:
        """(NOISE_TILES, h, w, 1) int16."""
        film = self._film
        if self._grain is None and self._shot.grain > 0:
            rng = np.random.default_rng((982451653, film.seed, self._number))
            tile = (NOISE_TILES, min(film.height, 512), min(film.width, 512), 1)
            self._grain = np.round(rng.standard_normal(tile, np.float32) * self._shot.grain).astype(np.int16)
        return self._grain

    def release(self) -> None:
        """Lets the pictures go."""
        self._behind, self._painters, self._grain = None, [], None

    def draw(self, index: int) -> tuple[np.ndarray, tuple[FaceVisibility, ...], np.ndarray | None]:
        film, shot = self._film, self._shot
        if self._behind is None:
            wide, high = (
                round(side * (1 + 2 * BACKDROP_MARGIN) * shot.backdrop_zoom) for side in (film.width, film.height)
            )
            self._behind = backdrop(shot.backdrop, wide, high, shot.light.warmth)
            self._painters = [Painter(film.cast[role.person], shot.light) for role in shot.roles]
        time, progress = float(index / film.fps), (index - self._start) / max(shot.frames - 1, 1)
        across, down = _camera_offset(shot.pan, progress, time, film.width)
        frame = _crop_backdrop(self._behind, across, down, film.width, film.height)
        regions, truths = [], []
        occluder_alpha: np.ndarray | None = None
        for role, painter in zip(shot.roles, self._painters, strict=True):
            head_state = _head_state_at(film, role, time, progress, (across, down))
            before = frame.copy()
            truth = painter.paint(frame, head_state)
            if regions:
                changed = (frame != before).any(2)
                for region in regions:
                    region.occlude_by_person(changed)
            region = _FaceRegion(truth, film.width, film.height)
            if role.occluder is not None:
                alpha = paint_occluder(frame, role.occluder, truth, progress, 1 / max(shot.frames - 1, 1))
                region.occlude_by_object(alpha)
                occluder_alpha = alpha if occluder_alpha is None else np.maximum(occluder_alpha, alpha)
            regions.append(region)
            truths.append((role.person, truth))
        if shot.flash is not None and 0 <= index - self._start - shot.flash < FLASH_FRAMES:
            bright = 1 + (FLASH_GAIN - 1) / (index - self._start - shot.flash + 1)
            frame = np.minimum(frame * np.float32(bright) + np.float32(0.5), 255).astype(np.uint8)
        faces = tuple(
            FaceVisibility(who, truth, *region.shares) for (who, truth), region in zip(truths, regions, strict=True)
        )
        return frame, faces, occluder_alpha


class _FaceRegion:
    """The face's place in the frame, pixel by pixel: what of it is still seen."""

    def __init__(self, truth: FaceTruth, width: int, height: int):
        x0, y0, x1, y1 = truth.box
        left, top = int(np.floor(x0)), int(np.floor(y0))
        columns, rows = np.arange(left, int(np.ceil(x1)) + 1), np.arange(top, int(np.ceil(y1)) + 1)
        u = (columns - (x0 + x1) / 2) / max((x1 - x0) / 2, 0.5)
        v = (rows - (y0 + y1) / 2) / max((y1 - y0) / 2, 0.5)
        whole = u[None, :] ** 2 + v[:, None] ** 2 <= 1
        self._count = max(int(whole.sum()), 1)
        keep_rows, keep_columns = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
        self._visible = whole[keep_rows][:, keep_columns]
        self._outside = self._count - int(self._visible.sum())
        inner = rows[keep_rows], columns[keep_columns]
        self._part = tuple(slice(int(k[0]), int(k[-1]) + 1) if len(k) else slice(0, 0) for k in inner)
        self._hidden = self._covered = 0

    def occlude_by_person(self, changed: np.ndarray) -> None:
        self._hidden += self._subtract(changed)

    def occlude_by_object(self, alpha: np.ndarray) -> None:
        self._covered += self._subtract(alpha >= MIN_OCCLUDING_ALPHA)

    def _subtract(self, mask: np.ndarray) -> int:
        gone = self._visible & mask[self._part]
        self._visible = self._visible & ~gone
        return int(gone.sum())

    @property
    def shares(self) -> tuple[float, float, float]:
        return self._outside / self._count, self._hidden / self._count, self._covered / self._count


def _head_state_at(film: Film, role: Role, time: float, progress: float, shift: tuple[float, float]) -> HeadState:
    motion = role.motion
    x, y, size, yaw, pitch = interpolate_keyframes(role.keys, progress)
    sway_x, sway_y, factor = motion.drift(time)
    scale = size * film.height * factor
    own = motion.angles(time)
    pose = Pose(
        x * film.width - shift[0] + sway_x * scale, y * film.height - shift[1] + sway_y * scale, scale,
        own[0] + np.radians(yaw), own[1] + np.radians(pitch), own[2],
    )  # fmt: skip
    mouth = film.performances[role.person].mouth(np.array([time]))[0]
    return HeadState(pose, mouth, motion.blink(time), motion.gaze(time), motion.brows(time))


def interpolate_keyframes(keys: tuple[Keyframe, ...], progress: float) -> tuple[float, float, float, float, float]:
    """x, y, size, yaw and pitch: at rest at every key, eased on the way."""
    after = next((k for k in range(1, len(keys)) if keys[k].progress >= progress), len(keys) - 1)
    first, last = keys[max(after - 1, 0)], keys[after]
    part = float(np.clip((progress - first.progress) / max(last.progress - first.progress, 1e-6), 0, 1))
    eased = part * part * (3 - 2 * part)
    names = ("x", "y", "size", "yaw", "pitch")
    return tuple(getattr(first, n) + eased * (getattr(last, n) - getattr(first, n)) for n in names)


def _camera_offset(pan: Pan, progress: float, time: float, width: int) -> tuple[float, float]:
    """How many pixels the camera has moved to the right and down."""
    turns = np.array([[2.1, 3.7], [2.9, 1.7]])
    shake = pan.shake * np.sin(2 * np.pi * turns * time + (0.3, 1.9)).sum(1)
    across, down = (
        start + progress * (end - start) + by for start, end, by in zip(pan.start, pan.end, shake, strict=True)
    )
    return across * width, down * width


def _crop_backdrop(behind: np.ndarray, across: float, down: float, width: int, height: int) -> np.ndarray:
    """The part of the backdrop that the camera sees, between pixels by interpolation: (height, width, 3) uint8."""
    x = (behind.shape[1] - width) / 2 + across
    y = (behind.shape[0] - height) / 2 + down
    x, y = float(np.clip(x, 0, behind.shape[1] - width - 1)), float(np.clip(y, 0, behind.shape[0] - height - 1))
    left, top = int(x), int(y)
    part = behind[top : top + height + 1, left : left + width + 1]
    if x == left and y == top:
        return part[:-1, :-1].copy()
    part = part.astype(np.float32)
    part = part[:-1] + np.float32(y - top) * (part[1:] - part[:-1])
    part = part[:, :-1] + np.float32(x - left) * (part[:, 1:] - part[:, :-1])
    return (part + np.float32(0.5)).astype(np.uint8)
