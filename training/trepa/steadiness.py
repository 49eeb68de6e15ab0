"""Trains a video encoder to tell steady mouths from others: ``python -m training.trepa.steadiness --which loss``.

Half of the windows are degraded: mouths jitter, change places, flicker, or come from another moment, another light and
another place from one frame on, as at a seam between two windows of sampling. A linear head says which of these it is;
the encoder is kept. (A vision transformer of TREPA's kind did not learn it in a quarter of an hour.)
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from latentsync_core.trepa.video_encoder import preprocess_clips

from .. import loop, paths
from ..paths import CACHE
from ..takes import load_takes
from .degradations import add_flicker, jitter_mouths, join_at_seam, shuffle_mouths
from .train import SEEDS

KINDS = (  # what is told apart, and its strengths
    (jitter_mouths, 0.7, 4.0),
    (shuffle_mouths, 0.15, 1.0),
    (add_flicker, 0.015, 0.12),
    (join_at_seam, 0.3, 1.0),
)


@dataclass(frozen=True)
class Config:
    width: int  # of the first layer
    size: int  # pixels
    frames: int = 16


CONFIGS = {"loss": Config(16, 64), "judge": Config(12, 80)}
LEARNING_RATE = 1e-3
WINDOWS_PER_STEP = 12
MARGIN = 8  # frames around a window, whose mouths may come into it
TOLD = {which: paths.RUNS / f"steadiness_{which}.safetensors" for which in CONFIGS}


class SteadinessEncoder(nn.Module):
    """Convolutions in space and time over a window and its changes from frame to frame, averaged over both."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        widths = (6, config.width, 2 * config.width, 4 * config.width)
        kernels = ((3, 5, 5), (3, 3, 3), (3, 3, 3))
        strides = ((1, 2, 2), (1, 2, 2), (2, 2, 2))
        self.layers = nn.Sequential(*(
            layer
            for (inputs, outputs), kernel, stride in zip(pairwise(widths), kernels, strides, strict=True)
            for layer in (
                nn.Conv3d(inputs, outputs, kernel, stride, padding=tuple(side // 2 for side in kernel)),
                nn.GroupNorm(4, outputs), nn.ReLU(),
            )
        ))  # fmt: skip

    def forward(self, clips: Tensor) -> Tensor:
        """(b, 8 widths) of clips (b, 3, 16, size, size) in [0, 1]: means and deviations of the last layer."""
        changes = F.pad(clips[:, :, 1:] - clips[:, :, :-1], (0, 0, 0, 0, 1, 0))
        found = self.layers(torch.cat([clips - 0.5, 8 * changes], dim=1)).flatten(2)
        return torch.cat([found.mean(2), found.std(2)], dim=1)


class Judge(nn.Module):
    """An encoder and a linear head: (b, 4), how likely a window was degraded in each way."""

    def __init__(self, encoder: SteadinessEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(8 * encoder.config.width, len(KINDS))

    def forward(self, clips: Tensor) -> Tensor:
        return self.head(self.encoder(clips))


def features(encoder: SteadinessEncoder, clips: Tensor) -> Tensor:
    """(b, width) of clips (b, 3, 16, h, w) about [-1, 1]."""
    return encoder(preprocess_clips(clips, encoder.config.size))


def sample_judged(
    crops: Sequence[np.ndarray], step: int, seed: int, count: int, encoder: SteadinessEncoder
) -> tuple[Tensor, Tensor]:
    """Windows (count, 3, 16, size, size) in [0, 1], and what was done to each, (count, 4) of 0 and 1."""
    config, rng = encoder.config, np.random.default_rng((15487639, seed, step))
    windows, done = [], torch.zeros(count, len(KINDS))
    for place, clip in enumerate(rng.choice(len(crops), count, replace=len(crops) < count)):
        around = config.frames + 2 * MARGIN
        first = int(rng.integers(0, len(crops[clip]) - around + 1))
        whole = torch.from_numpy(np.array(crops[clip][first : first + around])).float() / 255
        if rng.random() < 0.5:
            kind = int(rng.integers(len(KINDS)))
            degrade, least, most = KINDS[kind]
            whole = degrade(whole, float(np.exp(rng.uniform(np.log(least), np.log(most)))), rng)
            done[place, kind] = 1
        window = whole[MARGIN : MARGIN + config.frames]
        gains = torch.from_numpy(rng.uniform(0.85, 1.1, (1, 3, 1, 1)).astype(np.float32))
        window = (window * gains + float(rng.uniform(-0.04, 0.04))).clamp(0, 1)
        windows.append(window.flip(-1) if rng.random() < 0.5 else window)
    clips = torch.stack(windows).transpose(1, 2) * 2 - 1  # b f c h w -> b c f h w
    return preprocess_clips(clips, config.size), done


def train(
    encoder: SteadinessEncoder, crops: Sequence[np.ndarray], budget: loop.Budget, run: Path | None = None
) -> SteadinessEncoder:
    """Trains the encoder; returns it."""

    def loss_at(
        model: nn.Module, step: int, fraction_done: float, device: torch.device
    ) -> tuple[Tensor, dict[str, float]]:
        clips, done = sample_judged(crops, step, budget.seed, WINDOWS_PER_STEP, encoder)
        scores = model(clips.to(device))
        loss = F.binary_cross_entropy_with_logits(scores, done.to(device))
        right = ((scores > 0) == (done.to(device) > 0.5)).float().mean(0)
        found = (scores.amax(1) > 0) == (done.to(device).amax(1) > 0.5)
        parts = {"loss": loss.item(), "degraded told": found.float().mean().item()}
        return loss, parts | {f"right {number}": one.item() for number, one in enumerate(right)}

    judge = Judge(encoder.train())
    judge.load_state_dict(loop.fit(judge, loss_at, budget, run, on_progress=loop.reporter()))
    return judge.encoder.cpu().eval().requires_grad_(False)


def load(which: str) -> SteadinessEncoder:
    """A trained one."""
    encoder = SteadinessEncoder(CONFIGS[which])
    encoder.load_state_dict(load_file(TOLD[which]))
    return encoder.eval().requires_grad_(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    loop.add_arguments(parser, paths.RUNS / "steadiness", minutes=12, learning_rate=LEARNING_RATE)
    parser.add_argument("--which", choices=CONFIGS, default="loss")
    parser.add_argument("--clips", type=int, default=960, help="drawn clips to use, at most")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the drawn clips")
    options = parser.parse_args()
    options.seed = SEEDS[options.which]
    budget = loop.budget_from(options)
    crops = load_takes(options.clips, options.cache).crops
    torch.manual_seed(options.seed)
    run = options.run.with_name(f"steadiness_{options.which}")
    encoder = train(SteadinessEncoder(CONFIGS[options.which]), crops, budget, run)
    save_file(encoder.state_dict(), TOLD[options.which])


if __name__ == "__main__":
    main()
