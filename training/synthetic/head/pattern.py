"""Patterns painted over a skin: photographs, clouds, stripes, patches of colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..noise import smooth_noise
from ..photographs import sample_patch

KINDS = ("photograph", "clouds", "stripes", "patches")


@dataclass(frozen=True)
class Pattern:
    """What is painted on a skin, beard and brows included; the lips keep their own colour."""

    seed: int
    kind: str  # of KINDS
    opacity: float  # 0 (invisible) to 1 (hides the skin)
    contrast: float  # natural logarithm of the brightness ratio between the pattern's lightest and darkest places


def paint_pattern(color: np.ndarray, pattern: Pattern) -> np.ndarray:
    """Linear colours (h, w, 3) of a skin with the pattern over them."""
    painted = _draw(pattern, color.shape[:2])
    brightness = painted.mean(-1, keepdims=True)
    shaded = color * np.exp(pattern.contrast * (brightness - brightness.mean()))
    return (shaded + pattern.opacity * (painted**2 - shaded)).clip(0.001, 1).astype(np.float32)


def _draw(pattern: Pattern, shape: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) sRGB in [0, 1]."""
    rng = np.random.default_rng((15487561, pattern.seed))
    if pattern.kind == "photograph":
        return sample_patch(rng, *shape)
    first, second = rng.uniform(0.05, 0.95, (2, 3)).astype(np.float32)
    if pattern.kind == "clouds":
        cells = tuple(np.exp(rng.uniform(np.log(2), np.log(24), 2)))
        share = np.stack([smooth_noise((pattern.seed, 31 + k), shape, cells, 3) for k in range(3)], axis=-1)
        return (first + (second - first) * (0.5 + 0.35 * share)).clip(0, 1)
    rows, columns = np.meshgrid(*(np.linspace(0, 1, size, dtype=np.float32) for size in shape), indexing="ij")
    if pattern.kind == "stripes":
        angle = rng.uniform(0, np.pi)
        across = np.cos(angle) * columns + np.sin(angle) * rows
        wave = np.sin(across * 2 * np.pi * rng.uniform(2, 18) + rng.uniform(0, 6))
        return first + (second - first) * np.clip(0.5 + wave[..., None] * rng.uniform(0.5, 4), 0, 1)
    places = rng.uniform(0, 1, (int(rng.integers(6, 60)), 2))
    colors = rng.uniform(0.05, 0.95, (len(places), 3)).astype(np.float32)
    away = (rows[..., None] - places[:, 0]) ** 2 + (columns[..., None] - places[:, 1]) ** 2
    return colors[away.argmin(-1)]
