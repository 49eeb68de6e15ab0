"""Trains the small image autoencoder: ``python -m training.train_vae --minutes 60`` writes its weights.

An AutoencoderKL of four levels, as Stable Diffusion's (Rombach et al. 2022, https://arxiv.org/abs/2112.10752), on
aligned 128-pixel crops of drawn people, an error at the mouth weighing more. Without a discriminator: soft, but it
invents nothing. Stopped at any time, it goes on from its last checkpoint; with `--steps` in place of `--minutes`, two
runs of the same seed give the same bits. accelerate runs it, on a GPU where there is one.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from latentsync_core.errors import ModelError, OptionError
from latentsync_core.models.vae import SCALING, DiffusersCodec

from .crops import RESOLUTION
from .vae_data import CACHE, Batch, batch_of, drawn_crops

WEIGHTS = Path(__file__).parent / "weights" / "vae.safetensors"
RUN = Path(__file__).parent / "runs" / "vae"
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
    "norm_num_groups": 8,
    "sample_size": RESOLUTION,
    "scaling_factor": SCALING,
}
KL_WEIGHT = 2e-4  # of a latent value's divergence, beside a pixel's error; some 2e-7 of the sums over a crop
GRADIENT_WEIGHT, COARSE_WEIGHT = 1.0, 0.5  # of the errors of slopes and of smaller pictures, beside the pixels' own
WARM_UP = 100  # steps in which the learning rate rises
EMA_DECAY = 0.995
SHARPEST = 10.0  # gradients are clipped to this norm

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VaeTraining:
    """How long and how fast. The learning rate falls along a cosine over `steps`, or over `minutes` of work."""

    steps: int | None = None
    minutes: float | None = None
    learning_rate: float = 1.5e-3
    pixels: int = 8 * 64 * 64  # of a step, of all its pictures together
    whole_from: float = 0.7  # of the way; from there on whole crops only, as the model will see them
    seed: int = 0
    checkpoint_seconds: float = 120

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise OptionError("The training's length is either a number of steps or of minutes, not both or neither.")

    def way(self, step: int, seconds: float) -> float:
        """How much of the training is done, 0 to 1, after so many steps in so many seconds."""
        done = step / self.steps if self.steps is not None else seconds / (self.minutes * 60)
        return min(done, 1.0)


class Progress:
    """What accelerate keeps in a checkpoint beside the network's and the optimizer's state."""

    def __init__(self, vae: nn.Module) -> None:
        self.step, self.seconds = 0, 0.0
        self.averaged = {key: value.detach().clone() for key, value in vae.state_dict().items()}

    def follow(self, vae: nn.Module) -> None:
        """Moves the averaged weights, which are the ones to be used, towards the network's."""
        decay = min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        for key, value in vae.state_dict().items():
            self.averaged[key].lerp_(value, 1 - decay)

    def state_dict(self) -> dict:
        return {"step": self.step, "seconds": self.seconds, "averaged": self.averaged}

    def load_state_dict(self, state: dict) -> None:
        self.step, self.seconds = state["step"], state["seconds"]
        for key, value in state["averaged"].items():
            self.averaged[key].copy_(value)


def build(seed: int = 0) -> nn.Module:
    """An untrained autoencoder, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DiffusersCodec.from_config(CONFIG).vae.requires_grad_(True).train().to(memory_format=torch.channels_last)


def loss_of(vae: nn.Module, batch: Batch, noise: Tensor) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch, and its parts; `noise` (n, 4, P / 8, P / 8) draws from the encoder's distribution."""
    posterior = vae.encode(batch.pictures).latent_dist
    seen = vae.decode(posterior.mean + posterior.std * noise).sample
    error = seen - batch.pictures
    weights = batch.weights
    pixels = (error.abs() * weights).mean()
    across = ((error[..., 1:] - error[..., :-1]).abs() * weights[..., 1:]).mean()
    down = ((error[..., 1:, :] - error[..., :-1, :]).abs() * weights[..., 1:, :]).mean()
    coarse = sum((F.avg_pool2d(error, k).abs() * F.avg_pool2d(weights, k)).mean() for k in (2, 4))
    divergence = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).mean()
    loss = pixels + GRADIENT_WEIGHT * (across + down) + COARSE_WEIGHT * coarse + KL_WEIGHT * divergence
    return loss, {"pixels": pixels.item(), "slopes": (across + down).item(), "divergence": divergence.item()}


