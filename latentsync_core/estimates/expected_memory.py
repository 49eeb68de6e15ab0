"""The memory that a model's networks are expected to take on their device while they sample."""

from __future__ import annotations

from ..models.memory.estimate import count_weights
from ..models.memory.plan import MemoryPlan, Networks, required_bytes
from ..models.model import LatentSyncModel
from ..models.vae import SD_VAE_CONFIG
from ..sampling.sampler_options import SamplerOptions
from .work import autoencoder_config


def expected_bytes(model: LatentSyncModel, options: SamplerOptions) -> int:
    """The most memory on the model's device that its weights and one step take together, as it was loaded."""
    networks = Networks(
        model.unet.config,
        autoencoder_config(model.codec) or SD_VAE_CONFIG,
        model.resolution,
        options.windows.frames,
        options.is_guided,
        other_bytes=count_weights(model.whisper) * model.whisper.dtype.itemsize,
    )
    plan = model.memory_plan or MemoryPlan.unlimited(model.resolution, model.dtype, False, options.window_batch)
    return required_bytes(networks, plan)
