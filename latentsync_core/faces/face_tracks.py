"""Every face of a clip, and which of them are synced."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..video.clip import Clip
from .alignment.align_options import AlignOptions
from .limits import FacePath, TouchLimits, chosen_path
from .speaking import SpeechSegment, speaking_track
from .tracks import FaceTrack

TURN_MARGIN = 0.3  # seconds before and after its speech in which a face is synced, besides the frames of its fade


@dataclass(frozen=True, eq=False)
class FaceTracks:
    """Every face found in a clip, and those that are synced."""

    clip: Clip
    tracks: tuple[FaceTrack, ...]
    shots: tuple[tuple[int, int], ...]  # half-open ranges of frames between cuts, in order; together the whole clip
    align: AlignOptions  # how crops are cut
    limits: TouchLimits  # beyond which a face is left unchanged
    chosen: tuple[int, ...] = (0,)  # track ids; where two share a frame the earlier in this list is synced
    speech: tuple[SpeechSegment, ...] | None = None  # where a chosen face speaks and is synced; None: anywhere

    @cached_property
    def path(self) -> FacePath:
        """The chosen face of every frame."""
        return chosen_path(
            self.tracks, self.shots, self.chosen, self.limits, self.clip.frame_count, self._speaking_track()
        )

    def _speaking_track(self) -> np.ndarray | None:
        """(N,) the track that speaks in each frame, with the margins of its turns."""
        if self.speech is None:
            return None
        margin = round(TURN_MARGIN * float(self.clip.fps)) + self.limits.fade_frames
        return speaking_track(self.speech, self.clip.frame_count, margin)

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
