"""Writes layers for compositing programs: the matte as a grey video, the patches as a video with alpha."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..provenance.film_credits import FilmCredits
from ..video.clip import Clip
from ..video.frame import Frame
from ..video.pixel_format import Layout
from ..video.writing.encoding import layer_clip, matte_clip, plan_layer
from ..video.writing.writer import NO_CREDITS, VideoWriter
from ..video.writing.writer_options import Codec, WriterOptions
from .layer import Layer

MATTE_OPTIONS = WriterOptions(Codec.PRORES)


class MatteWriter(VideoWriter):
    """Writes mattes as a grey video of the clip's size, rate, stamps and rotation.

    Grey is BT.709 of video range, as every program expects of such files: 0 is black, 1 is white. ProRes, the default,
    is what editing and compositing programs read, in 10 bits; FFV1 keeps those without loss; H.264 has 8 and plays
    everywhere.
    """

    def __init__(
        self, path: str | Path, clip: Clip, *, options: WriterOptions = MATTE_OPTIONS, pts: np.ndarray
    ) -> None:
        grey = matte_clip(clip, options.codec)
        super().__init__(path, grey, options=options, pts=pts, timecode_only=True)
        _, *self._chroma = Frame.blank(Layout.of(grey)).planes

    def write(self, matte: torch.Tensor) -> None:
        """Appends a matte: (H, W) float in [0, 1], of displayed pixels."""
        black, white = self._layout.luma_scale
        luma = self._layout.to_stored(matte).mul(white).add(black).round()
        dtype = self._layout.pixel_format.dtype
        self._append(Frame((luma.numpy().astype(dtype), *self._chroma), 0, 0, self._layout))

    def _write_blank(self) -> None:
        self.write(torch.zeros(self._clip.height, self._clip.width))


class LayerWriter(VideoWriter):
    """Writes patches with alpha as ProRes 4444 (.mov) of the clip's size, rate, stamps, rotation and colours.

    Colours are straight (not multiplied by alpha): tell the program so where it asks. Laid over the clip with the usual
    "over" they make the result.
    """

    def __init__(self, path: str | Path, clip: Clip, *, pts: np.ndarray, credits: FilmCredits = NO_CREDITS) -> None:
        target = layer_clip(clip)
        super().__init__(
            path,
            target,
            options=WriterOptions(Codec.PRORES),
            pts=pts,
            plan=plan_layer(target),
            timecode_only=True,
            credits=credits,
        )

    def write(self, layer: Layer | None) -> None:
        """Appends a frame with the layer in it, or an empty one."""
        frame = Frame.blank(self._layout)
        alpha = np.zeros_like(frame.planes[0])
        if layer is not None:
            padded = layer.padded(frame.width, frame.height)
            frame.paste(padded.roi, padded.rgb, torch.ones_like(padded.alpha))
            part = self._layout.stored_roi(padded.roi)
            top = 2**self._layout.pixel_format.bits - 1
            alpha[part.y0 : part.y1, part.x0 : part.x1] = self._layout.to_stored(padded.alpha).mul(top).round().numpy()
        self._append(Frame((*frame.planes, alpha), 0, 0, self._layout))

    def _write_blank(self) -> None:
        self.write(None)
