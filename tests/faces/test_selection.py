"""Who is synced: by size, by facing the camera, by place, number, point and mask, and with single tracks on and off."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from latentsync_core.errors import FaceError, LatentSyncError, OptionError
from latentsync_core.faces import likeness
from latentsync_core.faces.selection import ChooseBy, FaceChoice, check_no_shared_faces, choose, read_track_list
from tests.made_faces import empty_clip, made_faces, make_track

LEFT, RIGHT, BIG = (5, 10, 25, 34), (70, 12, 90, 36), (40, 5, 90, 65)
SHOTS = ((0, 50), (50, 100))


@pytest.fixture(scope="module")
def faces():
    """Two shots: persons 1 (left) and 2 (right) together, then 0 (large, in profile) with 2 at its left."""
    tracks = [
        make_track(0, 0, 50, RIGHT, person=2, yaw=10),
        make_track(1, 0, 50, LEFT, person=1, yaw=40),
        make_track(2, 50, 100, BIG, person=0, yaw=70),
        make_track(3, 60, 100, LEFT, person=2, yaw=5),
    ]
    return made_faces(empty_clip(100, (100, 70)), tracks, SHOTS)


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        (FaceChoice(), {2}),
        (FaceChoice(ChooseBy.FRONTAL), {0, 3}),
        (FaceChoice(ChooseBy.LEFT), {1, 3}),
        (FaceChoice(ChooseBy.INDEX, person=1), {1}),
        (FaceChoice(ChooseBy.POINT, point=(80, 20), frame=3), {0, 3}),
        (FaceChoice(ChooseBy.POINT, point=(30, 38), frame=3), {1}),  # a little beside the face
        (FaceChoice(ChooseBy.INDEX, person=1, on=(3,)), {1, 3}),
        (FaceChoice(ChooseBy.FRONTAL, off=(0,)), {3}),
        (FaceChoice(ChooseBy.INDEX, person=1, off=(1,)), set()),
    ],
)
def test_the_ways_to_choose(faces, choice, chosen):
    assert set(choose(faces, choice).chosen) == chosen


def test_tracks_switched_on_come_first_where_two_share_a_frame(faces):
    path = choose(faces, FaceChoice(ChooseBy.INDEX, person=1, on=(0,))).path
    assert set(path.track[:50]) == {0}


def test_a_mask_means_the_person_who_is_most_under_it(faces):
    mask = torch.zeros(35, 50)  # half the clip's size
    mask[5:18, 35:46] = 1
    assert set(choose(faces, FaceChoice(ChooseBy.MASK, frame=10), mask=mask).chosen) == {0, 3}
    moving = torch.zeros(100, 70, 100)
    moving[70:, 10:34, 5:25] = 1
    assert set(choose(faces, FaceChoice(ChooseBy.MASK), mask=moving).chosen) == {0, 3}


def test_nobody_meant_is_said_with_what_there_is(faces):
    with pytest.raises(FaceError, match=r"no face is at 48, 66 in frame 3; that frame has faces around .*80, 24"):
        choose(faces, FaceChoice(ChooseBy.POINT, point=(48, 66), frame=3))
    with pytest.raises(FaceError, match="no face is under the mask"):
        choose(faces, FaceChoice(ChooseBy.MASK), mask=torch.zeros(70, 100))


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (FaceChoice(ChooseBy.INDEX, person=3), r"there is no person D \(3\); the clip has persons A to C \(0 to 2\)"),
        (FaceChoice(ChooseBy.POINT, frame=100), "no frame 100; the clip has frames 0 to 99"),
        (FaceChoice(ChooseBy.POINT, point=(100, 3)), "outside the picture of 100×70"),
        (FaceChoice(on=(9,)), "no track 9; the clip has tracks 0 to 3"),
        (FaceChoice(ChooseBy.PICTURE), "needs a picture"),
        (FaceChoice(ChooseBy.MASK), "needs a mask"),
    ],
)
def test_a_choice_that_does_not_fit_is_refused_with_the_way_out(faces, choice, words):
    with pytest.raises(OptionError, match=words):
        choose(faces, choice)


def test_a_track_both_on_and_off_is_refused():
    with pytest.raises(OptionError, match=r"\[2\] are both on and off"):
        FaceChoice(on=(1, 2), off=(2,))


def test_two_voices_for_one_face_are_refused(faces):
    one, other = (choose(faces, FaceChoice(ChooseBy.INDEX, person=p)) for p in (2, 1))
    check_no_shared_faces([one, other])
    with pytest.raises(OptionError, match="two voices drive the same face, track 0 in frame 0"):
        check_no_shared_faces([one, other, choose(faces, FaceChoice(ChooseBy.FRONTAL))])


def test_track_lists_as_they_are_typed():
    assert read_track_list(" 3, 5-7;9 3 ") == (3, 5, 6, 7, 9)
    assert read_track_list("") == ()
    for wrong in ("a", "7-5", "-3", "1.5", "0-999999999", "0-999999,0-999999"):
        with pytest.raises(OptionError):
            read_track_list(wrong)


@given(st.text(max_size=40))
def test_any_text_is_a_list_or_refused(text):
    try:
        numbers = read_track_list(text)
    except LatentSyncError:
        return
    assert all(number >= 0 for number in numbers)
    assert len(set(numbers)) == len(numbers)


def test_the_person_in_a_picture_is_the_one_nearest_to_it(faces):
    rng = np.random.default_rng(0)
    looks = {person: rng.normal(0, 0.1, 128).astype(np.float32) for person in range(3)}
    known = dataclasses.replace(
        faces, tracks=tuple(dataclasses.replace(t, embedding=looks[t.person]) for t in faces.tracks)
    )
    near, far = looks[1] + np.float32(0.01), looks[1] + np.float32(1)
    assert likeness.closest_person(near, known.tracks) == 1
    with pytest.raises(FaceError, match="nobody in the clip looks like the picture"):
        likeness.closest_person(far, known.tracks)
    with pytest.raises(FaceError, match="no face of the clip is clear enough"):
        likeness.closest_person(near, faces.tracks)
