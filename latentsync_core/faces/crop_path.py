"""The crop transforms of the chosen faces, one per frame, from temporally smoothed landmarks."""

from __future__ import annotations

import numpy as np

from ..runs import runs_where
from .alignment.align import align_track
from .face_tracks import FaceTracks


def path_transforms(faces: FaceTracks, resolution: int) -> np.ndarray:
    """(N, 2, 3) float32: of every frame of the clip, source pixels → pixels of a crop of `resolution`.

    NaN where there is no chosen face and where it is left unchanged (`FacePath.blend` 0). Smoothing uses those frames
    too, but never reaches across the ends of a track.
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
