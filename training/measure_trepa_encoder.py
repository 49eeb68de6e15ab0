"""Measures what the small video encoders see: ``python -m training.measure_trepa_encoder --which loss`` (or judge).

True clips of people never trained with are spoiled more and more, in time (mouths of other frames, mouths that come
late, a lower face that flickers) and in space (a lower face blurred, but steadily so). A distance is worth something
where it grows with every step of each, for nearly every clip, and where it takes an error that flickers for more than
one of the same size that stands still. A ridge classifier on the features tells true windows from jittered ones, of
other people. An untrained encoder of the same shape stands beside it: what it can do needs no training.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from latentsync_core.trepa.video_encoder import VideoEncoder, clip_features, load_video_encoder

from .measure_vae import held_out
from .sequences import drawn_sequences
from .spoil import blurred, flickering, jittered, late, other_mouths
from .train_trepa import CONFIGS, SETTLED_ON, WEIGHTS, settled
from .vae_data import CACHE

JITTER = 4.0  # frames by which the classifier's false mouths are off, its deviation
RIDGE = 1.0  # of the classifier, on features of deviation 1, a window
Spoil = Callable[[Tensor, float, np.random.Generator], Tensor]


LADDERS: dict[str, tuple[Spoil, tuple[float, ...]]] = {
    "mouths changed, share": (other_mouths, (0.125, 0.25, 0.5, 1.0)),
    "mouths jittered, frames": (jittered, (0.5, 1.0, 2.0, 4.0)),
    "mouths late, frames": (late, (1, 2, 4, 8)),
    "flicker, share": (flickering, (0.02, 0.04, 0.08, 0.16)),
    "blur, pixels": (blurred, (0.5, 1.0, 2.0, 4.0)),
}


def windows(clip: Tensor, length: int) -> Tensor:
    """A clip's windows (m, 3, length, 128, 128) in [-1, 1], end to end, from (n, 3, 128, 128) in [0, 1]."""
    count = len(clip) // length
    return clip[: count * length].unflatten(0, (count, length)).transpose(1, 2) * 2 - 1  # m f c h w -> m c f h w


@torch.no_grad()
def ladders(encoder: VideoEncoder, crops: Sequence[np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By ladder: 1 minus the cosine to the true clip, and the mean squared error of the pixels, (clips, steps) each."""
    found = {name: (np.empty((len(crops), len(steps))), np.empty((len(crops), len(steps))))
             for name, (_, steps) in LADDERS.items()}  # fmt: skip
    for number, clip in enumerate(crops):
        plain = torch.from_numpy(np.array(clip)).float() / 255
        true = _features(encoder, plain)
        for name, (spoil, steps) in LADDERS.items():
            for place, step in enumerate(steps):
                spoiled = spoil(plain, step, np.random.default_rng((15487591, number)))
                gap = 1 - F.cosine_similarity(true, _features(encoder, spoiled)).mean()
                found[name][0][number, place] = gap.item()
                found[name][1][number, place] = (spoiled - plain).square().mean().item()
    return found


@torch.no_grad()
def told_apart(encoder: VideoEncoder, known: Sequence[np.ndarray], unknown: Sequence[np.ndarray]) -> float:
    """The share of `unknown` clips' windows, half of them jittered, that a classifier made from `known` calls right."""
    sets = []
    for clips in (known, unknown):
        features, labels = [], []
        for number, clip in enumerate(clips):
            plain = torch.from_numpy(np.array(clip)).float() / 255
            spoiled = jittered(plain, JITTER, np.random.default_rng((15487601, number)))
            for label, pictures in ((1.0, plain), (-1.0, spoiled)):
                features.append(_features(encoder, pictures))
                labels.append(torch.full((len(features[-1]),), label))
        values = torch.cat(features)
        sets.append((torch.cat([values, torch.ones(len(values), 1)], 1).double(), torch.cat(labels).double()))
    (x, y), (other, wanted) = sets
    weights = torch.linalg.solve(x.T @ x + RIDGE * len(x) * torch.eye(x.shape[1]).double(), x.T @ y)
    return float((torch.sign(other @ weights) == wanted).double().mean())


def figures(of: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict:
    """What `ladders` come to."""
    found = {}
    for name, (gaps, _) in of.items():
        rises = (np.diff(np.concatenate([np.zeros((len(gaps), 1)), gaps], axis=1), axis=1) > 0).all(1)
        found[name] = {
            "distance by step": [float(f"{v:.3g}") for v in gaps.mean(0)],
            "clips where every step adds": round(float(rises.mean()), 3),
        }
    price = {name: gaps.sum() / errors.sum() for name, (gaps, errors) in of.items()}  # distance an error costs
    steady = price["blur, pixels"]
    found["price of an error, blur 1"] = {
        name: round(float(v / steady), 2) if steady else None for name, v in price.items()
    }
    return found


def measured(encoder: VideoEncoder, known: Sequence[np.ndarray], unknown: Sequence[np.ndarray]) -> dict:
    """All figures of one encoder, on clips of people that it never saw; the classifier alone learns from `known`."""
    return {**figures(ladders(encoder, unknown)), "jitter told": round(told_apart(encoder, known, unknown), 3)}


def _features(encoder: VideoEncoder, clip: Tensor) -> Tensor:
    return clip_features(encoder, windows(clip, encoder.config.frames))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--which", choices=CONFIGS, default="loss")
    parser.add_argument("--weights", type=Path, help="if not the usual ones")
    parser.add_argument("--clips", type=int, default=40, help="of the forty test clips, the first so many")
    parser.add_argument("--known", type=int, default=100, help="training clips that the classifier learns from")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the drawn clips")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    known = drawn_sequences(options.known, options.cache).crops
    unknown = held_out(40, 3.0, folder=options.cache).crops[: options.clips]
    trained = load_video_encoder(options.weights or WEIGHTS[options.which])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = settled(VideoEncoder(trained.config).requires_grad_(False).eval(), known, SETTLED_ON)
    found = {name: measured(encoder, known, unknown) for name, encoder in (("trained", trained), ("untrained", plain))}
    print(json.dumps({"clips": len(unknown), **found}, indent=1))


if __name__ == "__main__":
    main()
