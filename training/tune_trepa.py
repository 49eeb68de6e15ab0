"""Tunes a small video encoder to what mouths do: ``python -m training.tune_trepa --steps 600`` rewrites its weights.

The encoder that TREPA takes was tuned, after masked autoencoding, to tell actions apart in which the order of frames
matters (VideoMAE v2, Wang et al. 2023, https://arxiv.org/abs/2303.16727, on Something-Something v2). The small ones are
tuned to say how open the mouth is in each of 16 frames, and whether time is out of joint: where mouths are jittered or
flicker, and not where they are whole, late or blurred, whose seams and softness must not give them away. Faces are
training people; the heads that answer are thrown away.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentsync_core.trepa.representation import (
    VideoEncoder,
    load_video_encoder,
    prepare_clips,
    save_video_encoder,
)

from . import loop
from .sequences import Sequences, drawn_sequences
from .spoil import blurred, flickering, jittered_source, late_source, with_mouths
from .train_trepa import CONFIGS, SEEDS, SETTLED_ON, WEIGHTS, WINDOWS, settled
from .vae_data import CACHE

LEARNING_RATE = 1e-3
MARGIN = 8  # frames beside a window from which mouths may come
WIDE = 0.1  # head units: openings are given in these
JITTER, LATENESS = (1.0, 6.0), (1, 8)  # frames
FLICKER, BLUR = (0.03, 0.16), (0.5, 3.0)  # share of the brightness; pixels
SHARES = {"plain": 0.25, "late": 0.15, "blurred": 0.1, "jittered": 0.35, "flickering": 0.15}
DISJOINTED = ("jittered", "flickering")


@dataclass(frozen=True, eq=False)
class Watched:
    """b windows and what is true of them."""

    clips: Tensor  # (b, 3, 16, size, size) in [0, 1]
    openings: Tensor  # (b, 16) in tenths of a head unit
    disjointed: Tensor  # (b,) float, 1 where time is out of joint


class Watcher(nn.Module):
    """An encoder and a head that says openings, and last whether time is out of joint: (b, 17) of clips."""

    def __init__(self, encoder: VideoEncoder) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(True).train()
        self.head = nn.Linear(encoder.config.width, encoder.config.frames + 1)
        nn.init.zeros_(self.head.weight)

    def forward(self, clips: Tensor) -> Tensor:
        return self.head(self.encoder(clips))


def watched(drawn: Sequences, step: int, seed: int, count: int, frames: int, size: int) -> Watched:
    """The windows of this step, of `count` clips, mirrored at random and under other lights."""
    rng = np.random.default_rng((15487607, seed, step))
    clips, openings, disjointed = [], [], []
    for clip in rng.choice(len(drawn), count, replace=len(drawn) < count):
        at = int(rng.integers(0, drawn.openings.shape[1] - frames + 1))
        low, high = max(0, at - MARGIN), min(drawn.openings.shape[1], at + frames + MARGIN)
        pictures = torch.from_numpy(np.array(drawn.crops[clip, low:high])).float() / 255
        kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
        source = np.arange(len(pictures))
        if kind == "jittered":
            source = jittered_source(len(pictures), rng.uniform(*JITTER), rng)
        elif kind == "late":
            source = late_source(len(pictures), rng.integers(*LATENESS, endpoint=True))
        elif kind == "flickering":
            pictures = flickering(pictures, rng.uniform(*FLICKER), rng)
        elif kind == "blurred":
            pictures = blurred(pictures, rng.uniform(*BLUR), rng)
        if kind in ("jittered", "late"):
            pictures = with_mouths(pictures, source)
        gains = torch.from_numpy(rng.uniform(0.85, 1.1, (1, 3, 1, 1)).astype(np.float32))
        window = prepare_clips((pictures * gains).clamp(0, 1)[at - low :][:frames].transpose(0, 1)[None] * 2 - 1, size)
        clips.append(window.flip(-1) if rng.random() < 0.5 else window)
        openings.append(drawn.openings[clip, low:high][source][at - low :][:frames] / WIDE)
        disjointed.append(float(kind in DISJOINTED))
    return Watched(torch.cat(clips), torch.from_numpy(np.stack(openings)).float(), torch.tensor(disjointed))


def losses_of(watcher: nn.Module, seen: Watched) -> dict[str, Tensor]:
    """How far off the openings are, in squares of a tenth of a head unit, and the doubt about time, in nats."""
    said = watcher(seen.clips)
    return {
        "openings": F.mse_loss(said[:, :-1], seen.openings),
        "time": F.binary_cross_entropy_with_logits(said[:, -1], seen.disjointed),
    }


def tune(
    encoder: VideoEncoder,
    drawn: Sequences,
    budget: loop.Budget,
    run: Path | None = None,
    count: int = WINDOWS,
    stop_after: int | None = None,
    on_progress: Callable[[float, dict[str, float]], None] | None = None,
) -> VideoEncoder:
    """Trains on `count` windows a step; returns the encoder, settled. The rest is `loop.fit`'s."""
    config = encoder.config

    def loss_at(watcher: nn.Module, step: int, way: float, device: torch.device) -> tuple[Tensor, dict[str, float]]:
        seen = watched(drawn, step, budget.seed, count, config.frames, config.size)
        seen = Watched(*(part.to(device) for part in (seen.clips, seen.openings, seen.disjointed)))
        found = losses_of(watcher, seen)
        return sum(found.values()), {name: loss.item() for name, loss in found.items()}

    watcher = Watcher(encoder)
    watcher.load_state_dict(loop.fit(watcher, loss_at, budget, run, None, stop_after, on_progress))
    return settled(watcher.encoder.cpu().requires_grad_(False).eval(), drawn.crops, SETTLED_ON)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    loop.add_arguments(parser, loop.RUNS / "trepa_tuned", minutes=15, learning_rate=LEARNING_RATE)
    parser.add_argument("--which", choices=CONFIGS, default="loss", help="the encoder to train against, or to judge by")
    parser.add_argument("--clips", type=int, default=1400, help="drawn clips to use, at most")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the drawn clips")
    parser.add_argument("--batch", type=int, default=WINDOWS, help="windows of a step; more on a GPU")
    parser.add_argument("--out", type=Path, help="where the weights go, if not to their usual place")
    parser.set_defaults(run=None, seed=None)
    options = parser.parse_args()
    options.seed = SEEDS[options.which] if options.seed is None else options.seed
    options.run = options.run or loop.RUNS / f"{WEIGHTS[options.which].stem}_tuned"
    budget = loop.budget_from(options)
    drawn = drawn_sequences(options.clips, options.cache)
    loop.logger.info("%d clips", len(drawn))
    encoder = load_video_encoder(options.start or WEIGHTS[options.which])
    encoder = tune(encoder, drawn, budget, options.run, options.batch, on_progress=loop.reporter())
    save_video_encoder(encoder.half(), options.out or WEIGHTS[options.which])


if __name__ == "__main__":
    main()
