"""Seeded smooth noise, the same pattern at any pixel density."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F


def smooth_noise(
    seed: tuple[int, ...], size: tuple[int, int], cells: tuple[float, float], octaves: int = 1
) -> np.ndarray:
    """(height, width) float32 of about unit spread: random values on a lattice of `cells` (down, across), smoothed.

    Each further octave doubles the lattice and halves the weight. A finer `size` shows the same pattern, finer drawn.
    """
    total = np.zeros(size, np.float32)
    power = 0.0
    for octave in range(octaves):
        down, across = (max(2, round(count * 2**octave)) for count in cells)
        rng = np.random.default_rng((*seed, octave))
        lattice = rng.standard_normal((down + 1, across + 1), dtype=np.float32)
        weight = 0.5**octave
        power += weight**2
        if down + 1 > 2 * size[0] or across + 1 > 2 * size[1]:
            continue  # finer than the pixels could show
        drawn = F.interpolate(torch.from_numpy(lattice)[None, None], size, mode="bicubic", align_corners=True)
        total += weight * drawn[0, 0].numpy()
    return total / np.float32(max(power, 1e-6) ** 0.5)
