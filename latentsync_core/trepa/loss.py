"""The TREPA loss: the feature distance between generated and real clips, as LatentSync's paper defines it.

Li et al. 2024, https://arxiv.org/abs/2412.09262.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..errors import ModelError
from .video_encoder import VideoEncoder, clip_features


def trepa_loss(
    encoder: VideoEncoder, predicted: torch.Tensor, real: torch.Tensor, clips_per_batch: int = 1
) -> torch.Tensor:
    """The mean squared difference between the clips' features, each of unit length; the reference weighs it by 10.

    As the mean runs over the features too, it is the squared distance divided by the encoder's width: small. In half
    precision its gradients vanish unless the loss is scaled up; bfloat16 keeps them.

    Args:
        encoder: as `load_video_encoder` gives it, with fixed weights.
        predicted: (b, 3, frames, h, w) floating point, nominally in [-1, 1]; the gradient flows to it alone.
        real: the same shape.
        clips_per_batch: how many clips pass through the encoder together; with `encoder.gradient_checkpointing` memory
            for the gradient is bounded too.

    Returns:
        A float32 scalar.

    Raises:
        ModelError: the shapes differ, or don't fit the encoder.
    """
    if predicted.shape != real.shape:
        raise ModelError(
            f"The TREPA loss compares clips of one shape, not {tuple(predicted.shape)} and {tuple(real.shape)}."
        )
    with torch.no_grad():
        target = F.normalize(clip_features(encoder, real, clips_per_batch))
    return F.mse_loss(F.normalize(clip_features(encoder, predicted, clips_per_batch)), target)
