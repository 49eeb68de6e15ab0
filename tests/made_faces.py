"""Face tracks without any picture: made up for a clip of so many frames, to test what is done with them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch

from latentsync_core.faces.alignment.align_options import AlignOptions
from latentsync_core.faces.face_tracks import FaceTracks
from latentsync_core.faces.limits import TouchLimits
from latentsync_core.faces.tracks import FaceTrack
from latentsync_core.video.clip import Clip
from latentsync_core.video.reading.probing import clip_from_images

SCENE_BOX = (550, 204, 829, 499)  # of the face in the carried scene's first twelve frames


def empty_clip(frames: int, size: tuple[int, int] = (64, 48)) -> Clip:
    """Black frames of (width, height) at 25 fps."""
    return clip_from_images(torch.zeros(frames, size[1], size[0], 3), Fraction(25))


def make_track(
    number: int,
    start: int,
    stop: int,
    box: tuple[float, float, float, float] = (10, 10, 40, 44),
    person: int = 0,
    yaw: float | list[float] = 0.0,
    gap: range = range(0),
    sharpness: float = 1.0,
    flip_error: float = 0.01,
    embedding: np.ndarray | None = None,
    by_hand: bool = False,
    opening: float | np.ndarray = 0.0,
) -> FaceTrack:
    """A face that stays in one place; `gap` are frames of the clip in which it isn't seen."""
    count = stop - start
    visible = np.array([frame not in gap for frame in range(start, stop)])
    x0, y0, x1, y1 = box
    points = [[x0 + (x1 - x0) * x, y0 + (y1 - y0) * y] for x, y in ((0.3, 0.2), (0.7, 0.2), (0.5, 0.5))]
    boxes, landmarks = (np.repeat(np.array(values, np.float32)[None], count, 0) for values in (box, points))
    pose = np.zeros((count, 3), np.float32)
    pose[:, 0] = yaw
    sharp, flip_errors = (np.full(count, value, np.float32) for value in (sharpness, flip_error))
    openings = np.full(count, opening, np.float32)
    for values in (boxes, landmarks, pose, sharp, flip_errors, openings):
        values[~visible] = np.nan
    portrait = np.full((128, 128, 3), 40 * (number % 6), np.uint8)
    return FaceTrack(
        number, start, boxes, landmarks, visible, pose, sharp, flip_errors, openings, portrait, embedding, person,
        by_hand,
    )  # fmt: skip


def made_faces(
    clip: Clip,
    tracks: list[FaceTrack],
    shots: tuple[tuple[int, int], ...] | None = None,
    limits: TouchLimits | None = None,
    chosen: tuple[int, ...] = (0,),
) -> FaceTracks:
    """These tracks as a clip's faces; one shot unless others are given."""
    shots = shots or ((0, clip.frame_count),)
    return FaceTracks(clip, tuple(tracks), shots, AlignOptions(), limits or TouchLimits(min_size=0), chosen)
