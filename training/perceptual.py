"""A perceptual distance of images by the small autoencoder's own features, in the manner of LPIPS.

Zhang et al. 2018 (https://arxiv.org/abs/1801.03924): features of several depths, each pixel's of unit length, their
squared distance averaged over pixels. There the features are VGG's, with learned weights for their channels; here they
are the first levels of the frozen encoder, all channels alike, so figures are on another scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

LEVELS = 3  # of the encoder's four: down to 8 pixels a feature
MIN_FEATURE_NORM = 1e-6  # of a feature vector, so that none is divided by nothing


class PerceptualDistance(nn.Module):
    """(n, 3, h, w) pictures about [-1, 1], h and w multiples of 8, and others: (n,) distances, 0 for the same."""

    def __init__(self, vae: AutoencoderKL):
        super().__init__()
        self.first = vae.encoder.conv_in
        self.levels = vae.encoder.down_blocks[:LEVELS]
        self.requires_grad_(False)

    def forward(self, seen: Tensor, shown: Tensor) -> Tensor:
        """The gradient flows to `seen` alone."""
        with torch.no_grad():
            target_features = self._features(shown)
        pairs = zip(self._features(seen), target_features, strict=True)
        return sum((one - other).square().sum(1).mean((1, 2)) for one, other in pairs) / (LEVELS + 1)

    def _features(self, pictures: Tensor) -> list[Tensor]:
        """Feature vectors of unit length at every depth, (n, channels, h, w)."""
        found = [self.first(pictures)]
        for level in self.levels:
            found.append(level(found[-1]))
        return [values / (values.square().sum(1, keepdim=True) + MIN_FEATURE_NORM).sqrt() for values in found]


def lower_half(pictures: Tensor) -> Tensor:
    """The lower half of (n, 3, h, w), the part that the reference compares."""
    return pictures[..., pictures.shape[-2] // 2 :, :]
