"""Results and what they were made from, each behind a key by which the page may compare the two.

As of scenes, a key is a random text that only this server knows the meaning of, and no path.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from ..latentsync_core.compositing.comparing.filmed_copy import shows_as_filmed
from ..latentsync_core.compositing.comparing.mouth_places import mouth_places
from ..latentsync_core.sampling.synced_faces import SyncedFaces
from ..latentsync_core.video.clip import Clip
from ..latentsync_core.video.writing.proxy import MAX_HEIGHT

COMPARISON = "latentsync_comparison"  # in what a node returns for the page: the comparison's key
KEPT = 64  # comparisons that stay known; some bytes a frame each


@dataclass(frozen=True, eq=False)
class Comparison:
    """A result, and the clip's frames that it shows."""

    played: Path  # the result, or the small copy of it that the page plays
    is_reduced: bool  # whether it is a copy
    clip: Clip  # without its frames where those were in memory
    stretched: Clip | None  # with the result's stamps, where those are scaled
    source_index: np.ndarray  # (F,) int64: the clip's frame that each frame shows
    pts: np.ndarray  # (F,) int64 ticks of `output_clip.time_base`
    mouths: tuple[np.ndarray, ...]  # each speaker's (F, 3) int16, see mouth_places
    changed: np.ndarray  # (F,) bool: whether a new mouth shows
    occluded: np.ndarray  # (F,) bool: whether something in front of a mouth was left unchanged
    images: weakref.ref[torch.Tensor] | None = None  # the frames that are in memory, as long as ComfyUI keeps them
    id: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def output_clip(self) -> Clip:
        return self.stretched or self.clip

    @property
    def max_height(self) -> int | None:
        """Pixels to which the filmed side is reduced as the result was; None where it wasn't."""
        return MAX_HEIGHT if self.is_reduced else None

    @property
    def times(self) -> np.ndarray:
        """(F,) float64 seconds at which the frames are shown, after the first one."""
        return (self.pts - self.pts[0]) * float(self.output_clip.time_base)

    def filmed_clips(self) -> tuple[Clip, Clip] | None:
        """The clip with its frames, and as `output_clip`; None where the frames were in memory and are gone."""
        clip = self.clip
        if self.images is not None:
            images = self.images()
            if images is None:
                return None
            clip = replace(clip, images=images[..., :3])
        return clip, clip if self.stretched is None else replace(self.stretched, images=clip.images)

    @cached_property
    def plays_own_file(self) -> bool:
        """Whether the clip's own file is the filmed side as it is. Raises VideoError where it can't be read."""
        return not self.is_reduced and shows_as_filmed(self.clip, self.output_clip, self.source_index)

    def copy_name(self) -> str:
        """The file name of the filmed side's copy, the same for all results with the same frames at the same times."""
        digest = hashlib.sha256(self.source_index.tobytes() + self.pts.tobytes())
        clip = self.clip
        source = self.id if clip.identity is None else repr(clip.identity)
        facts = (source, clip.pictures, clip.first_frame, clip.deinterlace, self.output_clip.time_base, self.max_height)
        digest.update(repr(facts).encode())
        return f"{digest.hexdigest()[:32]}.mp4"


class Comparisons:
    """The latest comparisons by their keys."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Comparison] = OrderedDict()
        self._lock = threading.Lock()  # nodes add in their thread, the server looks up in its own

    def add(self, comparison: Comparison) -> str:
        """Makes it known; returns its key."""
        with self._lock:
            self._known[comparison.id] = comparison
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return comparison.id

    def find(self, key: str) -> Comparison | None:
        """The comparison of a key; None where there is none, or none any more."""
        with self._lock:
            return self._known.get(key)


comparisons = Comparisons()


def comparison_ui(
    synced_per_speaker: Sequence[SyncedFaces],
    played: Path,
    is_reduced: bool,
    occluded: np.ndarray,
    frames: torch.Tensor | None = None,
) -> dict[str, list[str]]:
    """What a node returns so that the page can compare its result with the clip.

    `frames` are what the frames of a clip in memory are a part of, where that outlasts them.
    """
    first = synced_per_speaker[0]
    clip, images, stretched = first.faces.clip, first.faces.clip.images, first.stretched
    comparison = Comparison(
        played=played,
        is_reduced=is_reduced,
        clip=replace(clip, images=None),
        stretched=None if stretched is None else replace(stretched, images=None),
        source_index=first.source_index,
        pts=first.pts,
        mouths=tuple(mouth_places(synced) for synced in synced_per_speaker),
        changed=np.any([synced.blend > 0 for synced in synced_per_speaker], axis=0),
        occluded=occluded,
        images=None if images is None else weakref.ref(images if frames is None else frames),
    )
    return {COMPARISON: [comparisons.add(comparison)]}
