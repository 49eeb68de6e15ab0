"""Initial noise that depends only on seed, person and source frame, so that any window can be sampled alone."""

from __future__ import annotations

import hashlib
import math
import struct

import torch


def frame_noise(
    seed: int, person: int, source_frames: list[int], shape: tuple[int, int, int], sharing: float
) -> torch.Tensor:
    """Standard normal noise for some frames of a person's face.

    The share `sharing` of its variance is common to all of the person's frames, in whichever tracks. Training mixes
    shared and own noise half and half ("mixed noise", α = 1: paper section 3.1, after PYoCo), upstream's inference
    shares all of it.

    Args:
        shape: (channels, height, width) of one frame's latents.
        sharing: 0 (every frame its own) to 1 (one noise for all).

    Returns:
        (n, channels, height, width) float32 on the CPU: the same on every device and machine.
    """
    common = _seeded_noise(seed, person, None, shape)
    frames = [
        math.sqrt(sharing) * common + math.sqrt(1 - sharing) * _seeded_noise(seed, person, frame, shape)
        for frame in source_frames
    ]
    return torch.stack(frames)


def _seeded_noise(seed: int, person: int, frame: int | None, shape: tuple[int, int, int]) -> torch.Tensor:
    """One normal draw from a generator seeded by a hash, since neighbouring seeds must not give related noise."""
    message = struct.pack("<Qqq", seed % 2**64, person, -1 if frame is None else frame)
    derived_seed = int.from_bytes(hashlib.sha256(message).digest()[:8], "little", signed=True)
    return torch.randn(shape, generator=torch.Generator("cpu").manual_seed(derived_seed), dtype=torch.float32)
