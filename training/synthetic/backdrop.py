"""What is behind the heads: a wall, a window, out-of-focus lights, a landscape, shelves; still through a shot."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from .noise import smooth_noise

KINDS = ("wall", "window", "lights", "outside", "shelves")


def backdrop(seed: int, width: int, height: int, warmth: float = 0.0) -> np.ndarray:
    """(height, width, 3) uint8: the backdrop of this seed, blurred as by a lens focused on the head."""
    rng = np.random.default_rng((15485863, seed))
    kind = str(rng.choice(KINDS))
    h, w = 180, max(round(180 * width / height), 60)
    y, x = np.meshgrid(
        np.linspace(0, 1, h, dtype=np.float32), np.linspace(0, w / h, w, dtype=np.float32), indexing="ij"
    )
    hue = rng.uniform(0, 1, 3)
    tone = 0.5 + 0.13 * (hue - hue.mean()) + np.array([0.06, 0, -0.08]) * warmth
    level = rng.uniform(0.25, 0.8)
    shade = 1 - rng.uniform(0, 0.5) * np.hypot(x - rng.uniform(0, w / h), y - rng.uniform(0, 1))
    picture = (tone * level * 1.5)[:, None, None] * shade
    picture = picture * (1 + 0.05 * smooth_noise((seed, 21), (h, w), (8, 12), 3))
    blur = rng.uniform(1.0, 3.5)
    if kind == "window":
        left, wide, top = rng.uniform(0, w / h * 0.7), rng.uniform(0.3, 0.7), rng.uniform(0.02, 0.2)
        pane = (x > left) & (x < left + wide) & (y > top) & (y < top + 0.55)
        bars = (np.abs((x - left) % (wide / 2)) < 0.012) | (np.abs((y - top) % 0.275) < 0.012)
        sky = np.array([0.78, 0.86, 0.95])[:, None, None] * (1.05 - 0.35 * y)
        picture = np.where(pane & ~bars, sky, picture)
    elif kind == "lights":
        picture *= 0.4
        for _ in range(rng.integers(8, 22)):
            away = np.hypot(x - rng.uniform(0, w / h), y - rng.uniform(0, 1)) / rng.uniform(0.02, 0.075)
            disc = np.clip((1 - away) * 6, 0, 1) * rng.uniform(0.25, 0.8)
            color = np.array([1.0, rng.uniform(0.6, 1), rng.uniform(0.3, 1)])
            picture = picture + disc * (color[:, None, None] - picture) * 0.8
    elif kind == "outside":
        horizon = rng.uniform(0.4, 0.65) + 0.05 * smooth_noise((seed, 22), (h, w), (2, 7), 2)
        sky = np.array([0.62, 0.76, 0.92])[:, None, None] * (1.1 - 0.3 * y)
        green = rng.uniform((0.18, 0.28, 0.12), (0.4, 0.45, 0.25))[:, None, None] * (
            1 + 0.3 * smooth_noise((seed, 23), (h, w), (14, 20), 3)
        )
        picture = np.where(y < horizon, sky, green)
    elif kind == "shelves":
        for row in range(4):
            low = 0.08 + row * 0.24
            place = 0.0
            while place < w / h:
                wide, tall = rng.uniform(0.015, 0.05), rng.uniform(0.12, 0.2)
                book = (x > place) & (x < place + wide) & (y > low + 0.2 - tall) & (y < low + 0.2)
                picture = np.where(
                    book, ((rng.uniform(0.15, 0.6) + rng.uniform(-0.12, 0.12, 3)) * level * 1.3)[:, None, None], picture
                )
                place += wide + (rng.uniform(0.05, 0.3) if rng.random() < 0.12 else 0.004)
    soft = gaussian_blur(torch.from_numpy(np.ascontiguousarray(picture, np.float32))[None], blur)
    grown = F.interpolate(soft, (height, width), mode="bicubic", align_corners=False)[0].clamp(0, 1)
    return (grown.permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8)


def gaussian_blur(picture: torch.Tensor, sigma: float) -> torch.Tensor:
    """(n, c, h, w) blurred by a Gaussian of `sigma` pixels."""
    reach = int(3 * sigma) + 1
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    taps = (taps / taps.sum()).expand(picture.shape[1], 1, 1, -1)
    channels = picture.shape[1]
    across = F.conv2d(F.pad(picture, (reach, reach, 0, 0), mode="replicate"), taps, groups=channels)
    return F.conv2d(F.pad(across, (0, 0, reach, reach), mode="replicate"), taps.transpose(2, 3), groups=channels)
