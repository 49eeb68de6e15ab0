"""Measures what the small video encoders see: ``python -m training.trepa.measure --which loss`` (or judge).

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

from ..held_out import held_out
from ..paths import CACHE
from ..takes import load_takes
from .degradations import add_flicker, blur_lower_face, delay_mouths, jitter_mouths, shuffle_mouths
from .train import CONFIGS, STANDARDIZATION_WINDOWS, WEIGHTS, standardize_features

JITTER_FRAMES = 4.0  # frames by which the classifier's false mouths are off, its deviation
RIDGE_PENALTY = 1.0  # of the classifier, on features of deviation 1, a window
Degradation = Callable[[Tensor, float, np.random.Generator], Tensor]


DEGRADATION_LEVELS: dict[str, tuple[Degradation, tuple[float, ...]]] = {
    "mouths changed, share": (shuffle_mouths, (0.125, 0.25, 0.5, 1.0)),
    "mouths jittered, frames": (jitter_mouths, (0.5, 1.0, 2.0, 4.0)),
    "mouths late, frames": (delay_mouths, (1, 2, 4, 8)),
    "flicker, share": (add_flicker, (0.02, 0.04, 0.08, 0.16)),
    "blur, pixels": (blur_lower_face, (0.5, 1.0, 2.0, 4.0)),
}


def windows(clip: Tensor, length: int) -> Tensor:
    """A clip's windows (m, 3, length, 128, 128) in [-1, 1], end to end, from (n, 3, 128, 128) in [0, 1]."""
    count = len(clip) // length
    return clip[: count * length].unflatten(0, (count, length)).transpose(1, 2) * 2 - 1  # m f c h w -> m c f h w


@torch.no_grad()
def measure_degradations(
    encoder: VideoEncoder, crops: Sequence[np.ndarray]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By ladder: 1 minus the cosine to the true clip, and the mean squared error of the pixels, (clips, steps) each."""
    found = {name: (np.empty((len(crops), len(steps))), np.empty((len(crops), len(steps))))
             for name, (_, steps) in DEGRADATION_LEVELS.items()}  # fmt: skip
    for number, clip in enumerate(crops):
        plain = torch.from_numpy(np.array(clip)).float() / 255
        true = _features(encoder, plain)
        for name, (degrade, steps) in DEGRADATION_LEVELS.items():
            for place, step in enumerate(steps):
                degraded = degrade(plain, step, np.random.default_rng((15487591, number)))
                distance = 1 - F.cosine_similarity(true, _features(encoder, degraded)).mean()
                found[name][0][number, place] = distance.item()
                found[name][1][number, place] = (degraded - plain).square().mean().item()
    return found


@torch.no_grad()
def jitter_accuracy(encoder: VideoEncoder, known: Sequence[np.ndarray], unknown: Sequence[np.ndarray]) -> float:
    """The share of `unknown` clips' windows, half of them jittered, that a classifier made from `known` calls right."""
    sets = []
    for clips in (known, unknown):
        features, labels = [], []
        for number, clip in enumerate(clips):
            plain = torch.from_numpy(np.array(clip)).float() / 255
            degraded = jitter_mouths(plain, JITTER_FRAMES, np.random.default_rng((15487601, number)))
            for label, pictures in ((1.0, plain), (-1.0, degraded)):
                features.append(_features(encoder, pictures))
                labels.append(torch.full((len(features[-1]),), label))
        values = torch.cat(features)
        sets.append((torch.cat([values, torch.ones(len(values), 1)], 1).double(), torch.cat(labels).double()))
    (x, y), (other, expected) = sets
    weights = torch.linalg.solve(x.T @ x + RIDGE_PENALTY * len(x) * torch.eye(x.shape[1]).double(), x.T @ y)
    return float((torch.sign(other @ weights) == expected).double().mean())


def figures(results: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict:
    """What `measure_degradations` come to."""
    found = {}
    for name, (distances, _) in results.items():
        rises = (np.diff(np.concatenate([np.zeros((len(distances), 1)), distances], axis=1), axis=1) > 0).all(1)
        found[name] = {
            "distance by step": [float(f"{v:.3g}") for v in distances.mean(0)],
            "clips where every step adds": round(float(rises.mean()), 3),
        }
    distance_per_error = {
        name: distances.sum() / errors.sum() for name, (distances, errors) in results.items()
    }  # distance an error costs
    blur_reference = distance_per_error["blur, pixels"]
    found["price of an error, blur 1"] = {
        name: round(float(v / blur_reference), 2) if blur_reference else None for name, v in distance_per_error.items()
    }
    return found


def measure_encoder(encoder: VideoEncoder, known: Sequence[np.ndarray], unknown: Sequence[np.ndarray]) -> dict:
    """All figures of one encoder, on clips of people that it never saw; the classifier alone learns from `known`."""
    return {
        **figures(measure_degradations(encoder, unknown)),
        "jitter told": round(jitter_accuracy(encoder, known, unknown), 3),
    }


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
    known = load_takes(options.known, options.cache).crops
    unknown = held_out(40, 3.0, folder=options.cache).crops[: options.clips]
    trained = load_video_encoder(options.weights or WEIGHTS[options.which])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = standardize_features(
            VideoEncoder(trained.config).requires_grad_(False).eval(), known, STANDARDIZATION_WINDOWS
        )
    found = {
        name: measure_encoder(encoder, known, unknown) for name, encoder in (("trained", trained), ("untrained", plain))
    }
    print(json.dumps({"clips": len(unknown), **found}, indent=1))


if __name__ == "__main__":
    main()
