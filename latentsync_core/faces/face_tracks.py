"""Every face of a clip, and which of them are synced."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ..video.clip import Clip
from .alignment.align_options import AlignOptions
from .limits import FacePath, TouchLimits, chosen_path
from .tracks import FaceTrack


@dataclass(frozen=True, eq=False)
class FaceTracks:
    """Every face found in a clip, and those that are synced."""

    clip: Clip
    tracks: tuple[FaceTrack, ...]
    shots: tuple[tuple[int, int], ...]  # half-open ranges of frames between cuts, in order; together the whole clip
    align: AlignOptions  # how crops are cut
    limits: TouchLimits  # beyond which a face is left unchanged
    chosen: tuple[int, ...] = (0,)  # track ids; where two share a frame the earlier in this list is synced

    @cached_property
    def path(self) -> FacePath:
        """The chosen face of every frame."""
        return chosen_path(self.tracks, self.shots, self.chosen, self.limits, self.clip.frame_count)
