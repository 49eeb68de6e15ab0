"""Film sets in layers: a room at night with a view over the city, and the side of it that the lamps light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from .noise import smooth_noise

HEIGHT = 360  # rows that a layer is drawn with; the lens blurs anything finer
MARGIN = 0.16  # of the frame's width and height that a layer reaches beyond each of its edges
FAR_BLUR, ROOM_BLUR, NEAR_BLUR = 8.0, 4.2, 15.0  # radii of the lens' discs, rows
WARM, AMBER, COOL = (1.0, 0.62, 0.28), (1.0, 0.45, 0.13), (0.42, 0.62, 1.0)  # linear RGB of light


@dataclass(frozen=True, eq=False)
class Layer:
    """One depth of a set. A layer covers the frame and MARGIN around it, at any number of pixels."""

    picture: torch.Tensor  # (4, h, w) float32: linear RGB times alpha, may exceed 1; alpha
    depth: float  # how far away: the camera's movement shifts a layer by 1 / depth; the actors' is 1


@dataclass(frozen=True, eq=False)
class FilmSet:
    """Layers behind the actors, the farthest first, and those before them."""

    behind: tuple[Layer, ...]
    before: tuple[Layer, ...] = ()


def night_window(seed: int, aspect: float) -> FilmSet:
    """A room with a tall window over a lit city at the left and a lamp at the right; a shoulder at the left edge."""
    x, y = _grid(aspect)
    city = _lens_blur(np.concatenate([_city(seed, x, y), np.ones_like(x)[None]]), FAR_BLUR)
    right = aspect / 2
    sill, pane_right = 0.86, 0.16 * right
    glass = (x < pane_right) & (y < sill)
    bar = np.minimum(np.abs((x - pane_right + 0.34) % 0.62 - 0.31), np.abs(y - 0.20))
    frame = glass & (bar < 0.014)
    wall = np.array((0.060, 0.040, 0.030))[:, None, None] * (1 + 0.10 * smooth_noise((seed, 31), x.shape, (9, 16), 3))
    lamp_x, lamp_y = 0.72 * right, 0.30
    away = np.hypot(x - lamp_x, 1.15 * (y - lamp_y))
    wall = wall * (0.30 + 9.0 / (1 + (away / 0.13) ** 2))[None] * _color(WARM)
    room = np.where(glass & ~frame, 0.0, wall)
    edge = np.exp(-(((x - pane_right - 0.006) / 0.012) ** 2)) * (y < sill)
    room = np.where(frame, _color((0.030, 0.024, 0.022)) + 0.10 * _color(AMBER) * np.clip(x + 0.4, 0, 1), room)
    room += 0.25 * edge * _color(WARM) * np.exp(-((y - 0.4) ** 2) / 0.2)
    alpha = np.where(glass & ~frame, 0.0, 1.0)
    room = _curtain(seed, room, alpha, x, y, pane_right)
    room = _lamp(room, alpha, x, y, lamp_x, lamp_y)
    room = _picture_frame(seed, room, x, y, 0.40 * right, 0.24)
    reflected = np.exp(-(((x + 0.16 * right) / 0.10) ** 2) - ((y - 0.33) / 0.11) ** 2) * glass * 0.10
    room += reflected * _color(AMBER)
    layer = _lens_blur(np.concatenate([room, alpha[None]]), ROOM_BLUR)
    return FilmSet((Layer(city, 5.0), Layer(layer, 1.9)), (Layer(_shoulder(x, y, aspect), 0.62),))


def lamp_side(seed: int, aspect: float) -> FilmSet:
    """The room's other side: shelves of books and bottles under hanging bulbs, a doorway that the evening lights."""
    x, y = _grid(aspect)
    rng = np.random.default_rng((49979687, seed))
    right = aspect / 2
    wall = _color((0.050, 0.040, 0.040)) * (1 + 0.12 * smooth_noise((seed, 41), x.shape, (8, 14), 3))
    bulbs = [(-0.80 * right, 0.16), (-0.43 * right, 0.25), (0.90 * right, 0.12)]
    glow = sum(1 / (1 + (np.hypot(x - bx, y - by) / 0.16) ** 2) for bx, by in bulbs)
    room = wall * (0.45 + 3.2 * glow) * _color(WARM)
    room = _shelves(rng, room, glow, x, y, -1.2 * right, -0.12 * right)
    door = (x > 0.42 * right) & (x < 0.74 * right) & (y > 0.02)
    night = _color(COOL) * (0.14 + 0.34 * np.clip(1.05 - y, 0, 1))
    lamps = np.zeros_like(room)
    for _ in range(26):
        at = rng.uniform((0.43 * right, 0.45), (0.73 * right, 0.85))
        lamps += _dot(x, y, *at, 0.006) * _color((1.0, rng.uniform(0.4, 0.9), rng.uniform(0.1, 0.5))) * 9
    room = np.where(door, night + lamps, room)
    for edge in (0.42 * right, 0.74 * right):
        jamb = np.exp(-(((x - edge) / 0.018) ** 4)) * (y > 0.0)
        room = room * (1 - jamb) + jamb * (_color((0.11, 0.085, 0.07)) * (0.5 + 1.4 * glow))
    for bx, by in bulbs:
        cord = np.exp(-(((x - bx) / 0.004) ** 2)) * (y < by)
        room = room * (1 - 0.8 * cord)
        room += _dot(x, y, bx, by, 0.020) * _color(AMBER) * 34
    opaque = np.concatenate([room, np.ones_like(x)[None]])
    return FilmSet((Layer(_lens_blur(opaque, 0.8 * FAR_BLUR), 2.4),), (Layer(_shoulder(-x, y, aspect), 0.62),))


