"""Other appearances of the same clip: mirrored, recoloured, shaded, blurred, compressed, grainy.

The two takes of a pair get the same one, frame by frame, so that a dub still shows one person in one light.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..synthetic.degrade import blur, jpeg
from ..synthetic.noise import smooth_noise

GREY = (0.299, 0.587, 0.114)  # weights of red, green and blue in brightness (BT.601)


def vary_appearance(crops: np.ndarray, seed: int) -> np.ndarray:
    """(frames, 3, R, R) uint8 crops of one clip in the appearance of this seed, the same shape and type."""
    rng = np.random.default_rng((15487571, seed))
    pictures = torch.from_numpy(np.array(crops)).float() / 255
    if rng.random() < 0.5:
        pictures = pictures.flip(3)
    pictures = _recolor(pictures, rng)
    if rng.random() < 0.5:
        pictures = pictures * _shading(rng, seed, pictures.shape[-1])
    if rng.random() < 0.4:
        pictures = blur(pictures, float(rng.uniform(0.3, 1.2)))
    if rng.random() < 0.6:
        draw = torch.Generator().manual_seed(seed)
        pictures = pictures + torch.randn(pictures.shape, generator=draw) * float(rng.uniform(0.003, 0.025))
    if rng.random() < 0.4:
        pictures = jpeg(pictures, int(rng.integers(35, 90)))
    return (pictures.clamp(0, 1) * 255).round().byte().numpy()


def _recolor(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    grey = (pictures * torch.tensor(GREY).view(3, 1, 1)).sum(1, keepdim=True)
    pictures = grey + (pictures - grey) * float(rng.uniform(0.0, 1.5))
    gains = torch.from_numpy(rng.uniform(0.7, 1.25, (3, 1, 1)).astype(np.float32))
    pictures = pictures.clamp(0, 1) ** float(np.exp(rng.uniform(-0.5, 0.5)))
    return pictures * gains + float(rng.uniform(-0.08, 0.12))


def _shading(rng: np.random.Generator, seed: int, size: int) -> Tensor:
    """(1, size, size): a light that falls unevenly on the crop."""
    cells = tuple(rng.uniform(1, 5, 2))
    strength = float(rng.uniform(0.05, 0.35))
    return torch.from_numpy(np.exp(strength * smooth_noise((seed, 41), (size, size), cells, 2)))[None]
