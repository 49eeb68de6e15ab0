"""How networks learn to read a mouth's opening, off latents (`unet/opening_probe.py`) or pictures (`stage2`)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

OUTPUT_SCALE = 10.0  # their output, before they divide by this, is the opening in tenths of a head unit
LEARNING_RATE = 2e-3
CHECK_SHARE = 0.1  # of the takes, the last ones, are not trained on: the network's own figure is theirs

logger = logging.getLogger(__name__)

Network = TypeVar("Network", bound=nn.Module)
Batch = Callable[[np.random.Generator, range, int], tuple[Tensor, Tensor]]


def train_to_read_openings(
    build: Callable[[], Network],
    batch: Batch,
    takes: int,
    seeds: tuple[int, int],
    steps: int,
    frames: int,
    checked: int,
) -> Network:
    """A network for what `batch` gives, frozen; the same for the same seeds. How well it reads takes that it wasn't
    trained on is logged.

    Args:
        build: makes it, untrained; it takes what `batch` gives to (n,) openings in head units.
        batch: gives so many frames of a range of takes, as the network takes them, and their openings (n,).
        takes: how many there are.
        seeds: the kind of network's own number and the seed.
        frames: of a step.
        checked: frames on which it is checked.
    """
    kind, seed = seeds
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build()
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    trained_takes = takes - round(CHECK_SHARE * takes) if takes > 1 / CHECK_SHARE else takes
    for step in range(steps):
        seen, openings = batch(np.random.default_rng((kind, seed, step)), range(trained_takes), frames)
        loss = F.mse_loss(network(seen) * OUTPUT_SCALE, openings * OUTPUT_SCALE)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval().requires_grad_(False)
    if trained_takes < takes:
        seen, openings = batch(np.random.default_rng((kind, seed)), range(trained_takes, takes), checked)
        agreement = float(np.corrcoef(network(seen).numpy(), openings.numpy())[0, 1])
        logger.info("%s: correlation %.3f with the openings of other clips", type(network).__name__, agreement)
    return network


def load_or_train(path: Path, build: Callable[[], Network], train: Callable[[], Network]) -> Network:
    """The network in a file, frozen; trained and written there first where there is none."""
    from safetensors.torch import load_file, save_file

    if not path.exists():
        partial = path.with_suffix(".new")
        save_file(train().state_dict(), partial)
        partial.replace(path)
    network = build()
    network.load_state_dict(load_file(path))
    return network.eval().requires_grad_(False)
