"""Reads how far a mouth is open off latents, so that an error of the opening can be part of the U-Net's loss.

Most of a latent's error is texture; the few that hold the opening hardly count, and a network of this size draws timid
mouths. The probe is a small convolutional network on the mouth's latents, trained on clean ones with noise and blur
added, as estimates have them. It shares nothing with the meter that measures the finished model's pictures.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..opening_networks import OUTPUT_SCALE, load_or_train, train_to_read_openings
from ..vae.train import load
from .features import Features, encoder_digest

MOUTH_ROWS, MOUTH_COLUMNS = slice(6, 16), slice(2, 14)  # of 16x16 latents: what the probe looks at
STEPS, BATCH, CHECKED = 2500, 96, 2048  # steps, frames of each, frames that it is checked on
MAX_NOISE, MAX_BLUR = 0.35, 0.7  # standard deviation of the noise, share of the blurred latents, at most


class OpeningProbe(nn.Module):
    """(n, 4, 16, 16) scaled latents to (n,) openings in head units."""

    def __init__(self, width: int = 32):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(4, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1), nn.SiLU(),
            nn.AvgPool2d(2), nn.Conv2d(width, 2 * width, 3, padding=1), nn.SiLU(), nn.Flatten(),
            nn.Linear(2 * width * 30, 64), nn.SiLU(), nn.Linear(64, 1),
        )  # fmt: skip

    def forward(self, latents: Tensor) -> Tensor:
        return self.layers(latents[:, :, MOUTH_ROWS, MOUTH_COLUMNS])[:, 0] / OUTPUT_SCALE


def train_opening_probe(data: Features, seed: int = 0, steps: int = STEPS) -> OpeningProbe:
    """A probe for the latents of `data`, frozen; the same for the same seed. About two minutes of one core."""
    takes, seeds = len(data.openings), (15487571, seed)
    return train_to_read_openings(OpeningProbe, partial(_batch, data), takes, seeds, steps, BATCH, CHECKED)


def opening_probe_path(data: Features, folder: Path, vae: Path) -> Path:
    """Where the probe of these features lies, which the weights of `vae` made."""
    return folder / f"opening-probe-{len(data)}-{encoder_digest(load(vae))}.safetensors"


def load_or_train_opening_probe(data: Features, path: Path) -> OpeningProbe:
    """The probe in a file, trained and written there first where there is none."""
    return load_or_train(path, OpeningProbe, lambda: train_opening_probe(data))


def _batch(data: Features, rng: np.random.Generator, takes: range, count: int) -> tuple[Tensor, Tensor]:
    """`count` frames' latents with noise and blur, in any appearance, and their openings."""
    appearances = len(data.whole) // len(data.openings)
    take, frame = rng.integers(takes.start, takes.stop, count), rng.integers(0, data.whole.shape[1], count)
    view = take + len(data.openings) * rng.integers(0, appearances, count)
    clean = torch.from_numpy(np.stack([data.whole[v, f] for v, f in zip(view, frame, strict=True)])).float()
    blur = torch.from_numpy(rng.uniform(0, MAX_BLUR, (count, 1, 1, 1)) * (rng.random((count, 1, 1, 1)) < 0.5)).float()
    noise = torch.from_numpy(rng.uniform(0, MAX_NOISE, (count, 1, 1, 1)) * rng.standard_normal(clean.shape)).float()
    blurred = F.avg_pool2d(clean, 3, 1, 1, count_include_pad=False)
    return clean + blur * (blurred - clean) + noise, torch.from_numpy(data.openings[take, frame]).float()
