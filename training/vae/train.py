"""Trains the small image autoencoder: ``python -m training.vae.train --minutes 60`` writes its weights.

An AutoencoderKL of four levels, as Stable Diffusion's (Rombach et al. 2022, https://arxiv.org/abs/2112.10752), on
aligned 128-pixel crops of drawn people, an error at the mouth weighing more. Without a discriminator: soft, but it
invents nothing. With `--decoder-only` the encoder stays as it is, to the bit, and with it all latents: what was trained
on them goes on being right. Then the perceptual distance by that encoder counts as well, and the mouth weighs more.
Stopped at any time, it goes on from its last checkpoint; with `--steps` in place of `--minutes`, two runs of the same
seed give the same bits. accelerate runs it, on a GPU where there is one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentsync_core.errors import ModelError
from latentsync_core.models.vae import SCALING_FACTOR, DiffusersCodec

from .. import loop, paths
from ..paths import CACHE
from ..perceptual import PerceptualDistance
from ..synthetic.crops import RESOLUTION
from ..takes import load_takes
from .data import Batch, load_or_render_crops, make_batch

WEIGHTS = paths.network_weights("vae")
OUTPUT = paths.WEIGHTS / "vae.safetensors"
RUN = paths.RUNS / "vae"
LEARNING_RATE = 1.5e-3
PIXELS_PER_STEP = 8 * 64 * 64  # of a step, of all its pictures together
CROP_STRIDE = 5  # crops of a talking clip, which change little from one to the next
WHOLE_CROPS_FROM = 0.7  # of the way; from there on whole crops only, as the model will see them
PICTURE_SHAPE = (3, RESOLUTION, RESOLUTION)
CONFIG = {  # as diffusers names its sizes; 1.3 M parameters
    "_class_name": "AutoencoderKL",
    "act_fn": "silu",
    "block_out_channels": [16, 32, 64, 80],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 1,
    "norm_num_groups": 2,  # wide ones: the mean that a norm of few channels takes away is the picture's brightness
    "sample_size": RESOLUTION,
    "scaling_factor": SCALING_FACTOR,
}
PERCEPTUAL_WEIGHT = 2.0  # of the perceptual distance, where the decoder alone is trained
MOUTH_POWER = 2  # of a pixel's weight, likewise: latents tell more of lips than the decoder drew
KL_WEIGHT = 2e-4  # of a latent value's divergence, beside a pixel's error; some 2e-7 of the sums over a crop
GRADIENT_WEIGHT = 1.0  # of the error of slopes, beside the pixels' own
# By side of a patch in pixels, what its mean error weighs. The larger ones hold skin's colour: a shift of it is a small
# error at every single pixel, but the first that the eye sees.
COARSE_WEIGHTS = {2: 0.5, 4: 0.5, 8: 1.0, 16: 2.0}


def build(seed: int = 0) -> nn.Module:
    """An untrained autoencoder, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DiffusersCodec.from_config(CONFIG).vae.requires_grad_(True).train().to(memory_format=torch.channels_last)


def compute_loss(
    vae: nn.Module, batch: Batch, noise: Tensor, perceptual_distance: PerceptualDistance | None = None
) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch, and its parts; `noise` (n, 4, P / 8, P / 8) draws from the encoder's distribution. With a
    perceptual distance the encoder is taken to be frozen."""
    with torch.set_grad_enabled(perceptual_distance is None):
        posterior = vae.encode(batch.pictures).latent_dist
    seen = vae.decode(posterior.mean + posterior.std * noise).sample
    if perceptual_distance is not None:
        weights = batch.weights**MOUTH_POWER
        loss, parts = picture_loss(seen - batch.pictures, weights / weights.mean((1, 2, 3), keepdim=True))
        perceptual = perceptual_distance(seen.float(), batch.pictures).mean()
        return loss + PERCEPTUAL_WEIGHT * perceptual, {**parts, "perceptual": perceptual.item()}
    loss, parts = picture_loss(seen - batch.pictures, batch.weights)
    divergence = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).mean()
    return loss + KL_WEIGHT * divergence, {**parts, "divergence": divergence.item()}


def picture_loss(error: Tensor, weights: Tensor) -> tuple[Tensor, dict[str, float]]:
    """What pictures' errors (n, 3, h, w) weigh, given what each pixel does (n or 1, 1, h, w), and its parts: pixels,
    slopes, and means over patches."""
    pixels = (error.abs() * weights).mean()
    across = ((error[..., 1:] - error[..., :-1]).abs() * weights[..., 1:]).mean()
    down = ((error[..., 1:, :] - error[..., :-1, :]).abs() * weights[..., 1:, :]).mean()
    coarse = sum(
        weight * (F.avg_pool2d(error, side).abs() * F.avg_pool2d(weights, side)).mean()
        for side, weight in COARSE_WEIGHTS.items()
    )
    parts = {"pixels": pixels.item(), "slopes": (across + down).item(), "coarse": coarse.item()}
    return pixels + GRADIENT_WEIGHT * (across + down) + coarse, parts


def train(
    crops: np.ndarray,
    budget: loop.Budget,
    run: Path | None = None,
    start: Mapping[str, Tensor] | None = None,
    step_pixels: int = PIXELS_PER_STEP,
    decoder_only: bool = False,
    stop_after: int | None = None,
    on_progress: Callable[[float, dict[str, float]], None] | None = None,
) -> dict[str, Tensor]:
    """Trains on (N, 3, 128, 128) uint8 crops; returns the averaged weights. The rest is `loop.fit`'s."""

    def loss_at(
        vae: nn.Module, step: int, fraction_done: float, device: torch.device
    ) -> tuple[Tensor, dict[str, float]]:
        batch = make_batch(crops, step, budget.seed, step_pixels, fraction_done >= WHOLE_CROPS_FROM)
        pictures = batch.pictures.to(device, memory_format=torch.channels_last)
        side = pictures.shape[-1] // 8
        draw = torch.Generator().manual_seed(budget.seed * 1_000_003 + step)
        noise = torch.randn(len(pictures), 4, side, side, generator=draw).to(device)
        return compute_loss(vae, Batch(pictures, batch.weights.to(device)), noise, perceptual_distance)

    vae, perceptual_distance = build(budget.seed), None
    if decoder_only:
        for part in (vae.encoder, vae.quant_conv):
            part.requires_grad_(False)
        perceptual_distance = PerceptualDistance(vae)
    return loop.fit(vae, loss_at, budget, run, start, stop_after, on_progress)


