"""The look of a finished film frame: lamps that bloom, a gentle contrast, cool shadows, darker corners."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .backdrop import gaussian_blur

BLOOM_SCALE = 8  # pixels of the frame per pixel of the bloom


@dataclass(frozen=True)
class FilmLook:
    """A grade, for all frames of a shot."""

    bloom: float = 0.16  # share of the bright light that spreads
    bloom_radius: float = 0.035  # of the frame's height
    contrast: float = 0.16  # 0 none to 1
    shadows: tuple[float, float, float] = (-0.004, 0.002, 0.012)  # added where it is dark
    highlights: tuple[float, float, float] = (1.02, 1.0, 0.95)  # multiplied where it is bright
    vignette: float = 0.30  # how much darker the corners are


def apply_look(frame: torch.Tensor, look: FilmLook) -> torch.Tensor:
    """(3, h, w) linear RGB, lamps beyond 1, to the graded picture: (3, h, w) gamma-encoded RGB in [0, 1]."""
    height, width = frame.shape[1:]
    glow = F.interpolate(frame[None], (height // BLOOM_SCALE, width // BLOOM_SCALE), mode="area")
    glow = gaussian_blur((glow - 0.45).clamp(0, 3.0), look.bloom_radius * height / BLOOM_SCALE)
    glow = F.interpolate(glow, (height, width), mode="bilinear", align_corners=False)[0]
    frame = frame + look.bloom * glow
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    frame = frame * (1 - look.vignette * (0.6 * x * x + 0.4 * y * y) ** 1.2)
    frame = torch.where(frame < 0.75, frame, 1 - 0.25 * torch.exp(-(frame - 0.75) / 0.25))  # a soft shoulder
    shown = frame.clamp(0, 1).sqrt()
    luma = shown.mean(0, keepdim=True)
    shown = shown + look.contrast * (shown * shown * (3 - 2 * shown) - shown)
    low, high = (torch.tensor(tint).view(3, 1, 1) for tint in (look.shadows, look.highlights))
    shown = shown + low * (1 - luma) ** 2
    return (shown * (1 + (high - 1) * luma)).clamp(0, 1)
