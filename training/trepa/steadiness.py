"""Tunes a video encoder to tell steady mouths from unsteady ones: ``python -m training.trepa.steadiness --which loss``.

Half of the windows are degraded: mouths jitter, change places, flicker, or come from another moment, another light and
another place from one frame on, as at a seam between two windows of sampling. A linear head says which of these it is;
the encoder is kept with its features standardized, as `training.trepa.train` keeps it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentsync_core.trepa.video_encoder import (
    VideoEncoder,
    load_video_encoder,
    preprocess_clips,
    save_video_encoder,
)

from .. import loop, paths
from ..paths import CACHE
from ..takes import load_takes
from .degradations import add_flicker, jitter_mouths, join_at_seam, shuffle_mouths
from .train import SEEDS, STANDARDIZATION_WINDOWS, WEIGHTS, standardize_features

KINDS = (  # what is told apart, and its strengths
    (jitter_mouths, 0.7, 4.0),
    (shuffle_mouths, 0.15, 1.0),
    (add_flicker, 0.015, 0.12),
    (join_at_seam, 0.3, 1.0),
)
LEARNING_RATE = 5e-4
WINDOWS_PER_STEP = 12
TOLD = {which: paths.RUNS / f"steadiness_{which}.safetensors" for which in WEIGHTS}


class Judge(nn.Module):
    """An encoder and a linear head: (b, 4), how likely a window was degraded in each way."""

    def __init__(self, encoder: VideoEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.width, len(KINDS))

    def forward(self, clips: Tensor) -> Tensor:
        return self.head(self.encoder(clips))


def sample_judged(
    crops: Sequence[np.ndarray], step: int, seed: int, count: int, encoder: VideoEncoder
) -> tuple[Tensor, Tensor]:
    """Windows (count, 3, 16, size, size) in [0, 1], and what was done to each, (count, 4) of 0 and 1."""
    config, rng = encoder.config, np.random.default_rng((15487639, seed, step))
    windows, done = [], torch.zeros(count, len(KINDS))
    for place, clip in enumerate(rng.choice(len(crops), count, replace=len(crops) < count)):
        at = int(rng.integers(0, len(crops[clip]) - config.frames + 1))
        whole = torch.from_numpy(np.array(crops[clip])).float() / 255
        if rng.random() < 0.5:
            kind = int(rng.integers(len(KINDS)))
            degrade, least, most = KINDS[kind]
            whole = degrade(whole, float(np.exp(rng.uniform(np.log(least), np.log(most)))), rng)
            done[place, kind] = 1
        window = whole[at : at + config.frames]
        gains = torch.from_numpy(rng.uniform(0.85, 1.1, (1, 3, 1, 1)).astype(np.float32))
        window = (window * gains + float(rng.uniform(-0.04, 0.04))).clamp(0, 1)
        windows.append(window.flip(-1) if rng.random() < 0.5 else window)
    clips = torch.stack(windows).transpose(1, 2) * 2 - 1  # b f c h w -> b c f h w
    return preprocess_clips(clips, config.size), done


def tune(
    encoder: VideoEncoder, crops: Sequence[np.ndarray], budget: loop.Budget, run: Path | None = None
) -> VideoEncoder:
    """Trains all of the encoder on; returns it with its features standardized."""

    def loss_at(
        model: nn.Module, step: int, fraction_done: float, device: torch.device
    ) -> tuple[Tensor, dict[str, float]]:
        clips, done = sample_judged(crops, step, budget.seed, WINDOWS_PER_STEP, encoder)
        scores = model(clips.to(device))
        loss = F.binary_cross_entropy_with_logits(scores, done.to(device))
        right = ((scores > 0) == (done.to(device) > 0.5)).float().mean(0)
        return loss, {"loss": loss.item(), **{f"right {number}": one.item() for number, one in enumerate(right)}}

    judge = Judge(encoder.requires_grad_(True).train())
    judge.load_state_dict(loop.fit(judge, loss_at, budget, run, on_progress=loop.reporter()))
    return standardize_features(judge.encoder.cpu().eval().requires_grad_(False), crops, STANDARDIZATION_WINDOWS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    loop.add_arguments(parser, paths.RUNS / "steadiness", minutes=12, learning_rate=LEARNING_RATE)
    parser.add_argument("--which", choices=WEIGHTS, default="loss")
    parser.add_argument("--clips", type=int, default=960, help="drawn clips to use, at most")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the drawn clips")
    options = parser.parse_args()
    options.seed = SEEDS[options.which]
    budget = loop.budget_from(options)
    crops = load_takes(options.clips, options.cache).crops
    encoder = tune(load_video_encoder(WEIGHTS[options.which]), crops, budget, options.run.with_name(
        f"steadiness_{options.which}"))  # fmt: skip
    save_video_encoder(encoder.half(), TOLD[options.which])


if __name__ == "__main__":
    main()
