"""Marked and found faces become one list: the marked ones first, and one person where they are the same face."""

import numpy as np

from latentsync_core.faces.choose import choose
from latentsync_core.faces.everybody import joined
from tests.made_faces import empty_clip, made_faces, made_track

HERE, THERE = (10, 10, 40, 44), (100, 10, 130, 44)


def test_marked_people_come_first_and_the_others_keep_apart():
    found = [made_track(0, 0, 50, HERE, person=0), made_track(1, 0, 50, (200, 0, 230, 34), person=1)]
    marked = [made_track(0, 20, 40, THERE, person=0, by_hand=True)]
    tracks = joined(marked, found)
    assert [track.track_id for track in tracks] == [0, 1, 2]
    assert [(track.person, track.start, track.by_hand) for track in tracks] == [
        (1, 0, False),
        (2, 0, False),
        (0, 20, True),
    ]


def test_a_small_face_marked_by_hand_is_synced_before_a_large_one_that_was_found():
    tracks = joined([made_track(0, 0, 20, HERE, by_hand=True)], [made_track(0, 0, 50, (0, 0, 90, 90), person=0)])
    faces = choose(made_faces(empty_clip(50, (200, 100)), list(tracks)))
    assert [faces.tracks[number].by_hand for number in faces.chosen] == [True]


def test_where_both_see_one_face_the_mark_counts_and_the_person_is_one():
    found = [made_track(0, 0, 50, HERE, person=3), made_track(1, 60, 90, THERE, person=3)]
    marked = [made_track(0, 20, 30, (12, 11, 42, 45), person=0, by_hand=True)]
    tracks = joined(marked, found)
    assert [track.person for track in tracks] == [0, 0, 0]
    whole = next(track for track in tracks if track.start == 0)
    assert whole.visible.tolist() == [True] * 20 + [False] * 10 + [True] * 20
    assert np.isnan(whole.landmarks[20:30]).all()
    assert np.isfinite(whole.landmarks[whole.visible]).all()


def test_a_found_face_that_is_marked_all_along_goes():
    found = [made_track(0, 10, 20, HERE, person=0)]
    marked = [made_track(0, 0, 50, HERE, person=5, by_hand=True)]
    (track,) = joined(marked, found)
    assert track.by_hand
    assert track.person == 0


def test_a_track_whose_end_is_marked_ends_before():
    found = [made_track(0, 0, 50, HERE, person=0)]
    marked = [made_track(0, 30, 50, HERE, person=0, by_hand=True)]
    short = joined(marked, found)[0]
    assert (short.start, short.stop) == (0, 30)
    assert short.visible.all()


def test_without_marks_or_without_found_faces_nothing_is_lost():
    found = [made_track(0, 0, 10, HERE, person=1), made_track(1, 5, 10, THERE, person=0)]
    assert [track.person for track in joined([], found)] == [0, 1]
    assert joined([made_track(0, 0, 5, HERE, by_hand=True)], [])[0].by_hand
    assert joined([], []) == ()
