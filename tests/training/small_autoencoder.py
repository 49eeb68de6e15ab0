"""An untrained autoencoder of training's shape and a few channels: what tests of gradients and losses need of one."""

from __future__ import annotations

import torch
from torch import nn

from latentsync_core.models.vae import DiffusersCodec
from training.vae.train import CONFIG

CHANNELS = [4, 8, 8, 8]  # of each level; pictures and latents have the sizes that training's own has


def small_autoencoder(seed: int = 0) -> nn.Module:
    """The same for the same seed, with gradients, as `training.vae.train.build` makes the whole one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae = DiffusersCodec.from_config(CONFIG | {"block_out_channels": CHANNELS}).vae
    return vae.requires_grad_(True).train().to(memory_format=torch.channels_last)
