"""Every face of a clip, and which of them are synced."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

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

    def chosen_places(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the chosen faces are across the picture.

        Returns:
            (n,) float64 seconds after the clip's first frame, rising, and (n,) float64: the middle of the face of that
            frame, -1 at the picture's left edge and 1 at its right.
        """
        middles = np.full(self.clip.frame_count, np.nan)
        for number in reversed(self.chosen):  # the first in the list counts where several share a frame
            track = self.tracks[number]
            seen = track.start + np.flatnonzero(track.visible)
            middles[seen] = track.boxes[track.visible][:, [0, 2]].mean(axis=1) / self.clip.width * 2 - 1
        known = ~np.isnan(middles)
        return self.clip.times[known], middles[known].clip(-1, 1)
