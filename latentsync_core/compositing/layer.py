"""A pasted patch as a layer with straight alpha, for compositing programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..imaging.roi import Roi

BLEED_PIXELS = 16  # pixels by which a layer's colours go on beyond its alpha: a ProRes macroblock


class Layer(NamedTuple):
    """A patch as it lies over its frame; colours are straight, that is not multiplied by alpha.

    The composite is (1 - alpha) · source + alpha · rgb in the source's own (display) values.
    """

    roi: Roi  # the part of the frame that it covers
    rgb: Tensor  # (3, h, w) float32 in [0, 1], also where alpha is 0
    alpha: Tensor  # (h, w) float32 in [0, 1]

    def padded(self, width: int, height: int) -> Layer:
        """The same layer with its outermost colours going on for some pixels under no alpha, within the frame.

        Where a program scales a layer, or a lossy codec keeps it, no dark colours get into its edge.
        """
        x0, y0 = max(self.roi.x0 - BLEED_PIXELS, 0), max(self.roi.y0 - BLEED_PIXELS, 0)
        x1, y1 = min(self.roi.x1 + BLEED_PIXELS, width), min(self.roi.y1 + BLEED_PIXELS, height)
        padding = (self.roi.x0 - x0, x1 - self.roi.x1, self.roi.y0 - y0, y1 - self.roi.y1)
        rgb = F.pad(self.rgb[None], padding, mode="replicate")[0]
        return Layer(Roi(x0, y0, x1, y1), rgb, F.pad(self.alpha, padding))

    def rgba(self, width: int, height: int) -> Tensor:
        """(4, height, width) float32, straight, of the `padded` layer on the whole frame; 0 beyond."""
        roi, rgb, alpha = self.padded(width, height)
        picture = torch.zeros(4, height, width)
        picture[:3, roi.y0 : roi.y1, roi.x0 : roi.x1] = rgb
        picture[3, roi.y0 : roi.y1, roi.x0 : roi.x1] = alpha
        return picture


def merge_layers(layers: Sequence[Layer]) -> Layer | None:
    """Several layers, the undermost first, as one that composites the same; None of none."""
    if len(layers) < 2:
        return layers[0] if layers else None
    corners = np.array([layer.roi for layer in layers])
    roi = Roi(*corners[:, :2].min(0).tolist(), *corners[:, 2:].max(0).tolist())
    rgb, alpha = torch.zeros(3, roi.height, roi.width), torch.zeros(roi.height, roi.width)
    for layer in layers:
        x0, y0 = layer.roi.x0 - roi.x0, layer.roi.y0 - roi.y0
        part = np.s_[y0 : y0 + layer.roi.height, x0 : x0 + layer.roi.width]
        under, own = alpha[part] * (1 - layer.alpha), layer.alpha
        both = under + own
        mixed = (rgb[(slice(None), *part)] * under + layer.rgb * own) / both.clamp(min=1e-6)
        rgb[(slice(None), *part)] = torch.where(both > 0, mixed, layer.rgb)
        alpha[part] = both
    return Layer(roi, rgb, alpha)


def full_frame_matte(part: tuple[Roi, Tensor] | None, width: int, height: int) -> Tensor:
    """(height, width) float32 in [0, 1]: the alpha `part` on the whole frame, 0 beyond and where there is none."""
    matte = torch.zeros(height, width)
    if part is not None:
        roi, alpha = part
        matte[roi.y0 : roi.y1, roi.x0 : roi.x1] = alpha
    return matte
