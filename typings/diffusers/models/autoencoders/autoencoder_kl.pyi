# Of diffusers' image autoencoder, what the engine uses; its own annotations promise tuples where it returns objects.
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

class DiagonalGaussianDistribution:
    mean: torch.Tensor
    std: torch.Tensor

class AutoencoderKLOutput:
    latent_dist: DiagonalGaussianDistribution

class DecoderOutput:
    sample: torch.Tensor

class Encoder(nn.Module):
    conv_in: nn.Conv2d

class AutoencoderKL(nn.Module):
    config: Mapping[str, Any]
    encoder: Encoder
    def __init__(self, **config: Any) -> None: ...
    def encode(self, x: torch.Tensor) -> AutoencoderKLOutput: ...
    def decode(self, z: torch.Tensor) -> DecoderOutput: ...
