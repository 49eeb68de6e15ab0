"""Varies a window's latents beyond those of rendered people: mirrored, channels mixed and shifted, all alike.

A network that only ever sees rendered faces learns their latents, and copies a filmed person's mouth from the reference
frames. It is to learn to copy skin and background whatever their latents are, and never the mouth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from typing_extensions import Self

MIXING, SHIFT = 0.25, 0.3  # standard deviations of what is added to the channels' identity, and to the latents
MIRRORED_SHARE = 0.5


@dataclass(frozen=True)
class LatentVariation:
    """One variation of latents (n, 4, h, w), those of a grey picture included; without arguments it changes nothing."""

    mixing: tuple[tuple[float, ...], ...] | None = None  # 4x4
    shift: tuple[float, ...] = (0.0,) * 4
    mirrored: bool = False

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Self:
        mixing = np.eye(4) + MIXING * rng.standard_normal((4, 4))
        shift = SHIFT * rng.standard_normal(4)
        return cls(tuple(map(tuple, mixing.tolist())), tuple(shift.tolist()), bool(rng.random() < MIRRORED_SHARE))

    def __call__(self, latents: Tensor) -> Tensor:
        if self.mirrored:
            latents = latents.flip(-1)
        if self.mixing is not None:
            latents = torch.einsum("oc,nchw->nohw", latents.new_tensor(self.mixing), latents)
        return latents + latents.new_tensor(self.shift).view(1, 4, 1, 1)
