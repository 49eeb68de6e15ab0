"""Reads how far a mouth is open off a picture, so that the U-Net can learn to draw it as open as the true one.

A small convolutional network on the lower face, trained on drawn crops as they are, in other lights. It never sees a
decoded picture: blurred lips, which lie between an open and a closed mouth, are to be read as what they look like. It
shares neither people nor weights with the meter that measures the finished model's pictures.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..opening_networks import OUTPUT_SCALE, load_or_train, train_to_read_openings
from ..takes import Takes

ROWS, COLUMNS = slice(56, 128), slice(16, 112)  # of a crop's 128: what it looks at
STEPS, BATCH, CHECKED = 2000, 48, 480  # steps, frames of each, frames that it is checked on


class OpeningReader(nn.Module):
    """(n, 3, 128, 128) pictures in [-1, 1] to (n,) openings in head units."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1), nn.SiLU(), nn.Conv2d(width, 2 * width, 3, 2, 1), nn.SiLU(),
            nn.Conv2d(2 * width, 4 * width, 3, 2, 1), nn.SiLU(), nn.Conv2d(4 * width, 4 * width, 3, 1, 1), nn.SiLU(),
            nn.AvgPool2d(3), nn.Flatten(), nn.Linear(4 * width * 12, 64), nn.SiLU(), nn.Linear(64, 1),
        )  # fmt: skip

    def forward(self, pictures: Tensor) -> Tensor:
        return self.layers(pictures[:, :, ROWS, COLUMNS])[:, 0] / OUTPUT_SCALE


def train_opening_reader(drawn: Takes, seed: int = 0, steps: int = STEPS) -> OpeningReader:
    """A reader for crops like those of `drawn`, frozen; the same for the same seed."""
    seeds = (15487573, seed)
    return train_to_read_openings(OpeningReader, partial(_batch, drawn), len(drawn), seeds, steps, BATCH, CHECKED)


def load_or_train_opening_reader(drawn: Takes, folder: Path) -> OpeningReader:
    """The reader that is kept in `folder`, trained and written there first where there is none."""
    path = folder / f"opening-reader-{len(drawn)}.safetensors"
    return load_or_train(path, OpeningReader, lambda: train_opening_reader(drawn))


def _batch(drawn: Takes, rng: np.random.Generator, takes: range, count: int) -> tuple[Tensor, Tensor]:
    """`count` frames' crops in any light, half of them mirrored, and their openings."""
    take, frame = rng.integers(takes.start, takes.stop, count), rng.integers(0, drawn.crops.shape[1], count)
    crops = np.stack([drawn.crops[t, f] for t, f in zip(take, frame, strict=True)])
    mirrored = rng.random(count) < 0.5
    crops[mirrored] = crops[mirrored, :, :, ::-1]
    gains = torch.from_numpy(rng.uniform(0.55, 1.25, (count, 3, 1, 1))).float()
    pictures = (torch.from_numpy(crops).float() / 255 * gains).clamp(0, 1) * 2 - 1
    return pictures, torch.from_numpy(np.array(drawn.openings[take, frame])).float()
