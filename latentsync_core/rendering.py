"""Rendering: the clip's own frames streamed through, the new faces pasted where there are any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .compositor import (
    CompositeOptions,
    Layer,
    drawn_region,
    face_alpha,
    face_layer,
    matte_of,
    shown_region,
)
from .faces.align import crop_face
from .faces.masks import mouth_mask
from .frame import Frame
from .frame_sequence import FrameSequence
from .patches import PatchKind
from .types import SyncedFaces

DECODE_BATCH = 4  # frames whose latents are decoded together; as many frames are held


@dataclass(frozen=True, eq=False)
class Rendered:
    """One output frame, and what was pasted into it."""

    frame: Frame  # the result
    layer: Layer | None  # None where nothing was pasted

    @property
    def matte(self) -> torch.Tensor:
        """(H, W) float32 in [0, 1]: the alpha of the pasted patch, displayed pixels; 0 where nothing was pasted."""
        part = None if self.layer is None else (self.layer.roi, self.layer.alpha)
        return matte_of(part, self.frame.width, self.frame.height)

    @property
    def rgba(self) -> torch.Tensor:
        """(4, H, W) float32 in [0, 1]: the pasted patch, straight alpha last; all 0 where nothing was pasted."""
        if self.layer is None:
            return torch.zeros(4, self.frame.height, self.frame.width)
        return self.layer.rgba(self.frame.width, self.frame.height)


@torch.inference_mode()
def render(synced: SyncedFaces, options: CompositeOptions | None = None) -> Iterator[Rendered]:
    """Yields the F output frames in order, in the clip's own pixel format; their stamps are `synced.stamps`.

    A frame without a patch passes through as it came. Where there is one, only the mouth region of it is pasted, with a
    soft edge: the rest of the face stays the source's own samples. (Like the reference: the whole crop is pasted, the
    rest of the face being the source's, resampled. `Region.FACE` does so without its flaws.) The layers cost nothing
    beyond the frames; their full pictures are made when asked for.
    """
    options = options or CompositeOptions()
    region = shown_region(synced.resolution, options)
    for index, frame, drawn in drawn_faces(synced, range(len(synced.stamps))):
        layer = None
        if drawn is not None:
            transform, size = synced.transforms[index], (frame.width, frame.height)
            if region is None and synced.patches.kind is PatchKind.LATENTS:
                drawn = _whole_face(frame, transform, drawn, synced.resolution, options)
            elif not options.like_reference:
                drawn = drawn.clamp(0, 1)
            layer = face_layer(transform, drawn, synced.resolution, size, options, region)
            if layer is not None:
                frame.paste(*layer)
        yield Rendered(frame, layer)


def render_frames(synced: SyncedFaces, options: CompositeOptions | None = None) -> Iterator[Frame]:
    """The frames of `render` alone."""
    return (rendered.frame for rendered in render(synced, options))


def render_mattes(synced: SyncedFaces, options: CompositeOptions | None = None) -> Iterator[torch.Tensor]:
    """Yields (H, W) float32 in [0, 1] for every output frame: exactly the alpha that `render` pastes with.

    From geometry alone: neither a frame nor a patch is decoded.
    """
    options = options or CompositeOptions()
    region = shown_region(synced.resolution, options)
    patch_size = _patch_size(synced)
    width, height = synced.faces.clip.width, synced.faces.clip.height
    for transform in synced.transforms:
        part = face_alpha(transform, patch_size, synced.resolution, (width, height), options, region)
        yield matte_of(part, width, height)


def frames_with_face(synced: SyncedFaces) -> list[int]:
    """The output frames that have a patch, rising."""
    return np.flatnonzero(np.isfinite(synced.transforms).all(axis=(1, 2))).tolist()


def drawn_faces(synced: SyncedFaces, indices: Sequence[int]) -> Iterator[tuple[int, Frame, torch.Tensor | None]]:
    """Yields for each of the output frames `indices`: its index, the source's frame, and its patch where it has one.

    The patch is (3, P, P) float32 on the CPU, about [0, 1] and not clamped; P is the crops' resolution, or the size of
    replaced crops. A few frames are decoded together, no more are held.
    """
    with_face = set(frames_with_face(synced))
    with FrameSequence(synced.faces.clip) as sequence:
        frames = sequence.frames([int(synced.source_index[index]) for index in indices])
        for first in range(0, len(indices), DECODE_BATCH):
            batch = indices[first : first + DECODE_BATCH]
            held = [next(frames) for _ in batch]
            patched = [index for index in batch if index in with_face]
            decoded = iter(_decoded(synced, patched))
            for index, frame in zip(batch, held, strict=True):
                yield index, frame, next(decoded) if index in with_face else None


def whole_face(frame: Frame, transform: np.ndarray, drawn: torch.Tensor, resolution: int) -> torch.Tensor:
    """The drawn mouth, softly blended into the source's own crop: (3, R, R) float32 in [0, 1] from such a `drawn`."""
    source = crop_face(frame, transform, resolution, eight_bit=False)
    return blend_mouth(drawn.clamp(0, 1), source, 1 - drawn_region(resolution))


def blend_mouth(drawn: torch.Tensor, source: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The drawn mouth region in the source's crop, (..., 3, R, R) each; `mask` (R, R), 1 = keep the source."""
    return drawn * (1 - mask) + source * mask


def _whole_face(
    frame: Frame, transform: np.ndarray, drawn: torch.Tensor, resolution: int, options: CompositeOptions
) -> torch.Tensor:
    if not options.like_reference:
        return whole_face(frame, transform, drawn, resolution)
    source = crop_face(frame, transform, resolution) * 2 - 1
    return blend_mouth(drawn * 2 - 1, source, mouth_mask(resolution).float()) / 2 + 0.5


def _decoded(synced: SyncedFaces, indices: list[int]) -> torch.Tensor | tuple[()]:
    """(n, 3, P, P) patches of some output frames."""
    if not indices:
        return ()
    patches = synced.patches.get(indices)
    if synced.patches.kind is PatchKind.CROPS:
        return patches
    return synced.codec.decode(patches).float().cpu() / 2 + 0.5


def _patch_size(synced: SyncedFaces) -> int:
    return synced.patches.shape[-1] if synced.patches.kind is PatchKind.CROPS else synced.resolution
