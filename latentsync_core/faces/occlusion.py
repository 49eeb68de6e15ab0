"""What lies before a face, a hand or a microphone: a mask for its crop, by a small network that knows the bare face."""

from __future__ import annotations

import functools
from dataclasses import dataclass
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
INPUT = 64  # pixels a side that crops are brought to
SKIPPED = 16  # of them, the rows above: nothing is drawn up there
WIDTHS = (16, 40, 64, 64)  # channels at 1/2, 1/4, 1/8 and 1/16 of the input
NEAR = 5  # pairs of pixels, the neighbourhood whose mean brightness the cues are free of
CUES = 11
OWN = 0.5  # certainty from which on the portrait shows the same by itself: it belongs to the face


@dataclass(frozen=True)
class OcclusionOptions:
    """What counts as lying before a face."""

    sure: float = 0.93  # certainty that something must reach where mouths are drawn, 0 to 1
    least_sure: float = 0.0025  # of the crop, where it must be that sure
    seen: float = 0.35  # certainty from which on its surroundings belong to it
    least_area: float = 0.004  # of the crop that it covers: anything smaller is left alone
    grow: float = 0.02  # crop sides by which the mask goes on beyond what was seen
    fill: float = 0.04  # crop sides: gaps of up to twice that within what was seen belong to it
    feather: float = 0.0125  # crop sides, standard deviation of its soft edge outside of that

    def __post_init__(self) -> None:
        if not 0 < self.seen <= self.sure < 1:
            raise OptionError(f"seen is {self.seen} and sure {self.sure}; use 0 < seen <= sure < 1")
        for name, most in (("least_sure", 1.0), ("least_area", 1.0), ("grow", 0.2), ("fill", 0.2), ("feather", 0.2)):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise OptionError(f"{name} is {value}; use 0 to {most:g}")