def train(
    crops: np.ndarray,
    options: VaeTraining,
    run: Path | None = None,
    stop_after: int | None = None,
    on_progress: Callable[[float, dict[str, float]], None] | None = None,
) -> dict[str, Tensor]:
    """Trains on (N, 3, 128, 128) uint8 crops; returns the averaged weights, in float32 on the CPU.

    With a folder `run` it writes checkpoints there and goes on from one that is there; `stop_after` ends it early, at
    that step, as an interruption would. `on_progress(way done, parts of the loss)` is called after every step.
    """
    accelerator = Accelerator()
    vae = build(options.seed)
    optimizer = torch.optim.AdamW(vae.parameters(), options.learning_rate, betas=(0.9, 0.99), weight_decay=1e-3)
    vae, optimizer = accelerator.prepare(vae, optimizer)
    bare = accelerator.unwrap_model(vae)
    progress = Progress(bare)
    accelerator.register_for_checkpointing(progress)
    kept = next((path for path in (run / "checkpoint", run / "checkpoint.old") if path.exists()), None) if run else None
    if kept:
        accelerator.load_state(str(kept))
        logger.info("going on from step %d, %.1f minutes", progress.step, progress.seconds / 60)
    before, begun = progress.seconds, time.monotonic()
    kept_at = begun
    while (way := options.way(progress.step, progress.seconds)) < 1 and progress.step != stop_after:
        rate = options.learning_rate * min(1, (progress.step + 1) / WARM_UP) * (0.01 + 0.99 * _falling(way))
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = batch_of(crops, progress.step, options.seed, options.pixels, way >= options.whole_from)
        pictures = batch.pictures.to(accelerator.device, memory_format=torch.channels_last)
        side = pictures.shape[-1] // 8
        draw = torch.Generator().manual_seed(options.seed * 1_000_003 + progress.step)
        noise = torch.randn(len(pictures), 4, side, side, generator=draw).to(accelerator.device)
        loss, parts = loss_of(bare, Batch(pictures, batch.weights.to(accelerator.device)), noise)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(vae.parameters(), SHARPEST)
        optimizer.step()
        optimizer.zero_grad()
        progress.step += 1
        progress.seconds = before + time.monotonic() - begun
        progress.follow(bare)
        if on_progress:
            on_progress(options.way(progress.step, progress.seconds), parts)
        if run and time.monotonic() - kept_at > options.checkpoint_seconds:
            _keep(accelerator, run)
            kept_at = time.monotonic()
    if run:
        _keep(accelerator, run)
    return {key: value.float().cpu() for key, value in progress.averaged.items()}


@torch.no_grad()
def with_unit_latents(state: dict[str, Tensor], crops: np.ndarray) -> dict[str, Tensor]:
    """The same autoencoder, but its latents of these crops times 0.18215 have mean 0 and deviation 1 in each channel.

    The scale is the codec's, whatever the file says, so it goes into the 1x1 convolutions on both sides of the latents.
    """
    codec = DiffusersCodec.from_config(CONFIG)
    codec.vae.load_state_dict(state)
    latents = codec.encode(torch.from_numpy(np.array(crops)).float() / 127.5 - 1) / SCALING
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    factor = 1 / (SCALING * deviation)
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
    """The codec of a file that `save` wrote, in float32. Raises ModelError where the file has no config."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        config = (file.metadata() or {}).get("config")
        tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
    if config is None:
        raise ModelError(f"{path} has no config in its metadata; training.train_vae writes one.")
    codec = DiffusersCodec.from_config(json.loads(config))
    codec.vae.load_state_dict(tensors)
    return codec


def _falling(way: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * way))


def _keep(accelerator: Accelerator, run: Path) -> None:
    """Replaces the checkpoint by one of now; an interruption leaves one of the two whole."""
    place, new, old = run / "checkpoint", run / "checkpoint.new", run / "checkpoint.old"
    shutil.rmtree(new, ignore_errors=True)
    accelerator.save_state(str(new))
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def main() -> None:
    """Draws the crops where the cache hasn't them, trains, writes the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, help="of training; 60 unless --steps is given")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--people", type=int, default=450)
    parser.add_argument("--each", type=int, default=12, help="crops of each person")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for the drawn crops")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw")
    parser.add_argument("--run", type=Path, default=RUN, help="folder for the checkpoint; one that is there goes on")
    parser.add_argument("--pixels", type=int, default=VaeTraining.pixels, help="of a step; many more on a GPU")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    crops = drawn_crops(options.people, options.each, options.cache, options.workers)
    minutes = options.minutes if options.steps is not None or options.minutes is not None else 60.0
    training = VaeTraining(options.steps, minutes, pixels=options.pixels, seed=options.seed)
    sums: dict[str, float] = {}
    count = 0

    def report(way: float, parts: dict[str, float]) -> None:
        nonlocal count
        count += 1
        for key, value in parts.items():
            sums[key] = sums.get(key, 0.0) + value
        if count % 100 == 0:
            logger.info("%.1f%%: %s", 100 * way, ", ".join(f"{k} {v / 100:.4f}" for k, v in sums.items()))
            sums.clear()

    state = train(crops, training, options.run, on_progress=report)
    save(with_unit_latents(state, crops[:: max(1, len(crops) // 300)]), options.out)


if __name__ == "__main__":
    main()
