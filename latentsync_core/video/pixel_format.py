"""Sample layouts: pixel formats, colour matrices and ranges, chroma siting, orientation."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch

from ..errors import VideoError
from ..imaging.roi import Roi
from ..required_packages import importing
from .clip import Clip, ColorTags

IN_MEMORY = "rgb"  # Clip.pixel_format of a float RGB batch
HD_HEIGHT = 720  # rows from which players take an untagged picture for bt709 rather than bt601

LUMA_WEIGHTS = {  # matrix: (red's weight, blue's weight) in luma; ITU-R BT.601, BT.709, BT.2020, SMPTE 240M, FCC
    "smpte170m": (0.299, 0.114),
    "bt470bg": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020nc": (0.2627, 0.0593),
    "smpte240m": (0.212, 0.087),
    "fcc": (0.30, 0.11),
}
SITINGS = {  # chroma location: where a chroma sample sits (x, y), in luma samples from its block's first one
    "left": (0.0, 0.5),
    "center": (0.5, 0.5),
    "topleft": (0.0, 0.0),
    "top": (0.5, 0.0),
    "bottomleft": (0.0, 1.0),
    "bottom": (0.5, 1.0),
}
PACKED = {  # where a pixel's G, B and R bytes are
    "rgb24": (1, 2, 0), "bgr24": (1, 0, 2), "bgr0": (1, 0, 2), "rgba": (1, 2, 0), "bgra": (1, 0, 2), "argb": (2, 3, 1),
    "abgr": (2, 1, 3),
}  # fmt: skip
PACKED_ALPHA = {"rgba": 3, "bgra": 3, "argb": 0, "abgr": 0}  # where its alpha byte is
PACKED_BYTES = {"rgb24": 3, "bgr24": 3}  # a pixel, where it isn't 4
_CHROMA = {"420": (1, 1), "422": (1, 0), "444": (0, 0)}
_BITS = {"": 8, "10le": 10, "12le": 12, "16le": 16}
MAX_BITS = max(_BITS.values())


@dataclass(frozen=True)
class PixelFormat:
    """A planar format: Y, Cb, Cr planes (or G, B, R ones) of 8-bit or little-endian 16-bit samples."""

    name: str  # ffmpeg's, or IN_MEMORY
    bits: int  # per sample
    chroma_shift_x: int  # log2 of how many luma samples share a chroma sample, across
    chroma_shift_y: int  # and down
    is_rgb: bool = False
    is_full_range: bool = False  # the old "yuvj" names say full range by themselves

    @classmethod
    def of(cls, name: str) -> PixelFormat:
        """The format of ffmpeg's `name`; VideoError for one that isn't supported."""
        found = _formats().get(name)
        if found is None:
            raise VideoError(
                f"The pixel format {name} is not supported: convert the clip to {nearest_supported(name)}."
            )
        return found

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8 if self.bits == 8 else np.uint16)

    def plane_shapes(self, width: int, height: int) -> tuple[tuple[int, int], ...]:
        """(rows, columns) of the three planes of a stored picture of `width` by `height`."""
        chroma = (-(-height >> self.chroma_shift_y), -(-width >> self.chroma_shift_x))
        return ((height, width), chroma, chroma)


@dataclass(frozen=True)
class Layout:
    """Everything that turning stored samples into displayed RGB needs, with every guess already made."""

    pixel_format: PixelFormat
    width: int  # stored
    height: int  # stored
    rotation: int  # degrees clockwise from the stored to the displayed picture
    luma_weights: tuple[float, float] | None  # red's and blue's; None for RGB planes
    is_full_range: bool
    siting: tuple[float, float]  # see SITINGS
    sample_aspect: Fraction = Fraction(1)
    mirrored: bool = False  # left to right, after the rotation

    @classmethod
    def of(cls, clip: Clip) -> Layout:
        """The layout of a clip's frames; what the file leaves untagged is guessed as players do."""
        width, height = (clip.width, clip.height) if clip.rotation % 180 == 0 else (clip.height, clip.width)
        if clip.pixel_format == IN_MEMORY:
            pixel_format = PixelFormat(IN_MEMORY, 32, 0, 0, is_rgb=True, is_full_range=True)
        else:
            pixel_format = PixelFormat.of(clip.pixel_format)
        return cls(
            pixel_format=pixel_format,
            width=width,
            height=height,
            rotation=clip.rotation,
            luma_weights=None if pixel_format.is_rgb else luma_weights(clip.color.matrix, height),
            is_full_range=pixel_format.is_full_range or is_full_range(clip.color, pixel_format),
            siting=siting(clip.color.chroma_location, pixel_format),
            sample_aspect=clip.sample_aspect,
            mirrored=clip.mirrored,
        )

    @property
    def displayed_size(self) -> tuple[int, int]:
        """Displayed pixels across and down."""
        return (self.width, self.height) if self.rotation % 180 == 0 else (self.height, self.width)

    @property
    def luma_scale(self) -> tuple[float, float]:
        """(black's level, levels from black to white)."""
        bits = self.pixel_format.bits
        return (0.0, 2.0**bits - 1) if self.is_full_range else (16.0 * 2 ** (bits - 8), 219.0 * 2 ** (bits - 8))

    @property
    def chroma_scale(self) -> tuple[float, float]:
        """(grey's level, levels from one end of the chroma range to the other)."""
        bits = self.pixel_format.bits
        return 2.0 ** (bits - 1), (2.0**bits - 1 if self.is_full_range else 224.0 * 2 ** (bits - 8))

    def to_displayed(self, picture: torch.Tensor) -> torch.Tensor:
        """A stored picture (..., h, w) as it is displayed; a view where torch can make one."""
        turns = self.rotation // 90
        turned = torch.rot90(picture, -turns, dims=(-2, -1)) if turns else picture  # rot90 turns counterclockwise
        return turned.flip(-1) if self.mirrored else turned

    def to_stored(self, picture: torch.Tensor) -> torch.Tensor:
        """A displayed picture (..., h, w) as it is stored; a view where torch can make one."""
        turns = self.rotation // 90
        unmirrored = picture.flip(-1) if self.mirrored else picture
        return torch.rot90(unmirrored, turns, dims=(-2, -1)) if turns else unmirrored

    def stored_roi(self, roi: Roi) -> Roi:
        """Displayed pixels → the same ones in the stored picture."""
        x0, y0, x1, y1 = roi
        if self.mirrored:
            across = self.displayed_size[0]
            x0, x1 = across - x1, across - x0
        if self.rotation == 90:
            return Roi(y0, self.height - x1, y1, self.height - x0)
        if self.rotation == 180:
            return Roi(self.width - x1, self.height - y1, self.width - x0, self.height - y0)
        if self.rotation == 270:
            return Roi(self.width - y1, x0, self.width - y0, x1)
        return Roi(x0, y0, x1, y1)


