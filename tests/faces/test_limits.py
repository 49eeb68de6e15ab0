"""What is left alone and why: turned, small and blurred faces fade to what was filmed, and nothing fades at a cut."""

import numpy as np
import pytest

from latentsync_core.errors import OptionError
from latentsync_core.faces.limits import Outcome, TouchLimits
from latentsync_core.runs import runs_where
from tests.made_faces import empty_clip, made_faces, make_track


def test_a_face_that_turns_away_fades_out_before_and_in_again_after():
    yaw = np.concatenate([np.linspace(0, 90, 40), np.linspace(90, 0, 40)])
    faces = made_faces(
        empty_clip(80), [make_track(0, 0, 80, yaw=yaw)], limits=TouchLimits(max_yaw=55, min_size=0, fade_frames=4)
    )
    path = faces.path
    away = path.outcome == Outcome.TURNED_AWAY
    assert away[np.abs(yaw) > 58].all()
    assert not away[np.abs(yaw) < 52].any()
    assert (path.blend[away] == 0).all()
    first, last = np.flatnonzero(away)[[0, -1]]
    np.testing.assert_allclose(path.blend[first - 5 : first], [1, 0.8, 0.6, 0.4, 0.2], atol=1e-6)
    np.testing.assert_allclose(path.blend[last + 1 : last + 6], [0.2, 0.4, 0.6, 0.8, 1], atol=1e-6)
    assert (path.outcome[first - 4 : first] == Outcome.FADED).all()
    assert path.outcome[first - 5] == Outcome.SYNCED


def test_nothing_fades_at_cuts_or_the_clips_ends_but_where_a_face_comes_and_goes():
    clip = empty_clip(60)
    tracks = [make_track(0, 0, 20), make_track(1, 20, 40), make_track(2, 48, 60)]
    path = made_faces(clip, tracks, ((0, 20), (20, 45), (45, 60)), chosen=(0, 1, 2)).path
    assert (path.blend[:35] == 1).all()
    np.testing.assert_allclose(path.blend[35:41], [1, 0.8, 0.6, 0.4, 0.2, 0], atol=1e-6)
    np.testing.assert_allclose(path.blend[47:53], [0, 0.2, 0.4, 0.6, 0.8, 1], atol=1e-6)
    assert (path.blend[53:] == 1).all()
    assert (path.outcome[40:48] == Outcome.NO_FACE).all()


def test_small_and_blurred_faces_are_left_alone_unless_marked_by_hand():
    clip = empty_clip(10)
    small = make_track(0, 0, 10, box=(0, 0, 20, 24))
    blurred = make_track(0, 0, 10, box=(0, 0, 40, 44), sharpness=0.02)
    limits = TouchLimits(min_size=30, min_sharpness=0.1)
    assert (made_faces(clip, [small], limits=limits).path.outcome == Outcome.TOO_SMALL).all()
    assert (made_faces(clip, [blurred], limits=limits).path.outcome == Outcome.BLURRED).all()
    for box, sharpness in (((0, 0, 20, 24), 1.0), ((0, 0, 40, 44), 0.02)):
        marked = make_track(0, 0, 10, box=box, sharpness=sharpness, yaw=80, by_hand=True)
        assert (made_faces(clip, [marked], limits=limits).path.blend == 1).all()


def test_an_unreliable_yaw_counts_as_profile():
    clip = empty_clip(10)
    turned, frontal = make_track(0, 0, 10, yaw=-35, flip_error=0.05), make_track(0, 0, 10, yaw=5, flip_error=0.05)
    assert (made_faces(clip, [turned]).path.outcome == Outcome.TURNED_AWAY).all()
    assert (made_faces(clip, [frontal]).path.blend == 1).all()  # a drawn face, perhaps
    everything = TouchLimits(max_yaw=80, min_size=0)
    assert (made_faces(clip, [turned], limits=everything).path.blend == 1).all()
    assert (made_faces(clip, [make_track(0, 0, 10, yaw=-35)]).path.blend == 1).all()


def test_where_two_chosen_tracks_share_frames_the_earlier_in_the_list_is_synced():
    clip = empty_clip(30)
    tracks = [make_track(0, 0, 20), make_track(1, 10, 30, box=(30, 10, 60, 44))]
    path = made_faces(clip, tracks, chosen=(1, 0)).path
    assert path.track.tolist() == [0] * 10 + [1] * 20
    assert runs_where(path.track >= 0, path.track) == [(0, 10), (10, 30)]
    path = made_faces(clip, tracks, chosen=(0, 1)).path
    assert path.track.tolist() == [0] * 20 + [1] * 10


def test_a_gap_of_a_track_shows_what_is_there_and_frames_with_others_are_told_apart():
    clip = empty_clip(30)
    tracks = [make_track(0, 0, 20, gap=range(8, 12)), make_track(1, 16, 26)]
    path = made_faces(clip, tracks).path
    assert not path.visible[8:12].any()
    assert np.isnan(path.landmarks[8:12]).all()
    assert (path.outcome[8:12] == Outcome.NO_FACE).all()
    assert (path.outcome[20:26] == Outcome.NOT_CHOSEN).all()
    assert (path.outcome[26:] == Outcome.NO_FACE).all()
    assert runs_where(path.track >= 0, path.track) == [(0, 8), (12, 20)]


@pytest.mark.parametrize(
    ("wrong", "fact"),
    [
        ({"max_yaw": -1}, "the largest yaw is -1; use 0 to 180"),
        ({"fade_frames": 101}, "the number of frames to fade over is 101; use 0 to 100"),
        ({"min_sharpness": 2}, "the least sharpness is 2; use 0 to 1"),
        ({"min_size": float("nan")}, "the smallest face is nan; use 0 to 100000"),
    ],
)
def test_limits_outside_their_range_are_refused(wrong, fact):
    with pytest.raises(OptionError, match=f"^{fact}$"):
        TouchLimits(**wrong)


def test_a_chosen_track_that_is_not_there_is_named():
    with pytest.raises(OptionError, match="track 3 is chosen"):
        _ = made_faces(empty_clip(5), [make_track(0, 0, 5)], chosen=(3,)).path
