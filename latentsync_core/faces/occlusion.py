"""Masks a hand or object in front of a face in its crop: a small network compares it with an unoccluded portrait."""

from __future__ import annotations

import functools
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import OptionError
from ..models.checkpoints.tensors import fill, read_tensors
from .alignment.mouth_mask import mouth_mask
from .detection.layer_list import ASSETS

WEIGHTS = ASSETS / "occlusion.safetensors"
REMEDY = "install LatentSync Dub again"
INPUT_SIZE = 64  # pixels: the side that crops are resized to
SKIPPED_ROWS = 16  # of them, at the top: nothing is generated there
WIDTHS = (16, 40, 64, 64)  # channels at 1/2, 1/4, 1/8 and 1/16 of the input
SURROUND_SIZE = 5  # pairs of pixels: side of the neighbourhood whose mean is subtracted from the brightness cues
CUE_CHANNELS = 11
MAX_PORTRAIT_PROBABILITY = 0.5  # where the portrait itself exceeds it, a beard or the like belongs to the face
# Hysteresis thresholds on the network's probability, and areas as fractions of the crop.
HIGH_THRESHOLD = 0.93  # an occluder must reach it somewhere in the generated region
LOW_THRESHOLD = 0.35  # what is connected to such a seed and reaches this is part of the occluder
MIN_SEED_AREA = 0.0025
MIN_AREA = 0.004  # of the whole occluder: anything smaller is ignored
# In crop sides.
DILATION = 0.02  # of the detected region
CLOSING = 0.04  # radius: gaps of up to twice that are closed
FEATHER = 0.0125  # standard deviation of the soft edge outside the dilated region


class OcclusionNet(nn.Module):
    """Maps the (n, 11, 48, 64) of `cues` to (n, 48, 64) logits of an occluder in front of the face.

    A U-Net (Ronneberger et al. 2015) at half the resolution: 2x2 pixels are folded into four times the channels at the
    input, and unfolded at the output.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS):
        super().__init__()
        first, second, third, fourth = widths
        self.shrink = nn.PixelUnshuffle(2)
        self.down = nn.ModuleList(
            [
                nn.Sequential(_layer(4 * CUE_CHANNELS, first), _layer(first, first)),
                nn.Sequential(_layer(first, second, 2), _layer(second, second)),
                nn.Sequential(_layer(second, third, 2), _layer(third, third)),
                nn.Sequential(_layer(third, fourth, 2), _layer(fourth, fourth)),
            ]
        )
        self.up = nn.ModuleList(
            [
                nn.Sequential(_layer(fourth + third, third)),
                nn.Sequential(_layer(third + second, second)),
                nn.Sequential(_layer(second + first, first), _layer(first, first)),
            ]
        )
        self.out = nn.Sequential(nn.Conv2d(first, 4, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, cues: Tensor) -> Tensor:
        x = self.shrink(cues)
        kept = []
        for layers in self.down:
            x = layers(x)
            kept.append(x)
        for layers, beside in zip(self.up, kept[-2::-1], strict=True):
            x = layers(torch.cat([F.interpolate(x, size=beside.shape[-2:], mode="nearest"), beside], 1))
        return self.out(x)[:, 0]


def cues(crops: Tensor, portraits: Tensor) -> Tensor:
    """The network's input channels: (n, 11, 48, 64) from two (n, 3, 48, 64) in [0, 1].

    Both pictures, normalised by the mean and spread of the portrait's colours; their difference in locally normalised
    brightness; their difference in smoothed brightness-free colour; and the coordinates.
    """
    mean = portraits.mean((2, 3), keepdim=True)
    spread = (portraits - mean).square().mean((1, 2, 3), keepdim=True).sqrt() + 0.03
    crop, portrait = (crops - mean) / spread, (portraits - mean) / spread
    both = torch.cat([crop, portrait], 1)
    smooth = _local_mean(both)
    fine = (both - smooth)[:, [1, 4]]  # green stands for brightness
    fine = fine / (_local_mean(fine.square()).clamp(min=0).sqrt() + 0.1)
    away = smooth[:, :3] - smooth[:, 3:]
    hue = away[:, [0, 2]] - away[:, 1:2]
    n, _, height, width = crop.shape
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    place = torch.stack([y, x]).to(crops)[None].expand(n, -1, -1, -1)
    return torch.cat([crop, portrait, fine[:, :1] - fine[:, 1:], hue, place], 1)


def network_input(crop: Tensor) -> Tensor:
    """(n, 3, R, R) crops → (n, 3, 48, 64): resized, without the skipped rows."""
    size = (INPUT_SIZE, INPUT_SIZE)
    if crop.shape[-2:] != size:
        crop = F.interpolate(crop, size, mode="bilinear", antialias=True, align_corners=False)
    return crop[:, :, SKIPPED_ROWS:]


@torch.inference_mode()
def occlusion_mask(crop: Tensor, portrait: Tensor) -> Tensor:
    """Where a hand or object is in front of the face: (R, R) float32 in [0, 1], 1 = keep the source; all 0 if nowhere.

    Frames are independent; each takes some milliseconds on one core. The portrait is assumed unoccluded: an object
    visible in both is usually missed.

    Args:
        crop: (3, R, R) float32 RGB in [0, 1], the frame's aligned crop as the source shows it.
        portrait: (3, P, P) float32 RGB in [0, 1], an unoccluded aligned crop of the same face in the same shot.

    Raises:
        OptionError: the pictures aren't square crops of three colours.
    """
    for name, picture in (("crop", crop), ("portrait", portrait)):
        if picture.ndim != 3 or picture.shape[0] != 3 or picture.shape[1] != picture.shape[2]:
            raise OptionError(f"the {name} is {tuple(picture.shape)}; it must be (3, R, R)")
    view, bare = network_input(crop.float().cpu()[None]), network_input(portrait.float().cpu()[None])
    probability = load_occlusion()(cues(view, bare)).sigmoid()[0]
    own = _portrait_probability(bare.contiguous().numpy().tobytes())
    found = _hysteresis(probability, _generated_region() & (own < MAX_PORTRAIT_PROBABILITY))
    resolution = crop.shape[-1]
    if found is None:
        return torch.zeros(resolution, resolution)
    return _dilated(found, resolution)


@functools.cache
def load_occlusion(path: Path = WEIGHTS) -> OcclusionNet:
    """The bundled network, read once per process. Raises ModelError: the file is missing or damaged."""
    with torch.device("meta"):  # random initial weights would advance the caller's global random state
        network = OcclusionNet()
    read = functools.partial(read_tensors, path, REMEDY)
    fill(network, read, "The occlusion network", torch.device("cpu"), torch.float32, remedy=REMEDY)
    return network


def _local_mean(picture: Tensor) -> Tensor:
    """Each pixel's mean over about 10x10 pixels, (n, c, h, w); computed at half size, for speed."""
    small = F.avg_pool2d(F.avg_pool2d(picture, 2), SURROUND_SIZE, 1, SURROUND_SIZE // 2, count_include_pad=False)
    return F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)


