"""The way of the chosen faces' crops: one transform a frame from steadied landmarks, none where nothing is drawn."""

from __future__ import annotations

import numpy as np

from ..runs import runs_where
from .alignment.align import align_track
from .face_tracks import FaceTracks


def path_transforms(faces: FaceTracks, resolution: int) -> np.ndarray:
    """(N, 2, 3) float32 of every frame of the clip, source pixel → pixel of a crop of `resolution`.

    NaN where no chosen face is, and where it is left as it is (`FacePath.blend` 0). Steadying sees those frames too,
    but nothing beyond the ends of a track.
    """
    path, clip = faces.path, faces.clip
    transforms = align_track(
        path.landmarks,
        path.visible,
        resolution,
        faces.align,
        clip.sample_aspect,
        segments=runs_where(path.track >= 0, path.track),
        times=clip.times,
    )
    transforms[path.blend == 0] = np.nan
    return transforms
