"""Patches of freely licensed photographs, all carried by scikit-image: textures that no code here draws."""

from __future__ import annotations

import functools

import numpy as np
import torch
import torch.nn.functional as F

# Public domain or CC0, as scikit-image's own list of its images says; none needs a download.
NAMES = (
    "astronaut", "brick", "camera", "cat", "coffee", "coins", "grass", "gravel", "hubble_deep_field",
    "immunohistochemistry", "moon", "retina", "rocket",
)  # fmt: skip
MIN_PATCH = 40  # pixels a side of the photograph, at least


@functools.cache
def load_photograph(name: str) -> np.ndarray:
    """(H, W, 3) float32 in [0, 1]; grey photographs are repeated over the colours."""
    from skimage import data

    levels = np.asarray(getattr(data, name)(), np.float32) / 255
    levels = levels[:: 1 + levels.shape[0] // 800, :: 1 + levels.shape[0] // 800]  # finer than any patch shows
    return np.repeat(levels[..., None], 3, axis=2) if levels.ndim == 2 else levels[..., :3]


def sample_patch(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(height, width, 3) float32 in [0, 1]: a part of a photograph at any scale, mirrored, turned or recoloured."""
    photograph = load_photograph(str(rng.choice(NAMES)))
    longest = min(photograph.shape[:2])
    down = int(np.exp(rng.uniform(np.log(MIN_PATCH), np.log(longest))))
    across = min(max(round(down * width / height), 8), photograph.shape[1])
    top = int(rng.integers(0, photograph.shape[0] - down + 1))
    left = int(rng.integers(0, photograph.shape[1] - across + 1))
    part = torch.from_numpy(photograph[top : top + down, left : left + across]).permute(2, 0, 1)[None]
    if rng.random() < 0.5:
        part = part.flip(3)
    if rng.random() < 0.3:
        part = part.transpose(2, 3)
    if rng.random() < 0.4:
        part = part[:, torch.from_numpy(rng.permutation(3))]
    drawn = F.interpolate(part, (height, width), mode="bilinear", antialias=True, align_corners=False)[0]
    gains = torch.from_numpy(rng.uniform(0.6, 1.3, (3, 1, 1)).astype(np.float32))
    drawn = drawn * gains + float(rng.uniform(-0.1, 0.15))
    return drawn.clamp(0, 1).permute(1, 2, 0).numpy()
