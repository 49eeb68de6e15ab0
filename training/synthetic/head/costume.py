"""What somebody wears in a staged scene: a woollen coat with lapels over a knitted jumper, and perhaps a scarf."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ..noise import smooth_noise
from .identity import Color
from .light import WRAP, Light
from .pattern import Pattern, paint_pattern

SIDE, TOP, BOTTOM = 2.3, 0.85, 3.05  # extents of the maps in head units from the head's origin
DENSITY = 190  # map cells per head unit
RED, GREEN, BLUE, SLOPE_X, SLOPE_Y, ALPHA, EDGE = range(7)


@dataclass(frozen=True)
class Costume:
    """Colours are sRGB. The seed lays the folds."""

    seed: int
    coat: Color
    jumper: Color
    scarf: Color | None = None
    pattern: Pattern | None = None  # painted over all of it, in training alone


class Wardrobe:
    """One costume as maps of colour, slopes and alpha, drawn at any size in any light."""

    def __init__(self, costume: Costume):
        self._maps = torch.from_numpy(_costume_maps(costume))[None]

    def draw(self, picture: np.ndarray, light: Light, a: np.ndarray, b: np.ndarray, chin: float) -> None:
        """Over the gamma-encoded (3, n) picture at camera places (a, b) in head units; `chin` is the chin's b."""
        where = np.flatnonzero((b > TOP) & (np.abs(a) < SIDE))
        if not where.size:
            return
        a, b = a[where], np.minimum(b[where], BOTTOM)
        places = np.stack([a / SIDE, 2 * (b - TOP) / (BOTTOM - TOP) - 1], -1).astype(np.float32)
        maps = F.grid_sample(
            self._maps, torch.from_numpy(places)[None, None], padding_mode="border", align_corners=True
        )[0, :, 0].numpy()
        lit = _light_on(maps, light, a, b, chin)
        shown = np.sqrt(np.clip(maps[RED : BLUE + 1] * lit, 0, 1))
        old = picture[:, where]
        picture[:, where] = old + maps[ALPHA] * (shown - old)


def _light_on(maps: np.ndarray, light: Light, a, b, chin: float) -> np.ndarray:
    """(3, n): the linear light on cloth that slopes as `maps` say."""
    long = 1 / np.sqrt(maps[SLOPE_X] ** 2 + maps[SLOPE_Y] ** 2 + 1)
    nx, ny, nz = -maps[SLOPE_X] * long, -maps[SLOPE_Y] * long, long
    x, y, z = light.direction
    facing = np.clip((nx * x + ny * y + nz * z + 0.12) / 1.12, 0, 1)
    other = np.clip(-nx * x + ny * y + nz * z, 0, 1)
    away = -np.sign(x) * min(abs(x) * 1.2, 0.7)
    cast = 1 - 0.62 * np.exp(-(((a - away) / 0.55) ** 2) - ((b - chin - 0.30) / 0.32) ** 2)  # the head's shadow
    under = 1 - 0.55 * np.exp(-((a / 0.45) ** 2) - ((b - chin) / 0.22) ** 2)
    rim = light.rim * maps[EDGE]
    lit = [
        cast * facing * k * (1 + 0.25 * wrap) + under * (other * f + (0.72 - 0.28 * ny) * m) + rim * (f + 0.25 * k)
        for k, f, m, wrap in zip(light.key, light.fill, light.ambient, WRAP, strict=True)
    ]
    return np.stack(lit).astype(np.float32)


