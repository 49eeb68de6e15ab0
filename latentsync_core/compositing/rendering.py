"""Renders the output frames: streams the clip's own frames and composites the generated faces."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ..errors import OptionError
from ..faces.alignment.align import crop_face
from ..faces.alignment.mouth_mask import mouth_mask
from ..faces.selection import check_no_shared_faces
from ..progress import WorkMeter
from ..sampling.patch_store import PatchKind
from ..sampling.synced_faces import SyncedFaces
from ..video.clip import Clip
from ..video.frame import Frame
from ..video.reading.frame_sequence import FrameSequence
from .blending.detail_match import DetailMatcher
from .blending.patch_shapes import shaped_patches
from .composite_options import CompositeOptions
from .compositor import face_layer, generated_region
from .crop_light import with_light_of
from .foreground import subtract_occlusion
from .layer import Layer, full_frame_matte, merge_layers

DECODE_BATCH = 4  # frames whose latents are decoded together; as many frames are held


@dataclass(frozen=True, eq=False)
class RenderedFrame:
    """One output frame, and what was pasted into it."""

    frame: Frame  # the result
    layers: tuple[Layer, ...]  # a face's each, the undermost first; none where the frame passed through
    occluded: float = 0.0  # 0 to 1: the largest occluded share of any pasted patch

    @property
    def layer(self) -> Layer | None:
        """All that was pasted as one layer; None where nothing was."""
        return merge_layers(self.layers)

    @property
    def matte(self) -> torch.Tensor:
        """(H, W) float32 in [0, 1]: the alpha of what was pasted, displayed pixels; 0 where nothing was."""
        layer = self.layer
        return full_frame_matte(
            None if layer is None else (layer.roi, layer.alpha), self.frame.width, self.frame.height
        )

    @property
    def rgba(self) -> torch.Tensor:
        """(4, H, W) float32 in [0, 1]: what was pasted, straight alpha last; all 0 where nothing was."""
        layer = self.layer
        if layer is None:
            return torch.zeros(4, self.frame.height, self.frame.width)
        return layer.rgba(self.frame.width, self.frame.height)


@torch.inference_mode()
def render(
    synced: SyncedFaces | Sequence[SyncedFaces],
    options: CompositeOptions | None = None,
    foreground: torch.Tensor | None = None,
    frames: range | None = None,
    meter: WorkMeter | None = None,
) -> Iterator[RenderedFrame]:
    """Yields the F output frames in order, in the clip's own pixel format; their stamps are `synced.pts`.

    A frame without a patch passes through as it came. Where there is one, only `options.region` of it is pasted, with a
    soft edge: the rest of the face is left unchanged. (Like the reference: the whole crop is pasted, the
    rest of the face being the source's, resampled. `Region.FACE` does so without its flaws.) The layers cost nothing
    beyond the frames; their full pictures are made when asked for.

    Args:
        synced: the new faces; several of one clip and of one length are pasted one over the other.
        foreground: (N, h, w) or (1, h, w) float in [0, 1], of any size, a picture for each frame of the clip or one for
            all: where it is 1 something occludes the face, and the source is left unchanged.
        frames: those to yield; None: all. They come out as among all of them where the range begins and ends with
            segments (`SyncedFaces.segments`), over which nothing is averaged.
        meter: measures "decode" in patches, and counts "patches".

    Raises:
        OptionError: faces of different clips or lengths, or a foreground that doesn't fit the clip.
        ModelError: a model recommends a region that isn't known.
    """
    synced_per_speaker = as_matching_batch(synced)
    options = (options or CompositeOptions()).resolve_region(one.region for one in synced_per_speaker)
    foreground_mask = _ForegroundMask(synced_per_speaker[0].faces.clip, foreground)
    frames = range(len(synced_per_speaker[0].pts)) if frames is None else frames
    generated = _generated_faces_of_all(synced_per_speaker, frames, options.match_color, meter)
    matchers = [DetailMatcher(options.match_grain) for _ in synced_per_speaker]
    for index, frame, shaped in shaped_patches(generated, synced_per_speaker, options):
        layers, occluded = [], 0.0
        for one, shape, matcher in zip(synced_per_speaker, shaped, matchers, strict=True):
            if shape is None or one.blend[index] == 0:  # the latter where the filmed mouth shows in a pause
                continue
            patch, region = shape
            if options.occlusion:
                region, share = subtract_occlusion(one, index, frame, region)
                occluded = max(occluded, share)
            whole = _layer(one, index, frame, patch, options, region)
            if whole is not None:
                source = int(one.source_index[index])
                layer = _faded(whole, float(one.blend[index]))
                if options.match_grain > 0:
                    filmed, (track, segment) = functools.partial(frame.rgb, whole.roi), one.stretch_of(index)
                    # What is measured in a segment may not depend on whether its neighbours make it fade.
                    measured = layer if one.segments is None else whole
                    layer = layer._replace(rgb=matcher.matched(measured, filmed, track, source, segment).rgb)
                layers.append(foreground_mask.apply(layer, source))
        for layer in layers:  # only now, so that occlusion was judged on the source's own pixels
            frame.paste(*layer)
        yield RenderedFrame(frame, tuple(layers), occluded)


def as_matching_batch(synced: SyncedFaces | Sequence[SyncedFaces]) -> tuple[SyncedFaces, ...]:
    """One or more new faces as a tuple, once it is known that they go over the same frames.

    Raises:
        OptionError: there is none, they are of different clips or lengths, or two are of the same face.
    """
    synced_per_speaker = (synced,) if isinstance(synced, SyncedFaces) else tuple(synced)
    if not synced_per_speaker:
        raise OptionError("there are no new faces to paste; give those of at least one sampling")
    first = synced_per_speaker[0]
    for other in synced_per_speaker[1:]:
        first_clip, other_clip = (one.faces.clip for one in (first, other))
        same = first_clip is other_clip or (
            first_clip.images is other_clip.images
            and first_clip.identity == other_clip.identity
            and first_clip.deinterlace == other_clip.deinterlace
        )
        if not same or first_clip.first_frame != other_clip.first_frame:
            raise OptionError(
                f"the new faces are of two clips, {first_clip.name} and {other_clip.name}; prepare one clip's faces"
            )
        if not (np.array_equal(first.source_index, other.source_index) and np.array_equal(first.pts, other.pts)):
            raise OptionError(
                f"one person's frames are {len(first.source_index)}, another's {len(other.source_index)}, or in "
                f"another order: choose one length rule for both, and voices of one length unless the video decides"
            )
    check_no_shared_faces([one.faces for one in synced_per_speaker])
    return synced_per_speaker


def frames_with_face(synced: SyncedFaces) -> list[int]:
    """The output frames that have a patch, rising."""
    return np.flatnonzero(np.isfinite(synced.transforms).all(axis=(1, 2))).tolist()


def generated_faces(synced: SyncedFaces) -> Iterator[tuple[int, Frame, torch.Tensor]]:
    """Yields for each of `frames_with_face`: its index, the source's frame, and its patch.

    The patch is (3, P, P) float32 on the CPU, about [0, 1] and not clamped; P is the crops' resolution, or the size of
    replaced crops. A few frames are decoded together, no more are held.
    """
    for index, frame, (patch,) in _generated_faces_of_all((synced,), frames_with_face(synced)):
        if patch is not None:
            yield index, frame, patch


def _generated_faces_of_all(
    synced_per_speaker: tuple[SyncedFaces, ...],
    indices: Sequence[int],
    match_color: float = 0.0,
    meter: WorkMeter | None = None,
) -> Iterator[tuple[int, Frame, list[torch.Tensor | None]]]:
    """`generated_faces` of several at once, with a patch or None of each.

    `match_color`, 0 to 1, is how far replaced crops take colour and light of what the sampler made.
    """
    meter = meter or WorkMeter()
    with_face = [set(frames_with_face(one)) for one in synced_per_speaker]
    source_index = synced_per_speaker[0].source_index
    # What is decoded beside a patch may change its rounding: a segment's come to the same bits whatever the others are.
    starts = frozenset().union(*(one.segments.starts for one in synced_per_speaker if one.segments is not None))
    with FrameSequence(synced_per_speaker[0].faces.clip) as sequence:
        frames = sequence.frames([int(source_index[index]) for index in indices])
        for batch in _decode_batches(indices, starts):
            batch_frames = [next(frames) for _ in batch]
            frame_of = dict(zip(batch, batch_frames, strict=True))
            frames_with_patch = [{index: frame_of[index] for index in batch if index in own} for own in with_face]
            decoded = [
                iter(_decode_patches(one, frames_of_one, match_color, meter))
                for one, frames_of_one in zip(synced_per_speaker, frames_with_patch, strict=True)
            ]
            for index, frame in zip(batch, batch_frames, strict=True):
                patches = [next(found) if index in own else None for found, own in zip(decoded, with_face, strict=True)]
                yield index, frame, patches


def _decode_batches(indices: Sequence[int], starts: frozenset[int]) -> Iterator[Sequence[int]]:
    """Parts of rising `indices`, DECODE_BATCH at most; none holds frames before and after one of `starts`."""
    first = 0
    while first < len(indices):
        stop = first + 1
        while stop < min(first + DECODE_BATCH, len(indices)) and not starts.intersection(
            range(indices[stop - 1] + 1, indices[stop] + 1)
        ):
            stop += 1
        yield indices[first:stop]
        first = stop


def blend_into_crop(frame: Frame, transform: np.ndarray, generated: torch.Tensor, resolution: int) -> torch.Tensor:
    """The generated mouth, softly blended into the source's crop: (3, R, R) float32 in [0, 1]."""
    source = crop_face(frame, transform, resolution, eight_bit=False)
    return blend_mouth(generated.clamp(0, 1), source, 1 - generated_region(resolution))


def blend_mouth(generated: torch.Tensor, source: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The generated mouth region in the source's crop, (..., 3, R, R) each; `mask` (R, R), 1 = keep the source."""
    return generated * (1 - mask) + source * mask


def _layer(
    synced: SyncedFaces,
    index: int,
    frame: Frame,
    generated: torch.Tensor,
    options: CompositeOptions,
    region: torch.Tensor | None,
) -> Layer | None:
    """What is pasted of one face into an output frame, before it fades."""
    transform, size, resolution = synced.transforms[index], (frame.width, frame.height), synced.resolution
    if region is None and synced.patches.kind is PatchKind.LATENTS:
        generated = _blend_into_crop(frame, transform, generated, resolution, options)
    elif not options.like_reference:
        generated = generated.clamp(0, 1)
    return face_layer(transform, generated, resolution, size, options, region)


def _faded(layer: Layer, blend: float) -> Layer:
    """As strongly as a face may show."""
    return layer if blend == 1 else layer._replace(alpha=layer.alpha * blend)


class _ForegroundMask:
    """The user's mask of objects in front of the faces, removed from the layers."""

    def __init__(self, clip: Clip, mask: torch.Tensor | None) -> None:
        if mask is not None and (mask.ndim != 3 or len(mask) not in (1, clip.frame_count) or not mask.numel()):
            raise OptionError(
                f"the foreground mask has shape {tuple(mask.shape)}; give (frames, height, width) with one picture for "
                f"all or one for each of the {clip.frame_count} frames"
            )
        self._mask = mask
        self._size = clip.height, clip.width

    def apply(self, layer: Layer, source: int) -> Layer:
        """`layer`, over the clip's frame `source`, without the foreground."""
        if self._mask is None:
            return layer
        picture = self._mask[source if len(self._mask) > 1 else 0].float()
        if tuple(picture.shape) != self._size:
            picture = F.interpolate(picture[None, None], size=self._size, mode="bilinear", align_corners=False)[0, 0]
        x0, y0, x1, y1 = layer.roi
        return layer._replace(alpha=layer.alpha * (1 - picture[y0:y1, x0:x1].clamp(0, 1)))


def _blend_into_crop(
    frame: Frame, transform: np.ndarray, generated: torch.Tensor, resolution: int, options: CompositeOptions
) -> torch.Tensor:
    if not options.like_reference:
        return blend_into_crop(frame, transform, generated, resolution)
    source = crop_face(frame, transform, resolution) * 2 - 1
    return blend_mouth(generated * 2 - 1, source, mouth_mask(resolution).float()) / 2 + 0.5


def _decode_patches(
    synced: SyncedFaces, frame_of: Mapping[int, Frame], match_color: float, meter: WorkMeter
) -> torch.Tensor | tuple[()]:
    """(n, 3, P, P) patches of some output frames, given with the source's frames."""
    if not frame_of:
        return ()
    meter.count("patches", len(frame_of))
    patches = synced.patches.get(list(frame_of))
    if synced.patches.kind is PatchKind.LATENTS:
        return _decode(synced, patches, meter)
    if match_color == 0 or synced.sampled is None:
        return patches
    sampled = _decode(synced, synced.sampled.get(list(frame_of)), meter)
    relit = []
    for crop, generated, (index, frame) in zip(patches, sampled, frame_of.items(), strict=True):
        given = blend_into_crop(frame, synced.transforms[index], generated, synced.resolution)
        relit.append(with_light_of(crop, given, match_color))
    return torch.stack(relit)


def _decode(synced: SyncedFaces, latents: torch.Tensor, meter: WorkMeter) -> torch.Tensor:
    """(n, 3, R, R) on the CPU, about [0, 1]."""
    with meter.measure("decode", len(latents)):
        return synced.codec.decode(latents).float().cpu() / 2 + 0.5
