"""The one real face that the tests carry (a NASA portrait, public domain), as pictures and frames of any size."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from latentsync_core.video.clip import Clip
from latentsync_core.video.frame import Frame
from latentsync_core.video.pixel_format import Layout

PATH = Path(__file__).parent / "data" / "astronaut.png"
# What one sees: the eyes' centres and the nose's tip in the 512x512 picture, x y
EYES = np.array([[203.0, 100.5], [248.0, 103.0]])
NOSE = np.array([225.0, 124.0])


def picture() -> torch.Tensor:
    """(512, 512, 3) float32 RGB in [0, 1]."""
    return torch.from_numpy(np.array(Image.open(PATH).convert("RGB"))).float() / 255


def resized(image: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """(H, W, 3) brought to (height, width, 3)."""
    image = image.permute(2, 0, 1)[None]  # HW3 -> 13HW
    image = F.interpolate(image, size=(height, width), mode="bilinear", antialias=True, align_corners=False)
    return image[0].permute(1, 2, 0)


def on_canvas(image: torch.Tensor, width: int, height: int, x: int, y: int) -> torch.Tensor:
    """Grey (height, width, 3) with the image's top left corner at x y, cut where it hangs over."""
    canvas = torch.full((height, width, 3), 0.5)
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + image.shape[1], width), min(y + image.shape[0], height)
    if x0 < x1 and y0 < y1:
        canvas[y0:y1, x0:x1] = image[y0 - y : y1 - y, x0 - x : x1 - x]
    return canvas


def clip_of(images: torch.Tensor, sample_aspect: Fraction = Fraction(1)) -> Clip:
    """An in-memory clip of (N, H, W, 3) at 25 frames per second."""
    count, height, width, _ = images.shape
    pts = np.arange(count, dtype=np.int64)
    return Clip(
        None, images, count, 0, Fraction(25), Fraction(1, 25), pts, width, height, "rgb", sample_aspect=sample_aspect
    )


def frame_of(image: torch.Tensor, sample_aspect: Fraction = Fraction(1)) -> Frame:
    """(H, W, 3) float as a frame of an in-memory clip."""
    return Frame((image.numpy().copy(),), 0, 0, Layout.of(clip_of(image[None], sample_aspect)))
