"""Where the generated mouths are in a result's frames, steadily enough for a zoom that follows them."""

from __future__ import annotations

import numpy as np

from ...faces.alignment.align import crop_size
from ...imaging import affine
from ...runs import runs
from ...sampling.synced_faces import SyncedFaces

UNKNOWN = -32768  # in the place of all three numbers where no mouth is near
CENTRE = (0.5, 0.66)  # of an aligned crop's width and height: between the lips
SIDE = 0.75  # of its width: what a zoom shows, from the nose's tip to below the chin
AVERAGED_SECONDS = 0.4  # over which place and size are averaged, so that a zoom doesn't shake


def mouth_places(synced: SyncedFaces) -> np.ndarray:
    """The mouth of every output frame: (F, 3) little-endian int16, x and y of its middle and the side of the square to
    zoom to, in displayed pixels.

    Where a face isn't seen, or isn't synced, the place is interpolated within its shot. UNKNOWN where none of the
    shot's frames has a mouth.
    """
    places = _measured(synced)
    shots = _shot_of_frames(synced)
    radius = max(1, round(AVERAGED_SECONDS / 2 * float(synced.output_clip.fps)))
    table = np.full(places.shape, UNKNOWN, "<i2")
    for first, stop in runs(shots, _passages(synced.source_index)):
        part = places[first:stop]
        known = np.flatnonzero(np.isfinite(part[:, 0]))
        if len(known):
            frames = np.arange(stop - first)
            filled = np.stack([np.interp(frames, known, part[known, column]) for column in range(3)], 1)
            table[first:stop] = _averaged(filled, radius).round().clip(UNKNOWN + 1, -UNKNOWN - 1)
    return table


def _measured(synced: SyncedFaces) -> np.ndarray:
    """(F, 3) float64 from the crops' transforms; NaN where there is no face."""
    width, height = crop_size(synced.resolution)
    middle = np.array([CENTRE[0] * width, CENTRE[1] * height])
    places = np.full((len(synced.transforms), 3), np.nan)
    for index in np.flatnonzero(np.isfinite(synced.transforms).all(axis=(1, 2))):
        inverse = affine.invert(synced.transforms[index])
        scale = np.sqrt(abs(np.linalg.det(inverse[:, :2])))  # source pixels per crop pixel
        places[index] = *affine.map_points(inverse, middle), SIDE * width * scale
    return places


def _shot_of_frames(synced: SyncedFaces) -> np.ndarray:
    """(F,) int64: the number of the shot that each output frame shows."""
    starts = [first for first, _ in synced.faces.shots]
    return np.searchsorted(starts, synced.source_index, side="right")


def _passages(source_index: np.ndarray) -> np.ndarray:
    """(F,) int64, the same number in frames that follow each other in the clip, in either direction, or repeat."""
    return np.concatenate([[0], np.cumsum(np.abs(np.diff(source_index)) > 1)])


def _averaged(values: np.ndarray, radius: int) -> np.ndarray:
    """The mean over each row's neighbours, as many on either side; fewer at the ends."""
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    rows = np.arange(len(values))
    reach = np.minimum(np.minimum(rows, len(values) - 1 - rows), radius)
    return (sums[rows + reach + 1] - sums[rows - reach]) / (2 * reach + 1)[:, None]