@functools.lru_cache(maxsize=8)
def _portrait_probability(portrait: bytes) -> Tensor:
    """(48, 64): the network's probability of an occluder in the portrait itself.

    The portrait counts as unoccluded, so these are false positives: a collar, a scar, a beard. Cached by the bytes of
    the portrait's network input.
    """
    bare = torch.frombuffer(bytearray(portrait), dtype=torch.float32).view(1, 3, INPUT_SIZE - SKIPPED_ROWS, INPUT_SIZE)
    probability = load_occlusion()(cues(bare, bare)).sigmoid()[None]
    return F.max_pool2d(probability, 5, 1, 2)[0, 0]


@functools.cache
def _generated_region() -> Tensor:
    """(48, 64) bool: where the mouth region is generated."""
    return 1 - mouth_mask(INPUT_SIZE)[SKIPPED_ROWS:] > 0.05


def _layer(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1), nn.GroupNorm(4, after), nn.SiLU())


def _hysteresis(probability: Tensor, seed_region: Tensor) -> Tensor | None:
    """(48, 64) of 0 and 1: pixels above the low threshold that connect to seeds above the high one; None: too few.

    Seeds must lie in `seed_region`, (48, 64) bool. Hysteresis thresholding as in Canny (1986).
    """
    candidates = (probability >= LOW_THRESHOLD).float()[None, None]
    reached = ((probability >= HIGH_THRESHOLD) & seed_region).float()[None, None]
    area = float(reached.sum())
    if area < max(MIN_SEED_AREA * INPUT_SIZE * INPUT_SIZE, 1):
        return None
    before = 0.0
    while area > before:  # grows from the seeds, two pixels a round
        for _ in range(2):
            reached = torch.minimum(F.max_pool2d(reached, 3, 1, 1), candidates)
        before, area = area, float(reached.sum())
    return reached[0, 0] if area >= MIN_AREA * INPUT_SIZE * INPUT_SIZE else None


def _dilated(found: Tensor, resolution: int) -> Tensor:
    """(48, 64) → (R, R): closed, dilated, feathered and resized to the crop."""
    whole = F.pad(found[None, None], (0, 0, SKIPPED_ROWS, 0))
    reach, fill = (DILATION + 2 * FEATHER) * INPUT_SIZE, CLOSING * INPUT_SIZE
    grown = 1 - _disc_maximum(1 - _disc_maximum(whole, reach + fill), fill)
    taps = max(1, round(3 * FEATHER * INPUT_SIZE))
    kernel = torch.exp(-0.5 * (torch.arange(-taps, taps + 1) / (FEATHER * INPUT_SIZE)) ** 2)
    kernel = kernel / kernel.sum()
    grown = F.conv2d(F.pad(grown, (taps, taps, taps, taps), mode="replicate"), kernel.view(1, 1, 1, -1))
    grown = F.conv2d(grown, kernel.view(1, 1, -1, 1))
    size = (resolution, resolution)
    return F.interpolate(grown, size, mode="bilinear", align_corners=False)[0, 0].clamp(0, 1)


def _disc_maximum(picture: Tensor, radius: float) -> Tensor:
    """The maximum within about `radius` pixels (dilation)."""
    for number in range(round(radius)):
        if number % 2:  # alternating squares and crosses approximate a disc
            picture = F.max_pool2d(picture, 3, 1, 1)
        else:
            across = F.max_pool2d(picture, (1, 3), 1, (0, 1))
            picture = torch.maximum(across, F.max_pool2d(picture, (3, 1), 1, (1, 0)))
    return picture
