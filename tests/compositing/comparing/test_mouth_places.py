"""Where a zoom that follows the mouth looks: at the mouth, steadily, and never across a cut."""

from __future__ import annotations

import dataclasses

import numpy as np

from latentsync_core.compositing.comparing.mouth_places import CENTRE, UNKNOWN, mouth_places
from latentsync_core.faces.alignment.align import crop_size
from tests.made_faces import empty_clip
from tests.synced_faces import synced_faces


def moved(xs: list[float], shots=((0, None),), source_index=None):
    """New faces whose crops, not scaled or turned, begin at these places of the row 10; None: no face."""
    clip = empty_clip(max(len(xs), 2))
    synced = synced_faces(clip)
    transforms = np.full((len(xs), 2, 3), np.nan, np.float32)
    for index, x in enumerate(xs):
        if x is not None:
            transforms[index] = [[1, 0, -x], [0, 1, -10]]
    spans = tuple((first, clip.frame_count if stop is None else stop) for first, stop in shots)
    source_index = np.arange(len(xs)) if source_index is None else np.array(source_index)
    faces = dataclasses.replace(synced.faces, shots=spans)
    return dataclasses.replace(synced, faces=faces, transforms=transforms, source_index=source_index), synced.resolution


def middle(resolution: int, x: float) -> float:
    return x + CENTRE[0] * crop_size(resolution)[0]


def test_the_place_is_the_mouth_of_the_crop():
    synced, resolution = moved([100.0] * 5)
    places = mouth_places(synced)
    assert np.abs(places[:, 0] - middle(resolution, 100)).max() <= 0.5
    assert np.abs(places[:, 1] - (10 + CENTRE[1] * crop_size(resolution)[1])).max() <= 0.5
    assert places.dtype == "<i2"


def test_a_trembling_face_is_shown_steadily():
    places = mouth_places(moved([100.0, 108.0] * 20)[0])
    assert np.ptp(places[6:-6, 0]) <= 2


def test_a_face_that_moves_is_followed_without_lag():
    synced, resolution = moved([100.0 + 3 * frame for frame in range(30)])
    wanted = [middle(resolution, 100 + 3 * frame) for frame in range(30)]
    assert np.abs(mouth_places(synced)[:, 0] - wanted).max() <= 0.5


def test_frames_without_a_face_are_bridged_within_the_shot_alone():
    synced, resolution = moved([100.0] * 4 + [None] * 4 + [500.0] * 4 + [None] * 4, shots=((0, 6), (6, 12), (12, None)))
    places = mouth_places(synced)[:, 0]
    assert np.abs(places[:6] - middle(resolution, 100)).max() <= 0.5
    assert np.abs(places[6:12] - middle(resolution, 500)).max() <= 0.5
    assert (places[12:] == UNKNOWN).all()


def test_a_looped_clip_jumps_where_it_begins_again():
    track = [100.0 + 40 * frame for frame in range(5)]
    synced, resolution = moved(track * 2, source_index=[0, 1, 2, 3, 4] * 2)
    places = mouth_places(synced)
    assert np.array_equal(places[:5], places[5:])
    assert abs(places[5, 0] - middle(resolution, 100)) <= 0.5


def test_a_clip_without_any_face_has_no_place():
    assert (mouth_places(moved([None] * 3)[0]) == UNKNOWN).all()
