"""The head as a surface: where a camera ray meets it, how the jaw moves it, and where its points appear."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from .identity import Identity

CROWN = 0.7  # how square the skull's top is: 0 an ellipsoid
RELIEF_STEPS = 3
PROFILE = 0.40, -0.45, 0.98  # head units: half the width, top and bottom of the front whose relief shows in a profile
PROFILE_STEPS = 28  # samples of a ray through it
PROFILE_SLOPE = 1.5  # of the relief's level about the outline, per head unit


@dataclass(frozen=True)
class Pose:
    """Where the head is and how it is turned. Angles in radians: yaw > 0 looks to the picture's right, pitch > 0 down,
    roll > 0 clockwise."""

    x: float  # pixels, of the head's origin
    y: float
    scale: float  # pixels per head unit; a face is about 2.3 units high with the hair, 1.5 wide
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0

    @property
    def rotation(self) -> np.ndarray:
        """(3, 3): head to camera; x to the right, y down, z towards the camera."""
        cy, sy = np.cos(self.yaw), np.sin(self.yaw)
        cp, sp = np.cos(self.pitch), np.sin(self.pitch)
        cr, sr = np.cos(self.roll), np.sin(self.roll)
        about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
        about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        return about_z @ about_y @ about_x

    def project(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) head points to (..., 2) pixels, whole numbers being pixel centres."""
        camera = points @ self.rotation.T
        return camera[..., :2] * self.scale + (self.x, self.y)


