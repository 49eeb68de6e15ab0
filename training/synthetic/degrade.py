"""Disturbs crops as a codec or an autoencoder does: blur, JPEG's blocks, noise and shifts of colour."""

from __future__ import annotations

import io

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def blur(crops: Tensor, sigma: float) -> Tensor:
    """(n, 3, h, w) blurred by a Gaussian of `sigma` pixels."""
    reach = max(1, int(3 * sigma + 0.5))
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    taps = taps / taps.sum()
    channels = crops.shape[1]
    row = taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    across = F.conv2d(F.pad(crops, (reach, reach, 0, 0), mode="replicate"), row, groups=channels)
    return F.conv2d(F.pad(across, (0, 0, reach, reach), mode="replicate"), row.transpose(2, 3), groups=channels)


def jpeg(crops: Tensor, quality: int) -> Tensor:
    """(n, 3, h, w) in [0, 1] after JPEG at `quality`."""
    from PIL import Image

    out = []
    for crop in crops:
        levels = (crop.clamp(0, 1).permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(levels).save(buffer, "jpeg", quality=quality)
        back = np.asarray(Image.open(buffer), np.float32) / 255
        out.append(torch.from_numpy(back.copy()).permute(2, 0, 1))
    return torch.stack(out)


def tint(crops: Tensor, gain: tuple[float, float, float], lift: float = 0.0) -> Tensor:
    """(n, 3, h, w) with each colour multiplied by `gain` and all raised by `lift`."""
    return (crops * torch.tensor(gain).view(1, 3, 1, 1) + lift).clamp(0, 1)


def augment_crops(crops: Tensor, rng: np.random.Generator) -> Tensor:
    """(n, 3, h, w), each disturbed differently: what the meter is trained with."""
    out = crops.clone()
    for index in range(len(out)):
        one = out[index : index + 1]
        if rng.random() < 0.6:
            one = blur(one, rng.uniform(0.3, 1.8))
        if rng.random() < 0.15:
            one = jpeg(one, int(rng.integers(20, 80)))
        if rng.random() < 0.5:
            one = one + torch.from_numpy(rng.standard_normal(one.shape, np.float32)) * rng.uniform(0.003, 0.04)
        out[index] = tint(one, tuple(rng.uniform(0.82, 1.18, 3)), rng.uniform(-0.06, 0.06))[0]
    return out