def composite_layers(
    frame: torch.Tensor, layers: tuple[Layer, ...], zoom: float, shift: tuple[float, float]
) -> torch.Tensor:
    """(3, h, w) linear RGB with the layers over it, as a camera sees them that has moved.

    Args:
        zoom: how much larger things at the actors' depth have become since the shot's first frame.
        shift: how far things at that depth have moved, to the right and down, in frame heights.
    """
    height, width = frame.shape[1:]
    for layer in layers:
        scale = 1 + (zoom - 1) / layer.depth
        span = 1 / (1 + 2 * MARGIN) / scale
        across, down = (2 * s / (1 + 2 * MARGIN) / layer.depth for s in (shift[0] * height / width, shift[1]))
        theta = torch.tensor([[[span, 0.0, -across], [0.0, span, -down]]])
        grid = F.affine_grid(theta, (1, 4, height, width), align_corners=False)
        seen = F.grid_sample(layer.picture[None], grid, mode="bilinear", padding_mode="border", align_corners=False)[0]
        frame = frame * (1 - seen[3]) + seen[:3]
    return frame


def _grid(aspect: float) -> tuple[np.ndarray, np.ndarray]:
    """x to the right from the frame's middle and y down from its top, in frame heights."""
    width = round(HEIGHT * aspect)
    half, low = (0.5 + MARGIN) * aspect, -MARGIN
    return np.meshgrid(np.linspace(-half, half, width), np.linspace(low, 1 + MARGIN, HEIGHT))


def _color(rgb: tuple[float, float, float]) -> np.ndarray:
    return np.array(rgb)[:, None, None]


def _dot(x, y, at_x: float, at_y: float, radius: float) -> np.ndarray:
    return np.clip((radius - np.hypot(x - at_x, y - at_y)) * HEIGHT + 0.5, 0, 1)


def _city(seed: int, x, y) -> np.ndarray:
    """Linear RGB: houses with lit windows beneath the last light of the evening."""
    rng = np.random.default_rng((86028121, seed))
    horizon = 0.52
    up = np.clip((horizon + 0.05 - y) / 0.6, 0, 1)
    sky = _color((0.34, 0.17, 0.13)) * (1 - up) ** 3 + _color((0.030, 0.070, 0.155)) * (0.4 + 0.6 * up)
    picture = sky * 0.85
    for row, (dark, low) in enumerate(((0.9, 0.40), (0.6, 0.52), (0.4, 0.66))):
        left = x.min()
        while left < x.max():
            wide, top = rng.uniform(0.07, 0.20), low - rng.uniform(-0.05, 0.16 - 0.03 * row)
            house = (x >= left) & (x < left + wide) & (y > top)
            body = _color((0.016, 0.024, 0.042)) * dark * rng.uniform(0.6, 1.3)
            picture = np.where(house, body, picture)
            for _ in range(rng.integers(3, 9)):
                at = rng.uniform((left + 0.01, top + 0.02), (left + wide - 0.01, top + 0.42))
                tint = (1.0, rng.uniform(0.45, 0.8), rng.uniform(0.12, 0.5))
                if rng.random() < 0.22:
                    tint = (rng.uniform(0.3, 0.8), 0.8, 1.0)
                if rng.random() < 0.08:
                    tint = (1.0, 0.16, 0.10)
                picture = picture + _dot(x, y, *at, 0.0045) * _color(tint) * rng.uniform(6, 26)
            left += wide + rng.uniform(-0.02, 0.02)
    return picture


def _curtain(seed: int, room, alpha, x, y, edge: float) -> np.ndarray:
    """Hangs a curtain over the window's right edge, which the lamp lights from the right."""
    left, wide = edge - 0.12, 0.19
    across = (x - left) / wide
    inside = (across > 0.02 * np.sin(9 * y)) & (across < 1)
    folds = np.sin(across * 26 + 1.3 * np.sin(3 * y) + 0.7 * smooth_noise((seed, 32), x.shape, (3, 40)))
    lit = (0.30 + 0.24 * folds + 0.42 * np.clip(across, 0, 1)) * (1.1 - 0.55 * np.abs(y - 0.4))
    cloth = _color((0.34, 0.085, 0.055)) * np.clip(lit, 0.04, None)
    alpha[inside] = 1
    return np.where(inside, cloth, room)