class OcclusionNet(nn.Module):
    """Cues (n, 11, 48, 64) of `cues` to logits (n, 48, 64): how surely something lies before the face there.

    A U-Net (Ronneberger et al. 2015) that begins at half size: every 2x2 pixels are one place with four times the
    channels, in and out.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS):
        super().__init__()
        first, second, third, fourth = widths
        self.shrink = nn.PixelUnshuffle(2)
        self.down = nn.ModuleList(
            [
                nn.Sequential(_layer(4 * CUES, first), _layer(first, first)),
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
    """What the network sees: (n, 11, 48, 64) from two (n, 3, 48, 64) in [0, 1].

    Both pictures, in the spread of the portrait's colours; how they differ in brightness apart from that of their
    surroundings, and in colour; and the place.
    """
    mean = portraits.mean((2, 3), keepdim=True)
    spread = (portraits - mean).square().mean((1, 2, 3), keepdim=True).sqrt() + 0.03
    crop, portrait = (crops - mean) / spread, (portraits - mean) / spread
    both = torch.cat([crop, portrait], 1)
    smooth = _surroundings(both)
    fine = (both - smooth)[:, [1, 4]]  # green stands for brightness
    fine = fine / (_surroundings(fine.square()).clamp(min=0).sqrt() + 0.1)
    away = smooth[:, :3] - smooth[:, 3:]
    hue = away[:, [0, 2]] - away[:, 1:2]
    n, _, height, width = crop.shape
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    place = torch.stack([y, x]).to(crops)[None].expand(n, -1, -1, -1)
    return torch.cat([crop, portrait, fine[:, :1] - fine[:, 1:], hue, place], 1)


def network_view(crop: Tensor) -> Tensor:
    """(n, 3, R, R) crops as the network takes them: (n, 3, 48, 64)."""
    size = (INPUT, INPUT)
    if crop.shape[-2:] != size:
        crop = F.interpolate(crop, size, mode="bilinear", antialias=True, align_corners=False)
    return crop[:, :, SKIPPED:]


@torch.inference_mode()
def occlusion(crop: Tensor, portrait: Tensor, options: OcclusionOptions | None = None) -> Tensor:
    """Where something lies before a face: (R, R) float32 in [0, 1], 1 = the source is to be kept; all 0 where nothing.

    Each frame by itself, in some milliseconds on one core. The portrait is taken for the bare face: what it shows that
    looks as if it lay before the face belongs to the face, so a hand that is in both is often missed.

    Args:
        crop: (3, R, R) float32 RGB in [0, 1], the frame's aligned crop as the source shows it.
        portrait: (3, P, P) float32 RGB in [0, 1], an aligned crop of the same face in the same shot, nothing before it.

    Raises:
        OptionError: the pictures aren't square crops of three colours.
    """
    options = options or OcclusionOptions()
    for name, picture in (("crop", crop), ("portrait", portrait)):
        if picture.ndim != 3 or picture.shape[0] != 3 or picture.shape[1] != picture.shape[2]:
            raise OptionError(f"the {name} is {tuple(picture.shape)}; it must be (3, R, R)")
    view, bare = network_view(crop.float().cpu()[None]), network_view(portrait.float().cpu()[None])
    certainty = load_occlusion()(cues(view, bare)).sigmoid()[0]
    own = _of_portrait(bare.contiguous().numpy().tobytes())
    found = _spread(certainty, _drawn() & (own < OWN), options)
    resolution = crop.shape[-1]
    if found is None:
        return torch.zeros(resolution, resolution)
    return _grown(found, resolution, options)


@functools.cache
def load_occlusion(path: Path = WEIGHTS) -> OcclusionNet:
    """The carried network, read once per process. ModelError: the file is missing or damaged."""
    with torch.device("meta"):  # random first weights would move the caller's global random state
        network = OcclusionNet()
    read = functools.partial(read_tensors, path, REMEDY)
    fill(network, read, "The occlusion network", torch.device("cpu"), torch.float32, remedy=REMEDY)
    return network


def _surroundings(picture: Tensor) -> Tensor:
    """Each pixel's mean over about ten pixels' square, (n, c, h, w); in steps of two, which is enough and fast."""
    small = F.avg_pool2d(F.avg_pool2d(picture, 2), NEAR, 1, NEAR // 2, count_include_pad=False)
    return F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)


@functools.lru_cache(maxsize=8)
def _of_portrait(view: bytes) -> Tensor:
    """(48, 64): what the network takes for something before the face in the portrait itself, by its looks alone.

    A collar, a scar or a beard, since the portrait counts as bare; made once for each, given as its view's bytes.
    """
    bare = torch.frombuffer(bytearray(view), dtype=torch.float32).view(1, 3, INPUT - SKIPPED, INPUT)
    certainty = load_occlusion()(cues(bare, bare)).sigmoid()[None]
    return F.max_pool2d(certainty, 5, 1, 2)[0, 0]


@functools.cache
def _drawn() -> Tensor:
    """(48, 64) bool: where mouths are drawn."""
    return 1 - mouth_mask(INPUT)[SKIPPED:] > 0.05


def _layer(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1), nn.GroupNorm(4, after), nn.SiLU())


def _spread(certainty: Tensor, counts: Tensor, options: OcclusionOptions) -> Tensor | None:
    """(48, 64) of 0 and 1: all that is seen and touches something sure where that `counts`; None where too little is.

    Thresholds with hysteresis, as Canny (1986) follows edges.
    """
    seen = (certainty >= options.seen).float()[None, None]
    reached = ((certainty >= options.sure) & counts).float()[None, None]
    area = float(reached.sum())
    if area < max(options.least_sure * INPUT * INPUT, 1):
        return None
    before = 0.0
    while area > before:  # from the sure places outwards, two pixels a round
        for _ in range(2):
            reached = torch.minimum(F.max_pool2d(reached, 3, 1, 1), seen)
        before, area = area, float(reached.sum())
    return reached[0, 0] if area >= options.least_area * INPUT * INPUT else None


def _grown(found: Tensor, resolution: int, options: OcclusionOptions) -> Tensor:
    """(R, R) of (48, 64): at the crop's resolution, grown, with a soft edge."""
    whole = F.pad(found[None, None], (0, 0, SKIPPED, 0))
    reach, fill = (options.grow + 2 * options.feather) * INPUT, options.fill * INPUT
    grown = 1 - _disc_maximum(1 - _disc_maximum(whole, reach + fill), fill)
    if options.feather:
        taps = max(1, round(3 * options.feather * INPUT))
        kernel = torch.exp(-0.5 * (torch.arange(-taps, taps + 1) / (options.feather * INPUT)) ** 2)
        kernel = kernel / kernel.sum()
        grown = F.conv2d(F.pad(grown, (taps, taps, taps, taps), mode="replicate"), kernel.view(1, 1, 1, -1))
        grown = F.conv2d(grown, kernel.view(1, 1, -1, 1))
    size = (resolution, resolution)
    return F.interpolate(grown, size, mode="bilinear", align_corners=False)[0, 0].clamp(0, 1)


def _disc_maximum(picture: Tensor, radius: float) -> Tensor:
    """The maximum within `radius` pixels, roughly round."""
    for number in range(round(radius)):
        if number % 2:  # squares and crosses in turn make an octagon
            picture = F.max_pool2d(picture, 3, 1, 1)
        else:
            across = F.max_pool2d(picture, (1, 3), 1, (0, 1))
            picture = torch.maximum(across, F.max_pool2d(picture, (3, 1), 1, (1, 0)))
    return picture