@torch.no_grad()
def with_unit_latents(state: dict[str, Tensor], crops: np.ndarray) -> dict[str, Tensor]:
    """The same autoencoder, but its latents of these crops times 0.18215 have mean 0 and deviation 1 in each channel.

    The scale is the codec's, whatever the file says, so it goes into the 1x1 convolutions on both sides of the latents.
    """
    codec = DiffusersCodec.from_config(CONFIG)
    codec.vae.load_state_dict(state)
    latents = codec.encode(torch.from_numpy(np.array(crops)).float() / 127.5 - 1) / SCALING_FACTOR
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    factor = 1 / (SCALING_FACTOR * deviation)
    state = {key: value.clone() for key, value in state.items()}
    into, out = "quant_conv", "post_quant_conv"
    # Before: the means become (mean - centre) * factor; the logarithms of the variances follow.
    state[f"{into}.weight"][:4] *= factor[:, None, None, None]
    state[f"{into}.bias"][:4] = (state[f"{into}.bias"][:4] - mean) * factor
    state[f"{into}.bias"][4:] += 2 * factor.log()
    # After: latents / factor + centre enter as they did.
    state[f"{out}.bias"] += state[f"{out}.weight"][:, :, 0, 0] @ mean
    state[f"{out}.weight"] /= factor[None, :, None, None]
    return state


def save(state: dict[str, Tensor], path: Path) -> None:
    """Writes the weights in half precision; the config that builds their network is in the file's metadata."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    halves = {key: value.half().contiguous() for key, value in state.items()}
    save_file(halves, path, {"format": "pt", "config": json.dumps(CONFIG)})


def load(path: Path = WEIGHTS) -> DiffusersCodec:
    """The codec of a file that `save` wrote, or of a bundle's, in float32. Raises ModelError where it has no config."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        carried = (file.metadata() or {}).get("config")
        tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
    config = json.loads(carried) if carried else paths.bundle_config(path, "vae")
    if config is None:
        raise ModelError(f"{path} has no config in its metadata; training.vae.train writes one.")
    codec = DiffusersCodec.from_config(config)
    codec.vae.load_state_dict(tensors)
    return codec


def main() -> None:
    """Draws the crops where the cache hasn't them, trains, writes the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    loop.add_arguments(parser, RUN, minutes=60, learning_rate=LEARNING_RATE)
    parser.add_argument("--people", type=int, default=450, help="whose mouths move freely; 0 for none")
    parser.add_argument("--each", type=int, default=12, help="crops of each person")
    parser.add_argument("--clips", type=int, default=0, help="drawn talking clips of which every fifth crop is added")
    parser.add_argument("--decoder-only", action="store_true", help="keep the encoder that --from has, and its latents")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for the drawn crops")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw")
    parser.add_argument("--pixels", type=int, default=PIXELS_PER_STEP, help="of a step; many more on a GPU")
    parser.add_argument("--out", type=Path, default=OUTPUT)
    options = parser.parse_args()
    if options.decoder_only and not options.start:
        parser.error("--decoder-only goes on from weights: name them with --from.")
    budget = loop.budget_from(options)
    parts = []
    if options.people:
        parts.append(load_or_render_crops(options.people, options.each, options.cache, options.workers))
    if options.clips:
        parts.append(load_takes(options.clips, options.cache).crops[:, ::CROP_STRIDE].reshape(-1, *PICTURE_SHAPE))
    if not parts:
        parser.error("There is nothing to train on: give --people or --clips.")
    crops = np.concatenate(parts)
    start = load(options.start).vae.state_dict() if options.start else None
    state = train(
        crops, budget, options.run, start, options.pixels, options.decoder_only, on_progress=loop.reporter()
    )  # fmt: skip
    if not options.decoder_only:
        state = with_unit_latents(state, crops[:: max(1, len(crops) // 300)])
    save(state, options.out)


if __name__ == "__main__":
    main()