def _lamp(room, alpha, x, y, at_x: float, at_y: float) -> np.ndarray:
    """Puts a standing lamp with a glowing shade before the wall."""
    stand = (np.abs(x - at_x) < 0.010) & (y > at_y)
    room = np.where(stand, _color((0.09, 0.055, 0.028)), room)
    half = 0.085 + 0.055 * (y - at_y + 0.10) / 0.20
    shade = (np.abs(x - at_x) < half) & (np.abs(y - at_y) < 0.10)
    alpha[shade | stand] = 1
    glow = 1.6 + 2.6 * np.exp(-(((y - at_y - 0.03) / 0.07) ** 2) - ((x - at_x) / 0.09) ** 2)
    return np.where(shade, _color((1.0, 0.60, 0.26)) * glow * 0.9, room)


def _picture_frame(seed: int, room, x, y, at_x: float, at_y: float) -> np.ndarray:
    """Hangs a small painting on the wall."""
    u, v = np.abs(x - at_x) / 0.075, np.abs(y - at_y) / 0.10
    outer, inner = (u < 1) & (v < 1), (u < 0.84) & (v < 0.88)
    light = room.mean(0, keepdims=True)
    room = np.where(outer, light * _color((0.5, 0.4, 0.3)), room)
    paint = 1 + 0.6 * smooth_noise((seed, 33), x.shape, (30, 60), 2)
    return np.where(inner, light * paint * _color((1.1, 1.3, 1.2)), room)


def _shelves(rng: np.random.Generator, room, glow, x, y, left: float, right: float) -> np.ndarray:
    """Four boards with books and bottles between `left` and `right`, lit by `glow`."""
    lit = 0.20 + 1.5 * glow
    inside = (x > left) & (x < right) & (y > 0.06)
    room = np.where(inside, _color((0.030, 0.022, 0.018)) * lit, room)
    for row in range(5):
        floor = 0.24 + 0.215 * row
        room = np.where(inside & (np.abs(y - floor) < 0.010), _color((0.16, 0.09, 0.05)) * lit, room)
        place = left + 0.02
        while place < right - 0.03:
            wide, tall = rng.uniform(0.018, 0.036), rng.uniform(0.10, 0.165)
            thing = (x > place) & (x < place + wide) & (y > floor - tall) & (y < floor - 0.010) & inside
            color = rng.uniform(0.05, 0.30) * np.array([1.0, rng.uniform(0.35, 0.9), rng.uniform(0.2, 0.75)])
            room = np.where(thing, _color(tuple(color)) * lit, room)
            place += wide + (rng.uniform(0.05, 0.16) if rng.random() < 0.16 else 0.003)
    return room


def _shoulder(x, y, aspect: float) -> torch.Tensor:
    """Somebody's dark head and shoulder from behind at the left edge, quite out of focus."""
    left = -aspect / 2
    head = 1 - np.hypot((x - left + 0.02) / 0.17, (y - 0.42) / 0.26)
    neck = 0.12 - np.abs(x - left + 0.03)
    body = y - 0.74 - 0.9 * np.clip(x - left - 0.02, 0, 9) ** 1.6
    inside = np.maximum(np.maximum(head * 0.2, body * 0.6), np.where((y > 0.55) & (y < 0.85), neck, -1))
    alpha = np.clip(inside * HEIGHT * 0.25 + 0.5, 0, 1)
    rim = np.exp(-(((inside - 0.006) / 0.008) ** 2)) * np.clip(0.9 - y, 0, 1)
    picture = _color((0.005, 0.006, 0.009)) + rim * 0.10 * _color(WARM)
    return _lens_blur(np.concatenate([picture * alpha, alpha[None]]), NEAR_BLUR)


def _lens_blur(picture: np.ndarray, radius: float) -> torch.Tensor:
    """(c, h, w) seen through a lens that spreads every point over a disc of `radius` rows, a little brighter at its
    rim; linear light, so that lamps become discs."""
    reach = int(radius) + 2
    across = np.hypot(*np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1)))
    disc = np.clip(radius - across + 0.5, 0, 1) * (1 + 0.35 * (across / radius) ** 4)
    padded = np.pad(picture, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    size = padded.shape[1:]
    spectrum = np.fft.rfft2(padded) * np.fft.rfft2(disc / disc.sum(), size)
    blurred = np.fft.irfft2(spectrum, size)[:, 2 * reach :, 2 * reach :]
    return torch.from_numpy(np.clip(blurred, 0, None).astype(np.float32))
