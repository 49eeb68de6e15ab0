"""Measures the small SyncNet on people, voices and sentences of the test split: ``python -m training.syncnet.measure``.

Every window of faces of every clip is compared with the sound at every time of the same clip. What counts is how often
its own sound is nearer than a shifted one; beside it the reference's way, calling a pair in sync from a cosine of 0.5.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import numpy as np
import torch

from latentsync_core.evaluation.syncnet import SyncNet, load_syncnet

from ..opening_statistics import bootstrap
from ..paths import CACHE
from .data import SyncClips, held_out_sync
from .train import WEIGHTS

SHIFTS = range(1, 16)  # frames
MIN_FAR_SHIFT = 5  # frames from which on a shift counts for the gate: 0.2 s
IN_SYNC_COSINE = 0.5  # cosine from which on the reference calls a pair in sync

logger = logging.getLogger(__name__)


@torch.no_grad()
def cosines(net: SyncNet, clips: SyncClips) -> np.ndarray:
    """(clips, starts, starts): of the faces from one start with the sound from another."""
    starts = range(clips.last_start + 1)
    found = []
    for clip in range(len(clips)):
        video_embeddings, audio_embeddings = net(*clips.windows(clip, starts))
        found.append((video_embeddings @ audio_embeddings.T).numpy())
    return np.stack(found)


def figures(similarities: np.ndarray) -> dict:
    """What `cosines` come to; intervals hold 95 % of bootstrap draws over clips."""
    starts = similarities.shape[1]
    distance = np.arange(starts)[None] - np.arange(starts)[:, None]
    own = similarities[:, np.arange(starts), np.arange(starts)]  # (clips, starts)
    first = own[:, :, None] > similarities  # (clips, starts, starts)
    by_shift = {shift: first[:, np.abs(distance) == shift].mean(1) for shift in SHIFTS}  # (clips,) each
    far = (np.abs(distance) >= MIN_FAR_SHIFT) & (np.abs(distance) <= max(SHIFTS))
    choice = first[:, far].mean(1)
    called = ((own >= IN_SYNC_COSINE).mean(1) + (similarities[:, far] < IN_SYNC_COSINE).mean(1)) / 2
    lags = range(-max(SHIFTS), max(SHIFTS) + 1)
    level = np.stack([similarities[:, distance == lag].mean(1) for lag in lags], axis=1)  # (clips, lags)
    best = np.abs(level.argmax(1) - max(SHIFTS))
    return {
        "clips": len(similarities),
        "windows": int(own.size),
        f"own before shifted by {MIN_FAR_SHIFT} to {max(SHIFTS)} frames": bootstrap(choice, np.mean, digits=3),
        "own before shifted, by frames": {shift: round(float(v.mean()), 3) for shift, v in by_shift.items()},
        f"called rightly at {IN_SYNC_COSINE}": bootstrap(called, np.mean, digits=3),
        "cosine, own": round(float(own.mean()), 3),
        "cosine, shifted": round(float(similarities[:, far].mean()), 3),
        "clips whose best lag is within a frame": round(float((best <= 1).mean()), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for the drawn test clips")
    options = parser.parse_args()
    torch.set_num_threads(1)
    clips = held_out_sync(options.clips, options.seconds, options.cache)
    print(json.dumps(figures(cosines(load_syncnet(options.weights), clips)), indent=1))


if __name__ == "__main__":
    main()
