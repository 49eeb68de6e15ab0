"""Streams patches with their regions: looks at every face, and a few frames ahead, so that regions are steady."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...sampling.synced_faces import SyncedFaces
from ...video.frame import Frame
from ..composite_options import CompositeOptions
from ..compositor import mouth_region, paste_region
from .color_match import light_gain, steady_gain, with_gain
from .contour import OUTLINES, contour_of, face_views, on_view, region_mask, usual_contour
from .steadiness import AHEAD, steady_contour

REGION_SIZE = 128  # pixels: the side of the regions that follow a contour; their edges are soft
CROP_WIDTH_UNITS = 75 / 100  # template units per percent of the crop's width
PAST = 48  # frames that are remembered, for the light of a shot
WHOLE_FRAMES = 12  # in which a region passes from all that is generated to a contour, once the mesh finds a face
LOOK_INTERVAL = 2  # frames of a shot from one look at the face to the next; regions cover their neighbours' contours


class ShapedPatch(NamedTuple):
    """A patch and the part of it that shows."""

    picture: Tensor  # (3, P, P) RGB, about [0, 1]
    region: Tensor | None  # (R, R) in [0, 1], any R; None: all of it


Patches = Iterator[tuple[int, Frame, list[Tensor | None]]]
ShapedPatches = Iterator[tuple[int, Frame, list[ShapedPatch | None]]]


def shaped_patches(
    items: Patches, synced_per_speaker: tuple[SyncedFaces, ...], options: CompositeOptions
) -> ShapedPatches:
    """`items`, (output frame's index, frame, patch of each speaker), with what shows of each patch, in their order.

    Where regions follow the face's contour or light is matched, a few frames are held, always as many.
    """
    speakers = [_Speaker(one, options) for one in synced_per_speaker]
    ahead = AHEAD if any(speaker.looks_ahead for speaker in speakers) else 0
    held: deque[tuple[int, Frame, list[Tensor | None]]] = deque()
    for item in items:
        for speaker, patch in zip(speakers, item[2], strict=True):
            speaker.look(item[0], item[1], patch)
        held.append(item)
        if len(held) > ahead:
            yield _shaped(held.popleft(), speakers)
    while held:
        yield _shaped(held.popleft(), speakers)


def _shaped(
    item: tuple[int, Frame, list[Tensor | None]], speakers: Sequence[_Speaker]
) -> tuple[int, Frame, list[ShapedPatch | None]]:
    index, frame, patches = item
    return index, frame, [speaker.shape_next(patch) for speaker, patch in zip(speakers, patches, strict=True)]


class _Look(NamedTuple):
    """What was found out about one frame."""

    stretch: tuple[int, int] | None  # see SyncedFaces.stretch_of; None: no patch
    contour: np.ndarray | None = None
    gain: np.ndarray | None = None
    repeats: int = 0  # frames since the look that this one repeats


class _Speaker:
    """What is known about one speaker's face in the frames around the one at hand."""

    def __init__(self, synced: SyncedFaces, options: CompositeOptions) -> None:
        self._synced, self._options = synced, options
        self._outline = None if options.like_reference else OUTLINES.get(options.region)
        self._matches_color = options.match_color > 0 and not options.like_reference
        self._fixed = paste_region(synced.resolution, options)
        self._kept = on_view(mouth_region(synced.resolution)[None]).clamp(0, 1)
        self._looks: deque[_Look] = deque()
        self._at = 0  # the place in `_looks` of the next frame to be shaped
        self._whole = 0.0  # 0 to 1: how far all that is generated shows, and not a contour's inside

    @property
    def looks_ahead(self) -> bool:
        return self._outline is not None or self._matches_color

    def look(self, index: int, frame: Frame, patch: Tensor | None) -> None:
        """Takes note of the next frame."""
        if patch is None or not self.looks_ahead:
            self._looks.append(_Look(None))
            return
        synced = self._synced
        stretch = synced.stretch_of(index)
        last = self._looks[-1] if self._looks else _Look(None)
        if last.stretch == stretch and last.repeats + 1 < LOOK_INTERVAL:
            self._looks.append(last._replace(gain=None, repeats=last.repeats + 1))
            return
        views = face_views(frame, synced.transforms[index], patch, self._kept, synced.resolution)
        if views is None:
            self._looks.append(_Look(stretch))
            return
        contour = contour_of(views, self._outline) if self._outline else None
        gain = light_gain(views, self._kept) if self._matches_color else None
        self._looks.append(_Look(stretch, contour, gain))

    def shape_next(self, patch: Tensor | None) -> ShapedPatch | None:
        """The shape of the first frame that has none yet; its patch is `patch`."""
        looks, at = list(self._looks), self._at
        if at < PAST:
            self._at += 1
        else:
            self._looks.popleft()
        if patch is None:
            return None
        if not self.looks_ahead:
            return ShapedPatch(patch, self._fixed)
        stretch, first, stop = looks[at].stretch, at, at + 1
        while first > 0 and looks[first - 1].stretch == stretch:
            first -= 1
        while stop < len(looks) and looks[stop].stretch == stretch:
            stop += 1
        options, shot = self._options, looks[first:stop]
        if self._matches_color:
            patch = with_gain(patch, steady_gain([look.gain for look in shot], at - first), options.match_color)
        if self._outline is None:
            return ShapedPatch(patch, self._fixed)
        contours = [look.contour for look in shot]
        distances = steady_contour(contours, at - first, usual_contour(self._outline))
        region = region_mask(distances, self._outline, REGION_SIZE, options.feather, options.grow * CROP_WIDTH_UNITS)
        is_unknown = self._outline.needs_face and all(contour is None for contour in contours)
        step = 1.0 if first == at else 1 / WHOLE_FRAMES
        self._whole = min(self._whole + step, 1.0) if is_unknown else max(self._whole - step, 0.0)
        region = region * mouth_region(REGION_SIZE)  # beyond that the patch shows nothing new
        return ShapedPatch(patch, torch.lerp(region, mouth_region(REGION_SIZE, options.feather), self._whole))
