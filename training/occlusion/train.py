"""Trains the occlusion network: ``python -m training.occlusion.train`` writes its weights.

It learns from drawn speakers and painted occluders alone (`occlusion_data`); no photograph and no film is used, so all
real footage is left to test it with.
"""

from __future__ import annotations

import argparse
import functools
import logging
import multiprocessing
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentsync_core.faces.alignment.mouth_mask import mouth_mask
from latentsync_core.faces.occlusion import INPUT_SIZE, SKIPPED_ROWS, WEIGHTS, OcclusionNet, cues
from latentsync_core.models.checkpoints.network_file import save_network

from ..loop import add_arguments, budget_from, fit, reporter
from ..paths import RUNS
from ..takes import load_takes
from .data import HELD_OUT_CLIPS, Batch, make_batch, occluder_bank

BATCH = 16  # faces a step
CHUNK_FACES = 32  # faces made together, for two steps: making them costs as much as learning from them
OUTSIDE_MOUTH_WEIGHT = 0.3  # what an error counts outside of the mouth's region
OCCLUDER_COUNT = 5000  # painted occluders
PREFETCH_CHUNKS = 4  # times as many faces are made before they are needed

logger = logging.getLogger(__name__)


def compute_loss(network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    """Cross entropy of every pixel, and how much of the masks' overlap is missed (Milletari et al. 2016)."""
    seen = cues(batch.crops, batch.portraits).contiguous(memory_format=torch.channels_last)
    logits = network(seen)
    weight = region_weight().to(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, batch.masks, reduction="none")
    found = logits.sigmoid()
    intersection = (found * batch.masks * weight).sum((1, 2))
    cardinality = ((found.square() + batch.masks.square()) * weight).sum((1, 2))
    dice_loss = (1 - (2 * intersection + 20) / (cardinality + 20)).mean()
    mean = (entropy * weight).mean() / weight.mean()
    with torch.no_grad():
        empty = batch.masks.amax((1, 2)) < 0.5
        false = (found[empty] * weight).amax((1, 2)) > 0.5
        parts = {"entropy": float(mean), "missed": float(dice_loss), "bare touched": float(false.float().mean())}
    return mean + 0.3 * dice_loss, parts


@functools.cache
def region_weight() -> Tensor:
    """(48, 64): 1 where mouths are drawn, less elsewhere."""
    drawn = 1 - F.interpolate(mouth_mask(256)[None, None], (INPUT_SIZE, INPUT_SIZE), mode="area")[0, 0, SKIPPED_ROWS:]
    return OUTSIDE_MOUTH_WEIGHT + (1 - OUTSIDE_MOUTH_WEIGHT) * drawn


class BatchPrefetcher:
    """Batches made ahead by a process of their own; they follow from their step's number, so the order is kept."""

    def __init__(self, clips: int, bank: int, seed: int) -> None:
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), torch.set_num_threads, (1,))
        self._task = functools.partial(_make_chunk, clips=clips, bank=bank, seed=seed)
        self._pending: dict[int, Future] = {}

    def __enter__(self) -> BatchPrefetcher:
        return self

    def __exit__(self, *problem: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def batch(self, step: int) -> Batch:
        number, part = divmod(step, CHUNK_FACES // BATCH)
        for coming in range(number, number + PREFETCH_CHUNKS):
            if coming not in self._pending:
                self._pending[coming] = self._pool.submit(self._task, coming)
        made = self._pending[number].result()
        if part == CHUNK_FACES // BATCH - 1:
            del self._pending[number]
        return Batch(*(torch.from_numpy(array[part * BATCH : (part + 1) * BATCH]).float() for array in made))


def _make_chunk(number: int, clips: int, bank: int, seed: int) -> tuple[np.ndarray, ...]:
    crops, occluders = _sources(clips, bank)
    batch = make_batch(crops, occluders, number, seed, CHUNK_FACES)
    return tuple(part.half().numpy() for part in (batch.crops, batch.portraits, batch.masks))


@functools.cache
def _sources(clips: int, bank: int) -> tuple[np.ndarray, np.ndarray]:
    return load_takes(clips).crops[:-HELD_OUT_CLIPS], occluder_bank(bank)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser, RUNS / "occlusion", minutes=25, learning_rate=2.5e-3)
    parser.add_argument("--clips", type=int, default=700, help="speakers to learn from, drawn by training.takes")
    parser.add_argument("--bank", type=int, default=OCCLUDER_COUNT, help="painted occluders")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    budget = budget_from(options)
    occluder_bank(options.bank)
    torch.manual_seed(options.seed)
    network = OcclusionNet().to(memory_format=torch.channels_last)
    start = None
    if options.start:
        from safetensors.torch import load_file

        start = {key: value.float() for key, value in load_file(options.start).items()}

    def loss_at(
        unwrapped: nn.Module, step: int, fraction_done: float, device: torch.device
    ) -> tuple[Tensor, dict[str, float]]:
        del fraction_done
        batch = coming.batch(step)
        return compute_loss(
            unwrapped, Batch(batch.crops.to(device), batch.portraits.to(device), batch.masks.to(device))
        )

    with BatchPrefetcher(options.clips, options.bank, options.seed) as coming:
        network.load_state_dict(fit(network, loss_at, budget, options.run, start, on_progress=reporter()))
    save_network(network.half(), {"kind": "occlusion"}, options.out)
    logger.info("wrote %s", options.out)


if __name__ == "__main__":
    main()
