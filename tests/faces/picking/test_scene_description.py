"""What a picker is told: the clip's persons, their boxes in every frame, and what a choice would sync."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from latentsync_core.faces.limits import Outcome, TouchLimits
from latentsync_core.faces.picking.scene_description import (
    HIDDEN,
    box_table,
    describe_choice,
    describe_scene,
    portrait_jpeg,
)
from tests.made_faces import empty_clip, made_faces, make_track

BOX, OTHER = (10.4, 5.0, 30.0, 29.6), (40, 6, 60, 30)


@pytest.fixture(scope="module")
def faces():
    """Person 0 in both shots, longer in the second; person 1 in the first, away for two frames."""
    tracks = [
        make_track(0, 0, 10, BOX, person=0),
        make_track(1, 2, 10, OTHER, person=1, gap=range(4, 6)),
        make_track(2, 10, 30, BOX, person=0, yaw=[0.0] * 12 + [80.0] * 8),
    ]
    limits = TouchLimits(max_yaw=55, min_size=0, fade_frames=0)
    return made_faces(empty_clip(30), tracks, ((0, 10), (10, 30)), limits, chosen=(0, 2))


def test_persons_tracks_and_shots_are_described(faces):
    described = json.loads(json.dumps(describe_scene(faces)))
    assert (described["frames"], described["size"], described["seconds"]) == (30, [64, 48], 1.2)
    assert described["shots"] == [[0, 10], [10, 30]]
    assert [(one["track"], one["person"], one["frames"]) for one in described["tracks"]] == [
        (0, 0, [0, 10]),
        (1, 1, [2, 10]),
        (2, 0, [10, 30]),
    ]
    assert described["tracks"][1]["visible"] == [[2, 4], [6, 10]]


def test_what_is_in_front_of_a_mouth_is_described_track_by_track(faces):
    assert describe_scene(faces)["occluded"] == []
    occluded = np.full(30, -1)
    occluded[8:10], occluded[10:13], occluded[29] = 0, 2, 2
    described = json.loads(json.dumps(describe_scene(faces, occluded)))
    assert described["occluded"] == [[8, 10, 0], [10, 13, 2], [29, 30, 2]]


def test_a_person_is_shown_by_the_track_that_is_seen_longest(faces):
    assert describe_scene(faces)["persons"] == [
        {"person": 0, "letter": "A", "portrait": 2},
        {"person": 1, "letter": "B", "portrait": 1},
    ]


def test_the_table_has_every_tracks_box_of_every_frame(faces):
    table = np.frombuffer(box_table(faces), "<i2").reshape(-1, 4)
    assert len(table) == 10 + 8 + 20
    assert table[0].tolist() == [10, 5, 30, 30]
    assert table[10].tolist() == list(OTHER)
    assert (table[12:14] == HIDDEN).all()
    assert not (table[14:] == HIDDEN).any()


def test_a_choice_is_described_by_its_tracks_and_every_frames_outcome(faces):
    described = json.loads(json.dumps(describe_choice(faces)))
    assert described["chosen"] == [0, 2]
    spans = [(first, stop) for first, stop, _, _ in described["runs"]]
    assert spans[0][0] == 0
    assert spans[-1][1] == 30
    for first, stop, outcome, track in described["runs"]:
        assert set(faces.path.outcome[first:stop]) == {Outcome[outcome.upper()]}
        assert set(faces.path.track[first:stop]) == {track}
    assert {outcome for _, _, outcome, _ in described["runs"]} == {"synced", "turned_away"}


def test_a_portrait_is_a_picture_of_the_track(faces):
    picture = Image.open(io.BytesIO(portrait_jpeg(faces.tracks[2])))
    assert picture.size == (128, 128)
    assert np.abs(np.asarray(picture, int) - faces.tracks[2].portrait).max() <= 3


def test_a_clip_without_faces_is_described(faces):
    nobody = made_faces(empty_clip(5), [], chosen=())
    assert (describe_scene(nobody)["tracks"], describe_scene(nobody)["persons"]) == ([], [])
    assert box_table(nobody) == b""
    assert describe_choice(nobody) == {"chosen": [], "runs": [[0, 5, "no_face", -1]]}
