"""Gradient norm of each second-stage loss, on training clips: ``python -m training.stage2.measure_gradients``.

Of every loss, as it is weighed, the norm of the gradient that reaches the weights that learn: its root mean square over
some windows, and its share of the noise's.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor, nn

from ..paths import CACHE
from ..takes import load_takes
from ..unet.features import features
from ..unet.train import load
from .data import Stage2Clips
from .opening_reader import load_or_train_opening_reader
from .train import STAGE_ONE, LossNetworks, LossWeights, compute_losses, initial_unet

SEED = 7  # not one that was trained with


def gradient_norms(unet: nn.Module, losses: dict[str, Tensor], weights: LossWeights) -> dict[str, float]:
    """The norm of each weighed loss's gradient at the weights that learn; 0 of one that doesn't depend on them."""
    trainable = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    found = {}
    for name, loss in losses.items():
        unet.zero_grad(set_to_none=True)
        if loss.requires_grad:
            (weights.by_name[name] * loss).backward(retain_graph=True)
        squares = [weight.grad.square().sum() for weight in trainable if weight.grad is not None]
        found[name] = float(torch.stack(squares).sum().sqrt()) if squares else 0.0
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=STAGE_ONE, help="of the first stage")
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--clips", type=int, default=700, help="drawn clips to use, at most")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the drawn clips and their features")
    options = parser.parse_args()
    torch.set_num_threads(1)
    drawn = load_takes(options.clips, options.cache)
    clips = Stage2Clips(features(options.clips, options.cache, appearances=1), drawn)
    loss_networks = LossNetworks.of_files(load_or_train_opening_reader(drawn, options.cache))
    weights = LossWeights()
    unet = initial_unet(load(options.weights).state_dict(), clips.channel_rms)
    rows = [gradient_norms(unet, compute_losses(unet, loss_networks, clips.batch(step, SEED, 1), weights), weights)
            for step in range(options.windows)]  # fmt: skip
    found = {name: sum(row[name] ** 2 for row in rows) ** 0.5 / len(rows) ** 0.5 for name in rows[0]}
    shares = {name: round(value / found["prediction"], 3) for name, value in found.items()}
    print(
        json.dumps({"norm": {k: float(f"{v:.3g}") for k, v in found.items()}, "of the prediction's": shares}, indent=1)
    )


if __name__ == "__main__":
    main()