@dataclass(frozen=True)
class Jaw:
    """How the lower face and the brows are displaced."""

    drop: float = 0.0  # head units that the chin has moved down
    lip: float = 0.07  # height of the closed lower lip: it moves whole
    brows: float = 0.0  # head units that the brows are raised

    def rest_y(self, person: Identity, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The height that the skin at (x, y) has with a closed mouth and resting brows."""
        rest = y
        if self.drop > 1e-6:
            x2 = x * x
            drop = np.float32(self.drop) * (1 - np.float32(0.45 / person.width**2) * np.minimum(x2, 0.5))
            rest = y - drop * np.clip((y - np.float32(person.mouth_y)) / (drop + np.float32(self.lip) + x2), 0, 1)
        if abs(self.brows) > 1e-6:
            high = (y + np.float32(0.36)) * np.float32(1 / 0.16)
            rest = rest + np.float32(self.brows) * np.exp(-high * high)
        return rest

    def displaced_y(self, person: Identity, x: np.ndarray, rest: np.ndarray) -> np.ndarray:
        """Where the skin resting at (x, rest) is now: the inverse of `rest_y`, by bisection."""
        x, rest = np.asarray(x, np.float32), np.asarray(rest, np.float32)
        low, high = rest - np.float32(0.3), rest + np.float32(self.drop + 0.3)
        for _ in range(20):
            middle = (low + high) / 2
            above = self.rest_y(person, x, middle) < rest
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return (low + high) / 2


@dataclass(frozen=True, eq=False)
class Rays:
    """Camera rays that pass the head's outline or nearly so, each array (n,): where they start and how they fare."""

    pixels: np.ndarray  # flat index in the window
    base: tuple[np.ndarray, np.ndarray, np.ndarray]  # head-space x, y, z in the camera's plane
    to_camera: np.ndarray  # (3,), head-space direction to the camera
    inside: np.ndarray  # head units from the outline, positive on the head
    along: np.ndarray  # first guess of how far along `to_camera` the head's front lies


@dataclass(frozen=True, eq=False)
class Hits:
    """What the rays met, each (n,) float32: the place in head units, its resting height, the smooth form's normal."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    rest_y: np.ndarray
    normal: tuple[np.ndarray, np.ndarray, np.ndarray]  # head axes, not normalised


def camera_rays(pose: Pose, columns: np.ndarray, rows: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Where a window's pixels lie in the camera's plane, head-space x, y, z, each (h·w,); and the way to the camera."""
    rotation = pose.rotation.astype(np.float32)
    a = ((columns - pose.x) / pose.scale).astype(np.float32)[None, :]
    b = ((rows - pose.y) / pose.scale).astype(np.float32)[:, None]
    return [(rotation[0, k] * a + rotation[1, k] * b).ravel() for k in range(3)], rotation[2]


def rays_near_head(
    person: Identity, jaw: Jaw, base: list[np.ndarray], to_camera: np.ndarray, margin: float, dilation: float = 0.0
) -> Rays:
    """The rays that come at least within `margin` (head units) of the head, swollen by `dilation`."""
    lowest, vertex, curve = _vertex(person, jaw, base, to_camera)
    near = np.flatnonzero(lowest < np.float32(6 * margin + 3 * dilation))
    bx, by, bz = (b[near] for b in base)
    lowest, vertex, curve = _vertex(person, jaw, [bx, by, bz], to_camera, vertex[near])
    x, y, z = bx + vertex * to_camera[0], by + vertex * to_camera[1], bz + vertex * to_camera[2]
    lowest, _, gx, gy, _ = _implicit_gradient(person, jaw, x, y, z)
    inside = np.float32(dilation) - lowest / np.sqrt(gx * gx + gy * gy + np.float32(1e-2))
    keep = np.flatnonzero(inside > -margin)
    along = (vertex + np.sqrt(np.maximum(np.float32(2.6 * dilation) - lowest, 0) / curve))[keep]
    return Rays(near[keep], (bx[keep], by[keep], bz[keep]), to_camera, inside[keep], along)


def intersect_head(person: Identity, jaw: Jaw, relief: Maps | None, rays: Rays) -> Hits:
    """Follows the rays to the head's front."""
    along = rays.along
    ray = rays.to_camera
    raised = np.float32(0)
    for turn in range(RELIEF_STEPS + 1):
        x, y, z = (b + along * r for b, r in zip(rays.base, ray, strict=True))
        if relief is not None and turn > 0:
            raised = relief.height(x, jaw.rest_y(person, x, y))
        level, rest, gx, gy, gz = _implicit_gradient(person, jaw, x, y, z - raised)
        if turn < RELIEF_STEPS:
            slope = gx * ray[0] + gy * ray[1] + gz * ray[2]
            along = along - np.clip(level / np.maximum(slope, np.float32(0.35)), -0.2, 0.2)
    return Hits(x, y, z, rest, (gx, gy, gz))


def intersect_profile(person: Identity, jaw: Jaw, relief: Maps, base, to_camera, pixel: float) -> tuple[Rays, Hits]:
    """The rays that meet the relief of the face's front as it stands out sideways, and where: nose, lips and chin.

    `intersect_head` starts from the smooth outline, so that it never sees a nose beyond it: for heads turned far aside.
    """
    half, top, bottom = PROFILE
    side = np.float32(np.sign(to_camera[0]))
    edge = (side * np.float32(half) - base[0]) / to_camera[0]  # a ray comes in at the side that is nearer to the camera
    high = base[1] + edge * to_camera[1]
    near = np.flatnonzero((high > top) & (high < bottom))
    places = np.linspace(0, 2 * half / abs(to_camera[0]), PROFILE_STEPS, dtype=np.float32)
    bx, by, bz = (b[near] for b in base)
    edge = edge[near]
    levels = np.stack(
        [_height_above_surface(person, jaw, relief, bx, by, bz, to_camera, edge - place) for place in places]
    )
    above = levels > 0
    entering = above[:-1] & ~above[1:]
    lowest = np.where(above[0], np.where(entering.any(0), -1, levels.min(0)), np.float32(9))
    first = np.where(entering.any(0), entering.argmax(0), np.maximum(levels.argmin(0) - 1, 0))
    lowest = np.where(lowest < 0, levels.min(0), lowest)
    keep = np.flatnonzero(lowest < np.float32(PROFILE_SLOPE * pixel))
    bx, by, bz, edge, first, lowest = (part[keep] for part in (bx, by, bz, edge, first, lowest))
    far, close = edge - places[np.minimum(first + 1, PROFILE_STEPS - 1)], edge - places[first]
    for _ in range(5):
        middle = (far + close) / 2
        outside = _height_above_surface(person, jaw, relief, bx, by, bz, to_camera, middle) > 0
        close, far = np.where(outside, middle, close), np.where(outside, far, middle)
    x, y, z = bx + far * to_camera[0], by + far * to_camera[1], bz + far * to_camera[2]
    raised = relief.height(x, jaw.rest_y(person, x, y))
    _, rest, gx, gy, gz = _implicit_gradient(person, jaw, x, y, z - raised)
    inside = -lowest / np.float32(PROFILE_SLOPE)
    return Rays(near[keep], (bx, by, bz), to_camera, inside, far), Hits(x, y, z, rest, (gx, gy, gz))


def _height_above_surface(person: Identity, jaw: Jaw, relief: Maps, bx, by, bz, to_camera, along) -> np.ndarray:
    """By how much points of rays lie before the face's front, head units."""
    x, y, z = bx + along * to_camera[0], by + along * to_camera[1], bz + along * to_camera[2]
    rest = jaw.rest_y(person, x, y)
    forward = np.float32(person.chin) * np.maximum(rest, 0) ** 2
    level, *_ = _implicit_form(person, jaw, x, y, forward)
    front = forward - np.float32(person.depth) * np.sign(level) * np.sqrt(np.abs(level))  # falls on beyond the outline
    return z - front - relief.height(x, rest)


def _vertex(person: Identity, jaw: Jaw, base, to_camera: np.ndarray, start: np.ndarray | None = None):
    """Along a ray the head's form is nearly a parabola: its lowest level, where that is, and its curvature."""
    vertex = np.zeros_like(base[0]) if start is None else start
    step = np.float32(0.5)
    low, mid, high = (
        _implicit_form(person, jaw, *(b + (vertex + s) * t for b, t in zip(base, to_camera, strict=True)))[0]
        for s in (-step, np.float32(0), step)
    )
    curve = np.maximum((low + high - 2 * mid) * (0.5 / (step * step)), np.float32(0.3))
    slope = (high - low) / (2 * step)
    return mid - slope * slope / (4 * curve), np.clip(vertex - slope / (2 * curve), -1.5, 1.5), curve


def surface_points(person: Identity, jaw: Jaw, relief: Maps | None, places: np.ndarray) -> np.ndarray:
    """(n, 2) places x y to (n, 3) points on the skin there."""
    x, y = (np.ascontiguousarray(places[:, k], np.float32) for k in (0, 1))
    rest = jaw.rest_y(person, x, y)
    forward = np.float32(person.chin) * np.maximum(rest, 0) ** 2
    level, *_ = _implicit_form(person, jaw, x, y, forward)
    z = forward + np.float32(person.depth) * np.sqrt(np.maximum(-level, 0))
    if relief is not None:
        z = z + relief.height(x, rest)
    return np.stack([x, y, z], axis=1).astype(np.float64)


def _implicit_form(person: Identity, jaw: Jaw, x, y, z):
    """The head's implicit form, negative inside: an ellipsoid about a chin that juts, squarer where the jaw is.

    Returns the level, the resting height, and what the gradient is made of.
    """
    rest = jaw.rest_y(person, x, y)
    down = np.maximum(rest, 0)
    up = np.maximum(-rest, 0) * np.float32(1 / person.crown)
    squared = down * down
    wide = np.float32(1 / person.width) / np.maximum(1 - np.float32(person.taper) * squared, np.float32(0.3))
    sx = x * wide
    sz = (z - np.float32(person.chin) * squared) * np.float32(1 / person.depth)
    jowl, crown = np.float32(person.jaw - 2), np.float32(CROWN)
    level = sx * sx + sz * sz - 1
    level += squared * ((1 - jowl) + jowl * down) + up * up * ((1 - crown) + crown * up)
    return level, rest, (down, up, wide, sx, sz)


def _implicit_gradient(person: Identity, jaw: Jaw, x, y, z):
    """The form's level and resting height with its gradient in x, y and z."""
    level, rest, (down, up, wide, sx, sz) = _implicit_form(person, jaw, x, y, z)
    jowl, crown = np.float32(person.jaw - 2), np.float32(CROWN)
    gx, gz = 2 * sx * wide, sz * np.float32(2 / person.depth)
    gy = down * (2 * (1 - jowl) + 3 * jowl * down) - up * (2 * (1 - crown) + 3 * crown * up) * np.float32(
        1 / person.crown
    )
    gy += down * (np.float32(4 * person.taper) * sx * sx - np.float32(2 * person.chin) * gz)
    return level, rest, gx, gy, gz


class Maps:
    """Pictures on the head's front, one channel each, read at any (x, resting y). Channel 0 is the relief."""

    X, Y = 1.05, 1.5  # half extents, head units

    def __init__(self, density: float, channels: np.ndarray):
        self.density = density
        self._channels = torch.from_numpy(np.ascontiguousarray(channels, np.float32))[None]
        self._relief = self._channels[:, :1].contiguous()

    @classmethod
    def grid(cls, density: float) -> tuple[np.ndarray, np.ndarray]:
        """The (h, w) coordinates x and y of every cell at `density` cells per head unit."""
        width, height = round(2 * cls.X * density) + 1, round(2 * cls.Y * density) + 1
        x = np.linspace(-cls.X, cls.X, width, dtype=np.float32)
        y = np.linspace(-cls.Y, cls.Y, height, dtype=np.float32)
        return np.meshgrid(x, y)

    def height(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The relief in head units at (n,) places."""
        return self._read(self._relief, x, y)[0]

    def read(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(C, n): all channels."""
        return self._read(self._channels, x, y)

    def _read(self, channels: torch.Tensor, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        places = np.empty((1, 1, x.size, 2), np.float32)
        np.multiply(x, np.float32(1 / self.X), out=places[0, 0, :, 0])
        np.multiply(y, np.float32(1 / self.Y), out=places[0, 0, :, 1])
        return F.grid_sample(channels, torch.from_numpy(places), padding_mode="border", align_corners=True)[
            0, :, 0
        ].numpy()
