"""Marked and found faces become one list: the marked ones first, and one person where they are the same face."""

import dataclasses
import typing

import numpy as np
import pytest

from latentsync_core.faces.cache import read_faces, write_faces
from latentsync_core.faces.find import merge_tracks
from latentsync_core.faces.limits import Outcome
from latentsync_core.faces.report import report_data, report_text
from latentsync_core.faces.selection import choose
from latentsync_core.faces.tracks import PER_FRAME, FaceTrack
from tests.made_faces import empty_clip, made_faces, make_track

HERE, THERE = (10, 10, 40, 44), (100, 10, 130, 44)


def test_marked_people_come_first_and_the_others_keep_apart():
    found = [make_track(0, 0, 50, HERE, person=0), make_track(1, 0, 50, (200, 0, 230, 34), person=1)]
    marked = [make_track(0, 20, 40, THERE, person=0, by_hand=True)]
    tracks = merge_tracks(marked, found)
    assert [track.track_id for track in tracks] == [0, 1, 2]
    assert [(track.person, track.start, track.by_hand) for track in tracks] == [
        (1, 0, False),
        (2, 0, False),
        (0, 20, True),
    ]


def test_a_small_face_marked_by_hand_is_synced_before_a_large_one_that_was_found():
    tracks = merge_tracks([make_track(0, 0, 20, HERE, by_hand=True)], [make_track(0, 0, 50, (0, 0, 90, 90), person=0)])
    faces = choose(made_faces(empty_clip(50, (200, 100)), list(tracks)))
    assert [faces.tracks[number].by_hand for number in faces.chosen] == [True]


def test_where_both_see_one_face_the_mark_counts_and_the_person_is_one():
    found = [make_track(0, 0, 50, HERE, person=3), make_track(1, 60, 90, THERE, person=3)]
    marked = [make_track(0, 20, 30, (12, 11, 42, 45), person=0, by_hand=True)]
    tracks = merge_tracks(marked, found)
    assert [track.person for track in tracks] == [0, 0, 0]
    whole = next(track for track in tracks if track.start == 0)
    assert whole.visible.tolist() == [True] * 20 + [False] * 10 + [True] * 20
    assert np.isnan(whole.landmarks[20:30]).all()
    assert np.isfinite(whole.landmarks[whole.visible]).all()


def test_a_found_face_that_is_marked_all_along_goes():
    found = [make_track(0, 10, 20, HERE, person=0)]
    marked = [make_track(0, 0, 50, HERE, person=5, by_hand=True)]
    (track,) = merge_tracks(marked, found)
    assert track.by_hand
    assert track.person == 0


def test_a_track_whose_end_is_marked_ends_before():
    found = [make_track(0, 0, 50, HERE, person=0)]
    marked = [make_track(0, 30, 50, HERE, person=0, by_hand=True)]
    short = merge_tracks(marked, found)[0]
    assert (short.start, short.stop) == (0, 30)
    assert short.visible.all()


MARKED = {"its start": (0, 20), "its middle": (20, 30), "its end": (30, 50), "both ends": (5, 45)}


@pytest.mark.parametrize("where", MARKED)
def test_a_partly_marked_face_keeps_every_column_up_to_the_path_the_report_and_the_file(where, tmp_path):
    first, stop = MARKED[where]
    start, end = (10, 40) if where == "both ends" else (0, 50)  # then nothing is left of it
    found = [make_track(0, start, end, HERE, person=0, yaw=list(range(end - start)), flip_error=0.05)]
    marked = [make_track(0, first, stop, HERE, person=0, by_hand=True)]
    faces = choose(made_faces(empty_clip(50), list(merge_tracks(marked, found))))

    by_hand = np.arange(50)[(np.arange(50) >= first) & (np.arange(50) < stop)]
    path = faces.path
    assert [faces.tracks[number].by_hand for number in path.track[by_hand]] == [True] * len(by_hand)
    assert path.visible.tolist() == [frame in by_hand or start <= frame < end for frame in range(50)]
    for track in faces.tracks:
        if not track.by_hand:
            assert np.array_equal(track.pose[track.visible, 0], np.flatnonzero(track.visible) + track.start)
            assert np.isnan(track.flip_error[~track.visible]).all()
    if where == "its start":
        # Doubtful and turned by 20 degrees and more, as the found face's own columns say of these very frames.
        assert (path.outcome[30:] == Outcome.TURNED_AWAY).all()
    assert f"of 50 frames synced; 1 shot, {len(faces.tracks)} track" in report_text(faces)
    assert len(report_data(faces)["tracks"]) == len(faces.tracks)

    write_faces(faces, tmp_path / "x.npz")
    again = read_faces(tmp_path / "x.npz", faces.clip, faces.align, faces.limits)
    for one, other in zip(again.tracks, faces.tracks, strict=True):
        for name in PER_FRAME:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_every_array_of_a_track_but_its_portrait_and_its_embedding_is_a_column():
    types = typing.get_type_hints(FaceTrack)
    arrays = [field.name for field in dataclasses.fields(FaceTrack) if types[field.name] is np.ndarray]
    assert list(PER_FRAME) == [name for name in arrays if name != "portrait"]


@pytest.mark.parametrize("name", PER_FRAME)
def test_a_track_with_a_column_of_another_length_is_refused(name):
    track = make_track(0, 0, 10)
    with pytest.raises(ValueError, match="frames, but its"):
        dataclasses.replace(track, **{name: getattr(track, name)[:-1]})


def test_without_marks_or_without_found_faces_nothing_is_lost():
    found = [make_track(0, 0, 10, HERE, person=1), make_track(1, 5, 10, THERE, person=0)]
    assert [track.person for track in merge_tracks([], found)] == [0, 1]
    assert merge_tracks([make_track(0, 0, 5, HERE, by_hand=True)], [])[0].by_hand
    assert merge_tracks([], []) == ()
