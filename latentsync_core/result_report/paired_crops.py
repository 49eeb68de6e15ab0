"""Streams the same faces of a result and of the clip that it was made from, aligned alike, in bounded stretches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import VideoError
from ..faces.alignment.align import crop_face
from ..video.clip import Clip
from ..video.reading.frame_sequence import FrameSequence

RESOLUTION = 128  # pixels a side of the crops; the carried networks take these
STRETCH = 250  # frames held at most, of each face: ten seconds at 25 fps
TIME_TOLERANCE = 2e-3  # seconds: containers round stamps to a millisecond


@dataclass(frozen=True, eq=False)
class PairedCrops:
    """n consecutive frames of one face that is seen in all of them."""

    person: int
    first: int  # the result's frame of the first one
    source: Tensor  # (n, 3, RESOLUTION, RESOLUTION) float32 in [0, 1]
    result: Tensor  # the same of the result

    @property
    def frames(self) -> range:
        """The result's frames."""
        return range(self.first, self.first + len(self.result))


def match_frames(source: Clip, result: Clip) -> np.ndarray:
    """(F,) int64: the source's frame that each of the result's F frames was made from; -1 beyond the source's end.

    Both begin with their first frame; a frame is shown until the next one's time.

    Raises:
        VideoError: their displayed pictures differ in size.
    """
    sizes = [(clip.width, clip.height) for clip in (source, result)]
    if sizes[0] != sizes[1]:
        raise VideoError(
            f"{result.name} shows {sizes[1][0]}x{sizes[1][1]} pixels and {source.name} {sizes[0][0]}x{sizes[0][1]}: "
            f"give the clip that the result was made from."
        )
    times = result.times
    index = np.searchsorted(source.times, times + TIME_TOLERANCE, side="right") - 1
    return np.where(times < source.duration - TIME_TOLERANCE, index, -1).astype(np.int64)


def paired_crops(
    source: Clip, result: Clip, index: np.ndarray, transforms: Sequence[np.ndarray]
) -> Iterator[PairedCrops]:
    """Yields every stretch of every person in which they are seen, as soon as it ends or has STRETCH frames.

    Args:
        index: (F,) as `match_frames` gives it.
        transforms: of each person (N, 2, 3) per frame of the source, as `path_transforms` gives them for RESOLUTION;
            NaN where the person isn't seen.

    Raises:
        VideoError: a clip can't be read.
    """
    held: list[list[tuple[Tensor, Tensor]]] = [[] for _ in transforms]
    matched = np.flatnonzero(index >= 0)
    at = -1

    def stretch(person: int) -> PairedCrops:
        pairs, held[person] = held[person], []
        before, after = (torch.stack(crops) for crops in zip(*pairs, strict=True))
        return PairedCrops(person, at - len(pairs), before, after)

    with FrameSequence(source) as sources, FrameSequence(result) as results:
        frames = zip(
            sources.frames(index[matched].tolist()), results.frames(matched.tolist()), matched.tolist(), strict=True
        )
        for before, after, number in frames:
            at = number
            for person, transform in enumerate(transforms):
                placed = transform[index[number]]
                is_seen = bool(np.isfinite(placed).all())
                if held[person] and (not is_seen or len(held[person]) == STRETCH):
                    yield stretch(person)
                if is_seen:
                    pair = (crop_face(before, placed, RESOLUTION), crop_face(after, placed, RESOLUTION))
                    held[person].append(pair)
        at += 1
        for person in range(len(transforms)):
            if held[person]:
                yield stretch(person)
