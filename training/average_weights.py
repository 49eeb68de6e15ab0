"""Weights between two U-Nets: ``python -m training.average_weights BEFORE AFTER --share 0.5 --out FILE``.

Weights before and after some further training can be averaged, as long as one went on from the other. What the further
training gained is mostly kept, and what it cost elsewhere mostly avoided (Wortsman et al. 2022, "Robust fine-tuning of
zero-shot models", https://arxiv.org/abs/2109.01903).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from .unet.train import OUTPUT, load, save


def average(before: Mapping[str, Tensor], after: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """The weights at `share`, 0 to 1, of the way from `before` to `after`.

    Raises ValueError where they aren't of the same network.
    """
    if {key: value.shape for key, value in before.items()} != {key: value.shape for key, value in after.items()}:
        raise ValueError("The weights are of networks that differ.")
    return {key: value.lerp(after[key], share) for key, value in before.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="of the way from BEFORE to AFTER")
    parser.add_argument("--out", type=Path, default=OUTPUT)
    options = parser.parse_args()
    networks = [load(path).state_dict() for path in (options.before, options.after)]
    save(average(*networks, options.share), options.out)


if __name__ == "__main__":
    main()
