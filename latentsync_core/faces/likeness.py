"""Finds the person of a clip who looks like the one in a reference picture."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch

from ..errors import FaceError, OptionError
from ..messages import Remedy
from ..video.reading.probing import clip_from_images
from .tracking.find_tracks import track_faces
from .tracks import FaceTrack

MAX_EMBEDDING_DISTANCE = 0.63  # up to which two embeddings match: the equal-error point on photographs


def picture_embedding(picture: torch.Tensor) -> np.ndarray:
    """The embedding (128,) of the largest face in a picture, (h, w, 3) or (1, h, w, 3) float RGB in [0, 1].

    Raises:
        OptionError: the picture has another shape.
        FaceError: it shows no face, or none that is clear enough to identify.
    """
    picture = picture[None] if picture.ndim == 3 else picture
    if picture.ndim != 4 or len(picture) != 1 or picture.shape[-1] < 3:
        raise OptionError(f"the picture of the person has shape {tuple(picture.shape)}; use one picture, (h, w, 3)")
    faces = track_faces(clip_from_images(picture[..., :3].float().cpu().contiguous(), Fraction(25)))
    embedded = [(track.boxes[0], track.embedding) for track in faces.tracks if track.embedding is not None]
    if not embedded:
        raise FaceError("the face in the picture of the person is not clear enough to identify; use a clearer picture")
    _, embedding = max(embedded, key=lambda one: float(np.prod(one[0][2:] - one[0][:2])))
    return embedding


def closest_person(embedding: np.ndarray, tracks: Sequence[FaceTrack]) -> int:
    """The person who has the track nearest to `embedding`.

    Raises:
        FaceError: no track has an embedding, or none is near enough.
    """
    distances = {
        track.track_id: float(np.linalg.norm(track.embedding - embedding))
        for track in tracks
        if track.embedding is not None
    }
    if not distances:
        raise FaceError(
            "no face of the clip is clear enough to compare with a picture", Remedy.CHOOSE_BY_POINT_OR_NUMBER
        )
    nearest = min(distances, key=distances.__getitem__)
    if distances[nearest] > MAX_EMBEDDING_DISTANCE:
        raise FaceError(
            f"nobody in the clip looks like the picture: the nearest face, track {nearest}, is at distance "
            f"{distances[nearest]:.2f}, above the limit of {MAX_EMBEDDING_DISTANCE}",
            Remedy.CHOOSE_BY_POINT_OR_NUMBER,
        )
    return tracks[nearest].person
