"""One frame in the source's own samples: RGB of a region on demand, and pasting that changes only its region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..errors import VideoError
from ..imaging.roi import Roi
from .chroma import any_in_block, chroma_span, downsample_to_chroma, resampling_weights, upsample_chroma
from .pixel_format import IN_MEMORY, Layout, PixelFormat

__all__ = ["Frame", "Layout", "PixelFormat"]


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame as its source stores it; `rgb` and `paste` speak of displayed pixels.

    A file's frame holds three planes (Y, Cb, Cr or G, B, R), uint8 or uint16 (rows, columns), as stored. A frame of
    an in-memory batch holds one (H, W, 3) float array in the batch's own dtype. Planes are writable and belong to
    this frame alone. A file's alpha, where it has any, goes along untouched: nothing here is weighted by it.
    """

    planes: tuple[np.ndarray, ...]
    pts: int  # ticks of the clip's time base
    index: int  # in the clip
    layout: Layout
    alpha: np.ndarray | None = None  # (rows, columns) of the planes' dtype, as stored, full range; None: opaque

    @property
    def width(self) -> int:
        """Displayed pixels across."""
        return self.layout.displayed_size[0]

    @property
    def height(self) -> int:
        """Displayed pixels down."""
        return self.layout.displayed_size[1]

    @property
    def sample_aspect(self) -> float:
        """A displayed pixel's width divided by its height."""
        return float(self.layout.sample_aspect)

    @classmethod
    def blank(cls, layout: Layout) -> Frame:
        """A black frame."""
        form = layout.pixel_format
        if form.name == IN_MEMORY:
            return cls((np.zeros((layout.height, layout.width, 3), np.float32),), 0, 0, layout)
        levels = (0, 0, 0) if form.is_rgb else (layout.luma_scale[0], *[layout.chroma_scale[0]] * 2)
        shapes = form.plane_shapes(layout.width, layout.height)
        planes = (np.full(shape, level, form.dtype) for shape, level in zip(shapes, levels, strict=True))
        return cls(tuple(planes), 0, 0, layout)

    def copy(self) -> Frame:
        """The same frame with planes of its own."""
        alpha = None if self.alpha is None else self.alpha.copy()
        return Frame(tuple(plane.copy() for plane in self.planes), self.pts, self.index, self.layout, alpha)

    def alpha_levels(self, bits: int) -> np.ndarray:
        """(rows, columns) uint8 or uint16: the alpha with `bits` bits, as stored; opaque where the frame has none."""
        own, top = self.layout.pixel_format.bits, (1 << bits) - 1
        dtype = np.uint8 if bits == 8 else np.uint16
        if self.alpha is None:
            return np.full((self.layout.height, self.layout.width), top, dtype)
        if own == bits:
            return self.alpha
        return (self.alpha.astype(np.float64) * (top / ((1 << own) - 1))).round().astype(dtype)

    def rgb(self, roi: Roi | None = None, size: tuple[int, int] | None = None) -> torch.Tensor:
        """(3, h, w) float32 in [0, 1]: the displayed pixels of `roi` (all by default); nothing else is converted.

        Args:
            roi: must lie inside the frame and hold a pixel.
            size: (width, height) to resample to, with a triangle filter as wide as an output pixel (bilinear where
                that enlarges); reductions beyond eight take every n-th sample first.

        Raises:
            VideoError: `roi` does not lie inside the frame, or `size` is not positive.
        """
        stored = self.layout.stored_roi(self._checked(roi))
        if size is None:
            samples = self._samples(stored)
        else:
            if min(size) < 1:
                raise VideoError(f"Can't resize a frame to {size[0]}×{size[1]}: both must be at least 1.")
            samples = self._resampled(stored, size if self.layout.rotation % 180 == 0 else (size[1], size[0]))
        return self.layout.to_displayed(self._to_rgb(samples)).contiguous()

    def paste(self, roi: Roi, rgb: torch.Tensor, alpha: torch.Tensor) -> None:
        """Blends `rgb` over the displayed pixels of `roi`, in place: (1 - alpha) · old + alpha · new in plane values.

        A sample is written only where alpha, brought to that plane's grid, is above 0; a chroma sample only where
        one of the luma samples of its own block is. Patch and alpha reach the chroma grid through the filter that
        fits the chroma siting. Integers are rounded to nearest; an in-memory frame stays float.

        Args:
            roi: must lie inside the frame and hold a pixel.
            rgb: (3, h, w) float, clamped to [0, 1]; h and w are those of `roi`.
            alpha: (h, w) float in [0, 1].

        Raises:
            VideoError: `roi` does not lie inside the frame, or the patch has another size.
        """
        roi = self._checked(roi)
        if rgb.shape != (3, roi.height, roi.width) or alpha.shape != (roi.height, roi.width):
            raise VideoError(
                f"A patch for {roi.width}×{roi.height} pixels must have that size: its colours are "
                f"{tuple(rgb.shape)} and its alpha {tuple(alpha.shape)}."
            )
        rgb, alpha = rgb.detach().to("cpu", torch.float32), alpha.detach().to("cpu", torch.float32)
        rgb, alpha = self.layout.to_stored(rgb), self.layout.to_stored(alpha)
        stored = self.layout.stored_roi(roi)
        written = alpha > 0
        lowest, highest = torch.aminmax(rgb)
        if not (lowest >= 0 and highest <= 1):  # also where something is not a number
            # Nothing undefined under alpha 0 may leak into a neighbour.
            rgb = torch.where(written, rgb.clamp(0, 1), 0)
        if self.layout.luma_weights is None:
            self._paste_rgb(stored, rgb, alpha, written)
        else:
            self._paste_yuv(stored, rgb, alpha, written, self.layout.luma_weights)

    def without_subsampling(self) -> tuple[np.ndarray, ...]:
        """The stored planes with chroma interpolated to luma's grid: a 4:2:0 or 4:2:2 frame as 4:4:4."""
        first, others = self._samples(Roi(0, 0, self.layout.width, self.layout.height))
        dtype = self.layout.pixel_format.dtype
        return tuple((plane + 0.5).numpy().astype(dtype) for plane in (first, *others))

    # --- reading -----------------------------------------------------------------------------------------------

    def _checked(self, roi: Roi | None) -> Roi:
        if roi is None:
            return Roi(0, 0, self.width, self.height)
        if not (0 <= roi.x0 < roi.x1 <= self.width and 0 <= roi.y0 < roi.y1 <= self.height):
            raise VideoError(
                f"The region x {roi.x0} to {roi.x1}, y {roi.y0} to {roi.y1} does not lie inside the frame of "
                f"{self.width}×{self.height} pixels."
            )
        return roi

    @property
    def _is_in_memory(self) -> bool:
        return len(self.planes) == 1

    def _samples(self, roi: Roi) -> tuple[torch.Tensor, torch.Tensor]:
        """The first plane's samples (h, w), and the other two brought to its grid (2, h, w), as float32 levels."""
        if self._is_in_memory:
            part = _as_float(self.planes[0][roi.y0 : roi.y1, roi.x0 : roi.x1]).permute(2, 0, 1)  # HW3 -> 3HW
            return part[1], part[[2, 0]]  # G, then B and R, as in a gbrp file
        first = _as_float(self.planes[0][roi.y0 : roi.y1, roi.x0 : roi.x1])
        shape, across, down = self.layout.pixel_format, self.layout.siting[0], self.layout.siting[1]
        columns = chroma_span(roi.x0, roi.x1, shape.chroma_shift_x, self.planes[1].shape[1])
        rows = chroma_span(roi.y0, roi.y1, shape.chroma_shift_y, self.planes[1].shape[0])
        others = torch.stack([_as_float(plane[rows.part, columns.part]) for plane in self.planes[1:]])
        if shape.chroma_shift_y:
            others = upsample_chroma(others, rows, down, -2)[:, roi.y0 % 2 :][:, : roi.height]
        if shape.chroma_shift_x:
            others = upsample_chroma(others, columns, across, -1)[..., roi.x0 % 2 :][..., : roi.width]
        return first, others

    def _resampled(self, roi: Roi, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Like `_samples`, resampled to `size` (width, height): two small matrix products a plane."""
        width, height = size
        planes = []
        for number in range(3):
            if self._is_in_memory:
                plane, shifts, offsets = self.planes[0][:, :, (1, 2, 0)[number]], (0, 0), (0.0, 0.0)
            else:
                plane, shifts, offsets = self.planes[number], (0, 0), (0.0, 0.0)
                if number:
                    shifts = (self.layout.pixel_format.chroma_shift_x, self.layout.pixel_format.chroma_shift_y)
                    offsets = self.layout.siting
            columns, across = resampling_weights(roi.x0, roi.x1, width, plane.shape[1], shifts[0], offsets[0])
            rows, down = resampling_weights(roi.y0, roi.y1, height, plane.shape[0], shifts[1], offsets[1])
            planes.append(down @ _as_float(plane[rows, columns]) @ across.T)
        return planes[0], torch.stack(planes[1:])

    def _to_rgb(self, samples: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Levels of the three planes → RGB (3, h, w) in [0, 1]."""
        first, others = samples
        out = torch.empty((3, *first.shape))
        black, white = (0.0, 1.0) if self._is_in_memory else self.layout.luma_scale
        if self.layout.luma_weights is None:
            out[0], out[1], out[2] = others[1], first, others[0]
            return out.sub_(black).div_(white).clamp_(0, 1)
        red, blue = self.layout.luma_weights
        green = 1 - red - blue
        grey, span = self.layout.chroma_scale
        to_red, to_blue = 2 * (1 - red) / span, 2 * (1 - blue) / span  # per level of Cr and Cb
        luma = (first - black).mul_(1 / white)
        cb, cr = others[0].sub(grey), others[1].sub(grey)
        torch.add(luma, cr, alpha=to_red, out=out[0])
        torch.add(luma, cr, alpha=-to_red * red / green, out=out[1])
        out[1].add_(cb, alpha=-to_blue * blue / green)
        torch.add(luma, cb, alpha=to_blue, out=out[2])
        return out.clamp_(0, 1)

    # --- writing -----------------------------------------------------------------------------------------------

    def _paste_rgb(self, roi: Roi, rgb: torch.Tensor, alpha: torch.Tensor, written: torch.Tensor) -> None:
        black, white = (0.0, 1.0) if self._is_in_memory else self.layout.luma_scale
        for number, channel in enumerate((1, 2, 0)):  # G, B, R
            if self._is_in_memory:
                part = self.planes[0][roi.y0 : roi.y1, roi.x0 : roi.x1, channel]
            else:
                part = self.planes[number][roi.y0 : roi.y1, roi.x0 : roi.x1]
            _blend(part, (rgb[channel] * white + black) * alpha, alpha, written, self.layout.pixel_format.bits)

    def _paste_yuv(
        self,
        roi: Roi,
        rgb: torch.Tensor,
        alpha: torch.Tensor,
        written: torch.Tensor,
        luma_weights: tuple[float, float],
    ) -> None:
        bits = self.layout.pixel_format.bits
        red, blue = luma_weights
        green = 1 - red - blue
        black, white = self.layout.luma_scale
        grey, span = self.layout.chroma_scale

        luma = rgb[0] * (red * white)
        luma.add_(rgb[1], alpha=green * white).add_(rgb[2], alpha=blue * white).add_(black)
        part = self.planes[0][roi.y0 : roi.y1, roi.x0 : roi.x1]
        _blend(part, luma.mul_(alpha), alpha, written, bits)

        # Weighted by alpha before the filter, so that a half-covered chroma sample takes the covered half's colour.
        layers = torch.empty((4, *alpha.shape))
        torch.mul(rgb, alpha, out=layers[:3])
        layers[3] = alpha
        shape = self.layout.pixel_format
        columns, rows = slice(roi.x0, roi.x1), slice(roi.y0, roi.y1)
        if shape.chroma_shift_y:
            layers = downsample_to_chroma(layers, roi.y0, roi.y1, self.layout.height, self.layout.siting[1], -2)
            written = any_in_block(written, roi.y0, -2)
            rows = slice(roi.y0 // 2, (roi.y1 + 1) // 2)
        if shape.chroma_shift_x:
            layers = downsample_to_chroma(layers, roi.x0, roi.x1, self.layout.width, self.layout.siting[0], -1)
            written = any_in_block(written, roi.x0, -1)
            columns = slice(roi.x0 // 2, (roi.x1 + 1) // 2)
        weight = layers[3]
        luma = layers[0] * red + layers[1] * green + layers[2] * blue
        for plane, own, share in ((self.planes[1], layers[2], blue), (self.planes[2], layers[0], red)):
            new = (own - luma) * (span / (2 * (1 - share))) + weight * grey  # already weighted by alpha
            _blend(plane[rows, columns], new, weight, written, bits)


def _as_float(part: np.ndarray) -> torch.Tensor:
    """A view of a plane → a float32 tensor of its own."""
    if part.dtype == np.uint8:
        return torch.from_numpy(part).to(torch.float32)
    return torch.from_numpy(part.astype(np.float32))


def _blend(part: np.ndarray, weighted: torch.Tensor, alpha: torch.Tensor, written: torch.Tensor, bits: int) -> None:
    """part ← (1 - alpha) · part + weighted, where `written`; `weighted` is alpha · new, in plane values."""
    old = _as_float(part)
    new = torch.addcmul(old, old, alpha, value=-1).add_(weighted)
    if part.dtype.kind == "f":
        np.copyto(part, new.numpy().astype(part.dtype), where=written.numpy())
        return
    new.add_(0.5).clamp_(0, 2.0**bits - 1)
    if part.dtype == np.uint8:
        target = torch.from_numpy(part)
        target.copy_(torch.where(written, new.to(torch.uint8), target))
    else:
        np.copyto(part, new.numpy().astype(part.dtype), where=written.numpy())
