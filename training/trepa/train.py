"""Trains a small video encoder for TREPA: ``python -m training.trepa.train --minutes 15`` writes its weights.

A masked autoencoder of transformers' VideoMAE classes (Tong et al. 2022, https://arxiv.org/abs/2203.12602) on windows
of 16 frames of drawn speakers: most tubes are hidden, and what they hold is guessed from the others. Half of the
windows hide the same places in all frames, as VideoMAE does, half hide tubes anywhere, for which motion must be
followed. The encoder alone is kept, as the engine's `load_video_encoder` reads it.

Two are trained, of different sizes, seeds and views of the picture: one to train against (`loss`), the other to judge
by (`judge`), so that what is gained by the one is seen by an eye that nothing was fitted to.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from latentsync_core.trepa.video_encoder import (
    VideoEncoder,
    VideoEncoderConfig,
    from_transformers,
    preprocess_clips,
    save_video_encoder,
)

from .. import loop, paths
from ..paths import CACHE
from ..takes import load_takes

if TYPE_CHECKING:
    from transformers import VideoMAEForPreTraining

# By what they are for. 1.9 M and 1.5 M parameters; both see a clip as 512 tubes.
CONFIGS = {
    "loss": VideoEncoderConfig(width=192, blocks=4, heads=3, inner=768, patch=8, size=64),
    "judge": VideoEncoderConfig(width=144, blocks=5, heads=4, inner=576, patch=16, size=128),
}
STAGES = {"loss": "trepa", "judge": "trepa_judge"}  # as `training.stages` calls them
WEIGHTS = {which: paths.network_weights(stage) for which, stage in STAGES.items()}
SEEDS = {"loss": 0, "judge": 1}
LEARNING_RATE = 1e-3
WINDOWS_PER_STEP = 8  # of a step
MASK_RATIO = 0.8  # of the tubes
DECODER = {"decoder_hidden_size": 96, "decoder_num_hidden_layers": 2, "decoder_num_attention_heads": 3}
STANDARDIZATION_WINDOWS = 400  # windows whose features' means and deviations the last norm takes out


def build(config: VideoEncoderConfig, seed: int = 0) -> VideoMAEForPreTraining:
    """An untrained masked autoencoder around an encoder of this config, the same for the same seed."""
    from transformers import VideoMAEConfig, VideoMAEForPreTraining

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VideoMAEForPreTraining(
            VideoMAEConfig(
                image_size=config.size, patch_size=config.patch, num_frames=config.frames, tubelet_size=config.tubelet,
                hidden_size=config.width, num_hidden_layers=config.blocks, num_attention_heads=config.heads,
                intermediate_size=config.inner, layer_norm_eps=config.norm_eps, use_mean_pooling=True,
                decoder_intermediate_size=4 * DECODER["decoder_hidden_size"], **DECODER,
            )
        ).train()  # fmt: skip


def sample_windows(crops: Sequence[np.ndarray], step: int, seed: int, count: int, config: VideoEncoderConfig) -> Tensor:
    """(count, 3, 16, size, size) in [0, 1], of other clips each: mirrored at random, under other lights.

    `crops` are clips (n, 3, 128, 128) uint8.
    """
    rng = np.random.default_rng((15487571, seed, step))
    found = []
    for clip in rng.choice(len(crops), count, replace=len(crops) < count):
        at = int(rng.integers(0, len(crops[clip]) - config.frames + 1))
        window = torch.from_numpy(np.array(crops[clip][at : at + config.frames])).float() / 127.5 - 1
        window = preprocess_clips(window.transpose(0, 1)[None], config.size)[0]  # f c h w -> c f h w
        gains = torch.from_numpy(rng.uniform(0.85, 1.1, (3, 1, 1, 1)).astype(np.float32))
        window = (window * gains + float(rng.uniform(-0.04, 0.04))).clamp(0, 1)
        found.append(window.flip(-1) if rng.random() < 0.5 else window)
    return torch.stack(found)


def sample_tube_masks(step: int, seed: int, count: int, config: VideoEncoderConfig) -> Tensor:
    """(count, tubes) bool, true where a tube is hidden, as many in every window: in turn all of a place's, and any."""
    rng = np.random.default_rng((15487577, seed, step))
    places, moments = (config.size // config.patch) ** 2, config.frames // config.tubelet
    masked_places = round(MASK_RATIO * places)
    masked = np.zeros((count, moments * places), bool)
    for number, row in enumerate(masked):
        if number % 2:
            row[rng.choice(len(row), masked_places * moments, replace=False)] = True
        else:
            row.reshape(moments, places)[:, rng.choice(places, masked_places, replace=False)] = True
    return torch.from_numpy(masked)


def train(
    crops: Sequence[np.ndarray],
    config: VideoEncoderConfig,
    budget: loop.Budget,
    run: Path | None = None,
    start: Mapping[str, Tensor] | None = None,
    count: int = WINDOWS_PER_STEP,
    stop_after: int | None = None,
    on_progress: Callable[[float, dict[str, float]], None] | None = None,
) -> VideoEncoder:
    """Trains on `count` windows a step; returns the encoder, settled. The rest is `loop.fit`'s."""

    def loss_at(
        model: nn.Module, step: int, fraction_done: float, device: torch.device
    ) -> tuple[Tensor, dict[str, float]]:
        clips = sample_windows(crops, step, budget.seed, count, config).transpose(1, 2)  # b c f h w -> b f c h w
        masked = sample_tube_masks(step, budget.seed, count, config)
        loss = model(clips.to(device), bool_masked_pos=masked.to(device)).loss
        return loss, {"hidden": loss.item()}

    model = build(config, budget.seed)
    model.load_state_dict(loop.fit(model, loss_at, budget, run, start, stop_after, on_progress))
    return standardize_features(from_transformers(model.cpu()), crops, STANDARDIZATION_WINDOWS)


@torch.no_grad()
def standardize_features(encoder: VideoEncoder, crops: Sequence[np.ndarray], windows: int) -> VideoEncoder:
    """The encoder with a last norm under which every feature has mean 0 and deviation 1 over these clips.

    Masked autoencoding leaves all clips' features pointing the same way; so cosines tell clips apart, as those of the
    fine-tuned ViT-g do, whose last norm was trained.
    """
    encoder.fc_norm.reset_parameters()
    found = torch.cat([encoder(sample_windows(crops, step, 0, 8, encoder.config)) for step in range(-(-windows // 8))])
    mean, deviation = found.mean(0), found.std(0).clamp(min=1e-4)
    encoder.fc_norm.weight.copy_(1 / deviation)
    encoder.fc_norm.bias.copy_(-mean / deviation)
    return encoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    loop.add_arguments(parser, paths.RUNS / "trepa", minutes=15, learning_rate=LEARNING_RATE)
    parser.add_argument("--which", choices=CONFIGS, default="loss", help="the encoder to train against, or to judge by")
    parser.add_argument("--clips", type=int, default=1400, help="drawn clips to use, at most")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the drawn clips")
    parser.add_argument("--batch", type=int, default=WINDOWS_PER_STEP, help="windows of a step; more on a GPU")
    parser.add_argument("--out", type=Path, help="where the weights go, if not to their usual place")
    parser.set_defaults(run=None, seed=None)
    options = parser.parse_args()
    options.seed = SEEDS[options.which] if options.seed is None else options.seed
    options.run = options.run or paths.RUNS / STAGES[options.which]
    if options.start:
        parser.error("An encoder alone can't go on; leave --from out, or keep the folder of its checkpoint.")
    budget = loop.budget_from(options)
    drawn = load_takes(options.clips, options.cache)
    loop.logger.info("%d clips", len(drawn))
    encoder = train(drawn.crops, CONFIGS[options.which], budget, options.run, count=options.batch,
                    on_progress=loop.reporter())  # fmt: skip
    save_video_encoder(encoder.half(), options.out or paths.WEIGHTS / f"{STAGES[options.which]}.safetensors")


if __name__ == "__main__":
    main()
