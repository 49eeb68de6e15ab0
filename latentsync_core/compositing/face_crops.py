"""Generated faces as crops: out to a restorer or upscaler, and back in, whatever size it returns."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F

from ..errors import OptionError
from ..progress import Progress
from ..sampling.patch_store import PatchKind, PatchStore
from ..sampling.synced_faces import SyncedFaces
from .compositor import max_useful_patch_size
from .rendering import blend_into_crop, frames_with_face, generated_faces

CHANNELS = 3


@torch.no_grad()
def decode_faces(synced: SyncedFaces, on_progress: Progress | None = None) -> Iterator[tuple[int, torch.Tensor]]:
    """Yields (output frame, crop) for every output frame with a face, in order; crops are (3, R, R) float32 in [0, 1].

    A crop shows the whole face: the generated mouth, blended into the source's own crop, wherever compositing shows the
    patch. A crop given back unchanged therefore gives the same composite as the original patch (up to the usual
    feather). Crops that were replaced come back as they are, in their own size. Streamed: no more than a few are held.
    """
    indices = frames_with_face(synced)
    for done, (index, frame, generated) in enumerate(generated_faces(synced), start=1):
        if synced.patches.kind is PatchKind.LATENTS:
            generated = blend_into_crop(frame, synced.transforms[index], generated, synced.resolution)
        yield index, generated
        if on_progress:
            on_progress(done, len(indices))


@torch.no_grad()
def replace_faces(
    synced: SyncedFaces,
    crops: torch.Tensor | Iterable[torch.Tensor],
    folder: Path | None = None,
    on_progress: Progress | None = None,
) -> SyncedFaces:
    """`synced` with other crops in the place of its patches; pasted in the detail that frames can hold.

    The crops go to disk, one at a time, no larger than any frame can show them; their files are removed with the store.
    Compositing them with `match_color` takes their colour and light from the sampler's own patches, whose store
    therefore has to stay open.

    Args:
        crops: one for every frame with a face, in the order of `decode_faces`: a batch (n, P, P, 3 or more), as
            ComfyUI's IMAGE, of which the first three channels are taken; or an iterable of (3, P, P). RGB in [0, 1]
            (clamped), any P.
        folder: where the store's files are kept; None: a temporary place.

    Raises:
        OptionError: another number of crops than frames with a face, crops that are not square or not all of one size,
            or not finite.
        OutputError: `folder` can't hold them.
    """
    indices = frames_with_face(synced)
    if isinstance(crops, torch.Tensor):
        if crops.ndim != 4 or crops.shape[-1] < CHANNELS:
            raise OptionError(f"face crops must be (count, size, size, 3), not {tuple(crops.shape)}")
        if len(crops) != len(indices):
            raise _wrong_count(f"{len(crops)}", len(indices))
        crops = (crop[..., :CHANNELS].permute(2, 0, 1) for crop in crops)  # HWC -> CHW

    largest = max_useful_patch_size(synced.transforms, synced.resolution)
    store: PatchStore | None = None
    size: tuple[int, ...] | None = None
    count = 0
    try:
        for crop in crops:
            count += 1
            if count > len(indices):
                raise _wrong_count("more", len(indices))
            size = size or tuple(crop.shape)
            _check_crop(crop, size, count)
            side = min(size[-1], largest)
            if store is None:
                store = PatchStore(
                    f"replaced-{uuid.uuid4().hex}",
                    frames=synced.patches.frames,
                    shape=(CHANNELS, side, side),
                    folder=folder,
                    kind=PatchKind.CROPS,
                    remove_on_close=True,
                )
            store.put(indices[count - 1], _resized(crop.float().clamp(0, 1), side))
            if on_progress:
                on_progress(count, len(indices))
        if count < len(indices):
            raise _wrong_count(f"{count}", len(indices))
    except BaseException:
        if store is not None:
            store.close()
        raise
    if store is None:
        return synced
    sampled = synced.patches if synced.patches.kind is PatchKind.LATENTS else synced.sampled
    return dataclasses.replace(synced, patches=store, sampled=sampled)


def _check_crop(crop: torch.Tensor, size: tuple[int, ...], number: int) -> None:
    """OptionError unless `crop` is a square of the first one's `size`, in floats, every value a number."""
    shape = tuple(crop.shape)
    if len(shape) != 3 or shape[0] != CHANNELS or not crop.is_floating_point():
        raise OptionError(f"a face crop must be floats (3, size, size); crop {number} is {crop.dtype} {shape}")
    if shape[1] != shape[2]:
        raise OptionError(
            f"face crop {number} is {shape[2]}×{shape[1]} pixels, but faces are cut as squares: let the restorer keep "
            f"the crop's shape"
        )
    if shape != size:
        raise OptionError(f"face crop {number} is {shape[2]} pixels wide, the first one {size[2]}: give all one size")
    if not crop.isfinite().all():
        raise OptionError(
            f"face crop {number} has values that are not numbers: the restorer failed on it, often for want of "
            f"precision; try it in fp32"
        )


def _wrong_count(given: str, needed: int) -> OptionError:
    return OptionError(
        f"{given} face crops came for {needed} frames that have a face: give back every decoded crop once and in order"
    )


def _resized(crop: torch.Tensor, side: int) -> torch.Tensor:
    """(3, P, P) → (3, side, side)."""
    if crop.shape[-1] == side:
        return crop
    resized = F.interpolate(crop[None], size=(side, side), mode="bicubic", antialias=True, align_corners=False)
    return resized[0].clamp(0, 1)
