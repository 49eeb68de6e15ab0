"""Trains a small SyncNet: ``python -m training.syncnet.train --minutes 25`` writes its weights.

The class is the released one's, at 64-pixel faces. To the reference's loss, cross-entropy of the cosine taken as a
probability, comes a choice among many: each window of faces must find its own sound among all of the step's, half of
them of the same clip at other times, and each sound its faces (Chung et al. 2019, "Perfect match",
https://arxiv.org/abs/1809.08001). Alone, the first rests for long at calling all pairs even.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentsync_core.evaluation.syncnet import SyncNet, load_syncnet, save_syncnet, sync_loss

from .. import loop, paths
from ..paths import CACHE
from ..takes import load_takes
from .data import SyncClips, sync_clips

WEIGHTS = paths.network_weights("syncnet")
OUTPUT = paths.WEIGHTS / "syncnet.safetensors"
RUN = paths.RUNS / "syncnet"
CONFIG = {  # as upstream's files name its sizes; 2.6 M parameters
    "audio_encoder": {
        "in_channels": 1,
        "block_out_channels": [32, 32, 64, 96, 160],
        "downsample_factors": [[4, 2], 2, [2, 3], 2, 2],
        "attn_blocks": [0, 0, 1, 0, 0],
        "dropout": 0.0,
    },
    "visual_encoder": {
        "in_channels": 48,
        "block_out_channels": [32, 32, 64, 96, 128, 160],
        "downsample_factors": [[1, 2], 2, 2, 2, 2, 2],
        "attn_blocks": [0, 0, 1, 0, 0, 0],
        "dropout": 0.0,
    },
}
LEARNING_RATE = 1e-3
CLIPS_PER_STEP, WINDOWS_PER_CLIP = 8, 4  # of a step: clips, and windows of each
MIN_SHIFT_FRAMES = 3  # frames between windows of a clip
LOGIT_SCALE = 12.0  # cosines times this are the choice's logits
CONTRASTIVE_WEIGHT = 1.0  # of the choice, beside the cross-entropy


def build(seed: int = 0) -> SyncNet:
    """An untrained SyncNet, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SyncNet.from_config(CONFIG).train().to(memory_format=torch.channels_last)


def make_batch(
    clips: SyncClips, step: int, seed: int, count: int, each: int = WINDOWS_PER_CLIP
) -> tuple[Tensor, Tensor]:
    """Pictures (count * each, 48, 32, 64) and sounds (count * each, 1, 80, 52) that go together, of `count` clips."""
    rng = np.random.default_rng((15487531, seed, step))
    pictures, sounds = [], []
    for clip in rng.choice(len(clips), count, replace=len(clips) < count):
        starts = _spaced_starts(rng, clips.last_start, each)
        faces, mels = clips.windows(int(clip), starts)
        if rng.random() < 0.5:
            faces = faces.flip(-1)
        light = rng.uniform((0.8, -0.1), (1.2, 0.1))
        pictures.append((faces * float(light[0]) + float(light[1])).clamp(-1, 1))
        sounds.append(mels)
    return torch.cat(pictures), torch.cat(sounds)


def compute_loss(net: SyncNet, pictures: Tensor, sounds: Tensor, each: int) -> tuple[Tensor, dict[str, float]]:
    """The loss of pairs that belong together, and its parts: every wrong pair is as long a shift or another clip."""
    video_embeddings, audio_embeddings = net(pictures, sounds)
    count = len(video_embeddings)
    cosines = (video_embeddings @ audio_embeddings.T).float()
    own = torch.arange(count, device=cosines.device)
    choice = (F.cross_entropy(cosines * LOGIT_SCALE, own) + F.cross_entropy(cosines.T * LOGIT_SCALE, own)) / 2
    # For the cross-entropy each window of faces is paired with its own sound, and with the next one of its clip.
    other = own - own % each + (own + 1) % each
    right = torch.cat([torch.ones(count), torch.zeros(count)]).to(cosines)
    pairwise_loss = sync_loss(
        video_embeddings.repeat(2, 1).float(),
        torch.cat([audio_embeddings, audio_embeddings[other]]).float(),
        right,
    )
    found = (cosines.diagonal() > cosines[own, other]).float().mean()
    parts = {"even": pairwise_loss.item(), "choice": choice.item(), "before the shifted": found.item()}
    return pairwise_loss + CONTRASTIVE_WEIGHT * choice, parts


def train(
    clips: SyncClips,
    budget: loop.Budget,
    run: Path | None = None,
    start: Mapping[str, Tensor] | None = None,
    count: int = CLIPS_PER_STEP,
    stop_after: int | None = None,
    on_progress: Callable[[float, dict[str, float]], None] | None = None,
) -> dict[str, Tensor]:
    """Trains on `count` clips a step; returns the averaged weights. The rest is `loop.fit`'s."""

    def loss_at(
        net: nn.Module, step: int, fraction_done: float, device: torch.device
    ) -> tuple[Tensor, dict[str, float]]:
        pictures, sounds = make_batch(clips, step, budget.seed, count)
        return compute_loss(
            net, pictures.to(device, memory_format=torch.channels_last), sounds.to(device), WINDOWS_PER_CLIP
        )

    return loop.fit(build(budget.seed), loss_at, budget, run, start, stop_after, on_progress)


def save(state: Mapping[str, Tensor], path: Path) -> None:
    """Writes the weights in half precision."""
    net = SyncNet.from_config(CONFIG)
    net.load_state_dict(state)
    save_syncnet(net.half(), path)


def _spaced_starts(rng: np.random.Generator, last: int, count: int) -> list[int]:
    """`count` starts from 0 to `last`, none two nearer than LEAST_SHIFT, in any order."""
    free = np.sort(rng.integers(0, last - MIN_SHIFT_FRAMES * (count - 1) + 1, count))
    return [int(at) for at in rng.permutation(free + MIN_SHIFT_FRAMES * np.arange(count))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    loop.add_arguments(parser, RUN, minutes=25, learning_rate=LEARNING_RATE)
    parser.add_argument("--clips", type=int, default=1400, help="drawn clips to use, at most")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the drawn clips")
    parser.add_argument("--batch", type=int, default=CLIPS_PER_STEP, help="clips of a step; more on a GPU")
    parser.add_argument("--out", type=Path, default=OUTPUT)
    options = parser.parse_args()
    budget = loop.budget_from(options)
    drawn = load_takes(options.clips, options.cache)
    loop.logger.info("%d clips", len(drawn))
    start = load_syncnet(options.start).state_dict() if options.start else None
    clips = sync_clips(drawn.crops, drawn.waveforms)
    save(train(clips, budget, options.run, start, options.batch, on_progress=loop.reporter()), options.out)


if __name__ == "__main__":
    main()