def _costume_maps(costume: Costume) -> np.ndarray:
    size = round((BOTTOM - TOP) * DENSITY), round(2 * SIDE * DENSITY)
    a, b = np.meshgrid(np.linspace(-SIDE, SIDE, size[1]), np.linspace(TOP, BOTTOM, size[0]))
    side = np.abs(a)
    shoulder = 1.36 + 0.27 * np.clip(side - 0.40, 0, 9) ** 1.5 + 2.4 * np.clip(side - 1.42, 0, 9) ** 1.6
    inside = b - shoulder
    folds = smooth_noise((costume.seed, 51), size, (5, 9), 3)
    height = 0.62 * np.sqrt(np.clip(1 - (side / 2.3) ** 2, 0.02, 1)) + 0.35 * np.sqrt(np.clip(inside, 0.0004, 0.5))
    height += 0.022 * folds * _step(side, 0.5, 1.1)
    height -= 0.05 * np.exp(-(((side - 1.18 - 0.12 * (b - 1.6)) / 0.05) ** 2)) * _step(b, 1.75, 2.1)  # the sleeve
    wool = smooth_noise((costume.seed, 52), size, (230, 700))
    color = _linear(costume.coat) * (1 + 0.16 * wool + 0.07 * folds)
    alpha = _step(inside, -0.006, 0.006)

    opening = 0.56 - 0.62 * (b - 1.25)  # half the width of the coat's front at each height
    jumper = 1 - _step(side - opening, -0.004, 0.004)
    rise = b - 1.10 - 0.05 * (side / 0.5) ** 2
    collar = (1 - _step(side, 0.52, 0.54)) * _step(rise, 0.0, 0.02) * (1 - _step(rise, 0.27, 0.29))
    ribs = np.cos(a * (62 + 8 * np.clip(b - 1.3, 0, 1)))
    rolled = np.exp(-(((b - 1.20 - 0.06 * (a / 0.5) ** 2) / 0.07) ** 2))
    knit = 0.10 * rolled + 0.30 * np.sqrt(np.clip(1 - (a / 0.60) ** 2, 0.01, 1)) + 0.0035 * ribs
    inner = np.maximum(jumper * _step(inside, -0.03, 0.0), collar)
    color = color + inner * (_linear(costume.jumper) * (0.92 + 0.10 * ribs) - color)
    height = height + inner * (knit + 0.42 - height)
    alpha = np.maximum(alpha, collar)

    out = side - opening  # from the coat's front edge
    width = 0.30 - 0.16 * _step(b, 1.72, 2.3)
    lapel = _step(out, -0.004, 0.004) * (1 - _step(out, width - 0.005, width + 0.005)) * _step(inside, 0.0, 0.02)
    notch = np.exp(-(((b - 1.60 + 0.35 * out) / 0.010) ** 2)) * (out > 0.12)
    lapel = lapel * (1 - notch)
    color = color * (1 - 0.22 * lapel[None])
    height = height + 0.045 * lapel

    if costume.scarf is not None:
        fall = 1.04 + 0.07 * (side / 0.5) ** 2
        low = 1.60 - 0.26 * (a / 0.62) ** 2
        band = _step(b, fall, fall + 0.02) * (1 - _step(b, low, low + 0.04))
        band *= 1 - _step(side, 0.66, 0.69)
        end = (1 - _step(np.abs(a + 0.20 - 0.10 * (b - 1.5)), 0.155, 0.165)) * _step(b, 1.45, 1.47)
        cover = np.maximum(band, end)
        wave = smooth_noise((costume.seed, 53), size, (7, 9), 2)
        wraps = np.where(end > band, np.cos(a * 40 + wave), np.cos((b - 0.35 * a * a + 0.16 * a) * 34 + 1.2 * wave))
        weave = np.sign(np.sin(a * 120)) * np.sign(np.sin(b * 120))
        bump = 0.46 + 0.32 * np.sqrt(np.clip(1 - (a / 0.70) ** 2, 0.01, 1)) + 0.024 * wraps
        color = color + cover * (_linear(costume.scarf) * (0.88 + 0.14 * wraps + 0.05 * weave) - color)
        height = height + cover * (bump + 0.30 - height)
        alpha = np.maximum(alpha, cover)

    if costume.pattern is not None:
        color = paint_pattern(color.transpose(1, 2, 0), costume.pattern).transpose(2, 0, 1)
    slope_y, slope_x = np.gradient(_soften(height), 1 / DENSITY)
    edge = np.exp(-((np.clip(inside, 0, 1) / 0.045) ** 2)) * _step(side, 0.45, 0.7)
    slope_x, slope_y = (np.clip(slope, -2.2, 2.2) for slope in (slope_x, slope_y))
    return np.stack([*np.clip(color, 0, 1), slope_x, slope_y, alpha, edge]).astype(np.float32)


def _linear(color: Color) -> np.ndarray:
    return np.array(color)[:, None, None] ** 2


def _soften(height: np.ndarray) -> np.ndarray:
    """Rounds the steps where one cloth lies on another."""
    taps = np.array([1, 4, 6, 4, 1]) / 16
    padded = np.pad(height, 2, mode="edge")
    across = sum(t * padded[:, k : k + height.shape[1]] for k, t in enumerate(taps))
    return sum(t * across[k : k + height.shape[0]] for k, t in enumerate(taps))


def _step(value, low, high):
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
