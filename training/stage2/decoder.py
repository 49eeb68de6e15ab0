"""Tunes the autoencoder's decoder to the U-Net's estimates: ``python -m training.stage2.decoder --minutes 60``.

The autoencoder was trained on clean latents. Those that the U-Net predicts in one step lack what no voice tells, the
texture of lips and the lines of a drawn chin, and a decoder that never saw such latents blurs them. Here it learns to
draw crops from them, by the autoencoder's own losses and the perceptual distance. A third of the pictures are drawn
from clean latents, as before. The encoder keeps its weights to the bit, so all latents and the U-Net stay valid.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import PartialState
from torch import Tensor, nn

from latentsync_core.models.vae import SCALING_FACTOR

from .. import loop, paths
from ..paths import CACHE
from ..perceptual import PerceptualDistance, lower_half
from ..takes import load_takes
from ..unet.diffusion import NANO_SETTINGS, add_noise, clean_estimate
from ..unet.features import features
from ..unet.train import WEIGHTS as UNET_WEIGHTS
from ..unet.train import WindowBatch, load
from ..vae.data import mouth_weights
from ..vae.train import WEIGHTS as VAE_WEIGHTS
from ..vae.train import load as load_vae
from ..vae.train import picture_loss, save
from .data import Stage2Batch, Stage2Clips
from .train import initial_unet

OUTPUT = paths.WEIGHTS / "vae.safetensors"
RUN = paths.RUNS / "decoder"
LEARNING_RATE = 3e-4
PERCEPTUAL_WEIGHT = 2.0
PARTS = ("post_quant_conv", "decoder")


@torch.no_grad()
def estimate(unet: nn.Module, windows: WindowBatch, cfg: float = NANO_SETTINGS.cfg) -> Tensor:
    """Clean latents (b, 4, f, 16, 16) that the U-Net foresees in one step, with guidance as a user draws with it."""
    sample = add_noise(windows.clean, windows.noise, windows.steps)
    seen = torch.cat([sample, windows.condition], dim=1)
    predicted = unet(seen, windows.steps, windows.audio).float()
    if cfg != 1:
        without = unet(seen, windows.steps, torch.zeros_like(windows.audio)).float()
        predicted = without + cfg * (predicted - without)
    return clean_estimate(sample, predicted, windows.steps)


def compute_loss(
    vae: nn.Module, perceptual_distance: PerceptualDistance, estimated: Tensor, batch: Stage2Batch
) -> tuple[Tensor, dict[str, float]]:
    """The loss of the crops drawn from `estimated` and, from every other frame, of clean latents; its parts."""
    latents = torch.cat([estimated, batch.windows.clean[:, :, ::2]], dim=2).transpose(1, 2).flatten(0, 1)
    true = torch.cat([batch.pictures, batch.pictures[:, :, ::2]], dim=2).transpose(1, 2).flatten(0, 1)
    latents = (latents / SCALING_FACTOR).contiguous(memory_format=torch.channels_last)
    with loop.fast_autocast(latents.device):
        drawn = vae.decoder(vae.post_quant_conv(latents)).float()
    weights = mouth_weights(true.shape[-1]).to(true)[None]
    loss, parts = picture_loss(drawn - true, weights)
    perceptual = perceptual_distance(lower_half(drawn), lower_half(true)).mean()
    return loss + PERCEPTUAL_WEIGHT * perceptual, {**parts, "perceptual": perceptual.item()}


def train(
    clips: Stage2Clips,
    unet: nn.Module,
    vae: nn.Module,
    budget: loop.Budget,
    run: Path | None = None,
    on_progress: Callable[[float, dict[str, float]], None] | None = None,
    on_weights: Callable[[dict[str, Tensor]], None] | None = None,
) -> dict[str, Tensor]:
    """Trains the decoder of `vae` on the windows of stage 2, which the fixed `unet` predicts; all of its weights.

    `unet` reads Whisper's states divided by the clips' `channel_rms`. The rest is `loop.fit`'s.
    """
    perceptual_distance = PerceptualDistance(vae)
    vae.train().requires_grad_(False)
    for part in PARTS:
        vae.get_submodule(part).requires_grad_(True)

    def loss_at(
        network: nn.Module, step: int, fraction_done: float, device: torch.device
    ) -> tuple[Tensor, dict[str, float]]:
        batch = clips.batch(step, budget.seed, 1).share(PartialState()).to(device)
        return compute_loss(network, perceptual_distance, estimate(unet.to(device), batch.windows), batch)

    vae = vae.to(memory_format=torch.channels_last)
    return loop.fit(vae, loss_at, budget, run, None, None, on_progress, on_weights)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    loop.add_arguments(parser, RUN, minutes=60, learning_rate=LEARNING_RATE)
    parser.add_argument("--clips", type=int, default=1400, help="drawn clips to use, at most")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the drawn clips and their features")
    parser.add_argument("--unet", type=Path, default=UNET_WEIGHTS)
    parser.add_argument("--out", type=Path, default=OUTPUT)
    parser.set_defaults(start=VAE_WEIGHTS)
    options = parser.parse_args()
    budget = loop.budget_from(options)
    seen = features(options.clips, options.cache, options.start, appearances=1)  # the only one whose pictures are kept
    clips = Stage2Clips(seen, load_takes(options.clips, options.cache))
    unet = initial_unet(load(options.unet).state_dict(), clips.channel_rms).eval().requires_grad_(False)
    train(
        clips, unet, load_vae(options.start).vae, budget, options.run, loop.reporter(),
        lambda state: save(state, options.out),
    )  # fmt: skip


if __name__ == "__main__":
    main()
