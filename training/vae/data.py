"""Crops that the image autoencoder learns from: rendered once, cached as bytes, read batch by batch.

Every batch follows from the seed and its step's number alone, so training can be stopped and taken up anywhere.
"""

from __future__ import annotations

import functools
import logging
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latentsync_core.errors import OptionError
from latentsync_core.faces.alignment.mouth_mask import mouth_mask

from ..meter.train import FIRST_SEED, person_crops
from ..paths import CACHE
from ..synthetic.crops import RESOLUTION
from ..synthetic.photographs import sample_patch

MASKED_SHARE = 0.15  # of the pictures are shown with the mouth's region grey, as the U-Net's masked input is
MOUTH_CENTRE, MOUTH_SPREAD = (91.0, 64.0), (17.0, 24.0)  # row, column of a 128-pixel crop; standard deviations
MOUTH_WEIGHT = 5.0  # of an error at the mouth's centre; 1 far from it
PHOTOGRAPH_SHARE = 0.2  # of the pictures are parts of photographs, whose colours and textures no drawn face has
PATCH_SIZES = (32, 64, 96, 128)  # pixels a side: parts of crops teach as much as whole ones, at a fraction of the time

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures (n, 3, P, P) in [-1, 1], and what an error at each pixel weighs (n, 1, P, P), 1 on average."""

    pictures: Tensor
    weights: Tensor


def load_or_render_crops(people: int, each: int, folder: Path = CACHE, workers: int = 1) -> np.ndarray:
    """(people * each, 3, 128, 128) uint8 of the first training people, read from `folder`; drawn if they aren't there.

    Mouths babble and move freely (`meter.train.person_crops`), so neither a voice nor a test sentence is needed. Raises
    OptionError where there are as many people as the meter's, whose seeds follow.
    """
    if not 0 < people <= FIRST_SEED:
        raise OptionError(f"1 to {FIRST_SEED} people can be drawn to train with, not {people}.")
    path = folder / f"crops-{people}x{each}-{RESOLUTION}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part.npy")
        shape = (people * each, 3, RESOLUTION, RESOLUTION)
        crops = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)) as pool:
            for person, found in enumerate(pool.map(functools.partial(_person, each=each), range(people), chunksize=4)):
                crops[person * each : (person + 1) * each] = found
                if person % 50 == 49:
                    logger.info("%d of %d people drawn", person + 1, people)
        crops.flush()
        del crops
        partial.replace(path)
    return np.load(path, mmap_mode="r")


def make_batch(crops: np.ndarray, step: int, seed: int, pixels: int, whole: bool) -> Batch:
    """The batch of this step, about `pixels` pixels in all: patches of one size, whole crops where `whole` is set."""
    rng = np.random.default_rng((15487499, seed, step))
    size = RESOLUTION if whole else int(rng.choice(PATCH_SIZES))
    count = max(1, pixels // size**2)
    places = rng.choice(len(crops), count, replace=len(crops) < count)
    keep, importance = mouth_mask(RESOLUTION), mouth_weights(RESOLUTION)
    pictures, weights = torch.empty(count, 3, size, size), torch.empty(count, 1, size, size)
    for index, place in enumerate(places):
        # Half of the patches lie where the mouth is, whatever their size.
        spread = RESOLUTION - size
        top, left = rng.integers(0, spread + 1, 2)
        if rng.random() < 0.5:
            top, left = max(top, min(spread, 40)), min(max(left, spread // 4), spread - spread // 4)
        part = (slice(None), slice(top, top + size), slice(left, left + size))
        if rng.random() < PHOTOGRAPH_SHARE:
            picture = torch.from_numpy(sample_patch(rng, size, size)).permute(2, 0, 1) * 2 - 1
        else:
            picture = torch.from_numpy(np.array(crops[place][part])).float() / 127.5 - 1
        gains = torch.from_numpy(rng.uniform(0.55, 1.25, 3).astype(np.float32))[:, None, None]  # other lights
        picture = ((picture + 1) * gains + float(rng.uniform(-0.1, 0.1)) - 1).clamp(-1, 1)
        if rng.random() < MASKED_SHARE:
            picture = picture * keep[part[1:]]
        flip = [2] if rng.random() < 0.5 else []
        pictures[index], weights[index] = picture.flip(flip), importance[part].flip(flip)
    return Batch(pictures, weights / weights.mean((1, 2, 3), keepdim=True))


@functools.cache
def mouth_weights(resolution: int) -> Tensor:
    """What an error at each pixel of a whole crop weighs, (1, R, R): a bump over the mouth."""
    axes = []
    for centre, spread in zip(MOUTH_CENTRE, MOUTH_SPREAD, strict=True):
        place = (torch.arange(resolution) + 0.5) * (RESOLUTION / resolution)
        axes.append(torch.exp(-0.5 * ((place - centre) / spread) ** 2))
    return 1 + (MOUTH_WEIGHT - 1) * axes[0][None, :, None] * axes[1][None, None, :]


def _person(seed: int, each: int) -> np.ndarray:
    crops, _ = person_crops(seed, each)
    return (crops * 255).round().byte().numpy()