def luma_weights(matrix: str | None, height: int) -> tuple[float, float]:
    """Red's and blue's weight in luma of a tagged matrix; of an untagged one by the stored picture's height.

    Raises:
        VideoError: the matrix is not a constant one of Y'CbCr.
    """
    if matrix is None:
        matrix = "bt709" if height >= HD_HEIGHT else "smpte170m"
    if matrix not in LUMA_WEIGHTS:
        raise VideoError(
            f"The colour matrix {matrix} is not supported: convert the clip to one of {', '.join(LUMA_WEIGHTS)}."
        )
    return LUMA_WEIGHTS[matrix]


def is_full_range(color: ColorTags, pixel_format: PixelFormat) -> bool:
    """Whether samples use all levels; untagged YUV does not, untagged RGB does."""
    if color.range is None:
        return pixel_format.is_rgb
    return color.range == "pc"


def siting(location: str | None, pixel_format: PixelFormat) -> tuple[float, float]:
    """Where a chroma sample sits in its block (see SITINGS); untagged as MPEG places it, or JPEG for "yuvj"."""
    across, down = SITINGS.get(location or "", SITINGS["center" if pixel_format.is_full_range else "left"])
    return (across if pixel_format.chroma_shift_x else 0.0, down if pixel_format.chroma_shift_y else 0.0)


def planar_name(name: str) -> str:
    """The format that a decoded frame's samples are held in: 8-bit packed RGB in planes, and all without alpha."""
    return "gbrp" if name in PACKED else name.replace("yuva", "yuv").replace("gbrap", "gbrp")


def with_alpha(name: str) -> str:
    """The planar format of ffmpeg's `name`, one without alpha, with an alpha plane."""
    return name.replace("gbrp", "gbrap").replace("yuvj", "yuv").replace("yuv", "yuva")


def is_supported(name: str) -> bool:
    """Whether frames of ffmpeg's format `name` can be worked on."""
    return name in _formats()


def has_alpha(name: str) -> bool:
    """Whether frames of ffmpeg's format `name` have an alpha channel."""
    with importing("av"):
        import av

    return any(component.is_alpha for component in av.VideoFormat(name, 8, 8).components)


def nearest_supported(name: str) -> str:
    """The smallest supported format that holds all that one of ffmpeg's `name` can say, but for alpha.

    Grey becomes RGB: it is often of full range, whose levels limited-range luma of as many bits can't tell apart.
    Floating-point samples get 16 bits.
    """
    with importing("av"):
        import av

    facts = av.VideoFormat(name, 8, 8)
    colors = [component for component in facts.components if not component.is_alpha]
    bits = MAX_BITS if name.startswith("bayer") else max(component.bits for component in colors)
    is_yuv = len(colors) == 3 and not facts.is_rgb and not name.startswith(("bayer", "xyz"))
    chroma_size = (8, 8) if not is_yuv else (facts.chroma_height(8), facts.chroma_width(8))

    def holds_all(form: PixelFormat) -> bool:
        rows, columns = form.plane_shapes(8, 8)[1]
        return form.bits >= min(bits, MAX_BITS) and rows >= chroma_size[0] and columns >= chroma_size[1]

    candidates = (form for form in _formats().values() if form.is_rgb != is_yuv and not form.is_full_range)
    return min(filter(holds_all, candidates), key=lambda form: (form.bits, form.plane_shapes(8, 8)[1])).name


@functools.cache
def _formats() -> dict[str, PixelFormat]:
    formats = {}
    for chroma, shifts in _CHROMA.items():
        formats[f"yuvj{chroma}p"] = PixelFormat(f"yuvj{chroma}p", 8, *shifts, is_full_range=True)
        for suffix, bits in _BITS.items():
            formats[f"yuv{chroma}p{suffix}"] = PixelFormat(f"yuv{chroma}p{suffix}", bits, *shifts)
    for suffix, bits in _BITS.items():
        formats[f"gbrp{suffix}"] = PixelFormat(f"gbrp{suffix}", bits, 0, 0, is_rgb=True)
    return formats
