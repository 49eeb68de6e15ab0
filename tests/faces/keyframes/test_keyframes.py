"""Faces marked by hand: what a user may write, where the marks put the face, and how it is followed in between."""

import json
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from latentsync_core.errors import OptionError
from latentsync_core.faces.detection.blazeface import detection_passes
from latentsync_core.faces.detection.face_mesh import face_mesh
from latentsync_core.faces.detection.landmarks import LandmarkScheme, three_points
from latentsync_core.faces.detection.region import FaceRegion
from latentsync_core.faces.keyframes.interpolate import track_marked_faces
from latentsync_core.faces.keyframes.marks import POINTS_IN_DETECTED_BOX, Mark, box_of_points, points_of_box, read_marks
from tests import astronaut

WIDTH, HEIGHT, FRAMES = 200, 150, 12
BOX = (60.0, 30.0, 110.0, 90.0)
CLIP = astronaut.clip_of(torch.zeros(FRAMES, HEIGHT, WIDTH, 3))


# --- what a user writes ------------------------------------------------------------------------------------------


def test_marks_are_read_in_the_order_of_frames_and_faces():
    text = """[{"time": 0.2, "points": [[80, 50], [100, 50], [90, 65]], "face": 1},
               {"frame": 0, "box": [60, 30, 110, 90]}, {"frame": 8, "gone": true}]"""
    first, second, third = read_marks(text, CLIP)
    assert (first.frame, first.box, first.face, first.gone) == (0, BOX, 0, False)
    assert (second.frame, second.points, second.face) == (5, ((80, 50), (100, 50), (90, 65)), 1)
    assert (third.frame, third.gone) == (8, True)


def test_an_empty_text_holds_no_marks():
    assert read_marks(" \n", CLIP) == ()
    assert read_marks("[]", CLIP) == ()


def test_brows_written_the_wrong_way_round_are_put_right():
    (mark,) = read_marks('[{"frame": 0, "points": [[100, 50], [80, 50], [90, 65]]}]', CLIP)
    assert mark.points == ((80, 50), (100, 50), (90, 65))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"frame": 0,\n "box": [1, 2}]', r"aren't JSON.*line 2, column"),
        ('{"frame": 0}', r'the marks are \{"frame": 0\}; write a list, such as'),
        ("[5]", "mark 1 is 5; write it like"),
        ('[{"frame": 12, "gone": true}]', "mark 1 is at frame 12; the clip has frames 0 to 11"),
        ('[{"frame": 1.5, "gone": true}]', "at frame 1.5; use a whole number"),
        ('[{"frame": true, "gone": true}]', "at frame true; use a whole number"),
        ('[{"time": 0.6, "gone": true}]', r"at time 0.6 s; the clip lasts 0.480 s"),
        ('[{"time": 0, "frame": 0, "gone": true}]', "both a frame and a time"),
        ('[{"gone": true}]', "names no frame"),
        ('[{"frame": 0}]', r'places no face; add "box"'),
        ('[{"frame": 0, "gone": true, "box": [60, 30, 110, 90]}]', 'says gone and has "box"'),
        ('[{"frame": 0, "gone": 1}]', 'has "gone": 1; write true'),
        ('[{"frame": 0, "bx": [60, 30, 110, 90]}]', 'has "bx"; the known keys are frame, time, box'),
        ('[{"frame": 0, "frame": 1, "gone": true}]', 'has "frame" 2 times'),
        ('[{"frame": 0, "box": [110, 30, 60, 90]}]', "with x1 - x0 and y1 - y0 at least 8"),
        ('[{"frame": 0, "box": [60, 30, 110]}]', r"the box \[60, 30, 110\]; use \[x0, y0, x1, y1\]"),
        ('[{"frame": 0, "box": [60, 30, "110", 90]}]', "has in its box 110"),
        ('[{"frame": 0, "box": [260, 30, 310, 90]}]', "outside of the picture; the picture is 200×150"),
        ('[{"frame": 0, "box": [-4000, -4000, 4100, 4100]}]', "much larger than the picture"),
        ('[{"frame": 0, "points": [[80, 50], [80.2, 50], [90, 65]]}]', "coincide"),
        ('[{"frame": 0, "points": [[80, 50], [80, 50, 1], [90, 65]]}]', r"the point \[80, 50, 1\]"),
        ('[{"frame": 0, "points": [[80, 50], [100, 50], [90, 965]]}]', "outside of the picture"),
        ('[{"frame": 0, "box": [NaN, 30, 110, 90]}]', "contain NaN; write a number"),
        ('[{"frame": 0, "gone": true, "face": 32}]', "has face 32; use a number from 0 to 31"),
        ('[{"frame": 0, "gone": true}, {"time": 0, "gone": true}]', "marks 1 and 2 both place face 0 in frame 0"),
        ("[" * 100_000, "nest too deep"),
        ('[{"frame": ' + "9" * 5000 + ', "gone": true}]', "number|is at frame"),
        (" " * 1_000_001, "at most 1000000"),
        (json.dumps([{"frame": 0}] * 5001), "5001 marks; use at most 5000"),
    ],
)
def test_a_mistake_is_named_with_the_way_out(text, said):
    with pytest.raises(OptionError, match=said) as caught:
        read_marks(text, CLIP)
    assert len(str(caught.value)) < 400


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
_COORDINATES = st.floats(-50, 250) | st.integers(-50, 250)
_ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "frame": st.integers(-2, 14) | _VALUES,
        "time": st.floats(-1, 1) | _VALUES,
        "box": st.lists(_COORDINATES, min_size=4, max_size=4) | _VALUES,
        "points": st.lists(st.lists(_COORDINATES, min_size=2, max_size=2), min_size=3, max_size=3) | _VALUES,
        "gone": st.booleans() | _VALUES,
        "face": st.integers(0, 3) | _VALUES,
        "other": _VALUES,
    },
)
_TEXTS = st.text() | _VALUES.map(json.dumps) | st.lists(_ENTRIES, max_size=3).map(json.dumps)


@settings(max_examples=150, deadline=None)
@given(_TEXTS)
def test_any_text_gives_marks_that_fit_the_clip_or_an_option_error(text):
    try:
        marks = read_marks(text, CLIP)
    except OptionError:
        return
    for mark in marks:
        assert 0 <= mark.frame < FRAMES
        if not mark.gone:
            box, points = mark.box_and_points()
            assert (box[2:] > box[:2]).all()
            assert np.isfinite(points).all()


# --- where a mark puts the face ----------------------------------------------------------------------------------


def test_the_usual_places_in_a_box_are_those_of_a_real_face_and_its_detection():
    frame = astronaut.frame_of(astronaut.picture())
    with torch.inference_mode():
        face = next(faces for faces in detection_passes(frame, 0.5) if faces)[0]
        mesh = face_mesh(frame, FaceRegion.from_detection(face))[0][:, :2]
    points = three_points(mesh, LandmarkScheme.MESH468)
    box = np.concatenate([mesh.min(0), mesh.max(0)])
    for found in (points_of_box(box), points_of_box(face.box, POINTS_IN_DETECTED_BOX)):
        assert np.linalg.norm(found - points, axis=1).max() < 0.06 * (box[2] - box[0])


@pytest.mark.parametrize("aspect", [1.0, 2.0])
def test_a_box_of_the_usual_shape_comes_back_from_its_points(aspect):
    box = np.array([100.0, 50.0, 100.0 + 89 / aspect, 150.0])
    np.testing.assert_allclose(box_of_points(points_of_box(box), aspect), box, atol=1e-3)


def test_a_turned_face_has_an_upright_box_of_the_same_size():
    points = points_of_box(np.array([-44.5, -50.0, 44.5, 50.0])).astype(np.float64)
    box = box_of_points(points @ np.array([[0.0, 1.0], [-1.0, 0.0]]))
    np.testing.assert_allclose(box, [-44.5, -50, 44.5, 50], atol=1e-3)


# --- how it is followed ------------------------------------------------------------------------------------------


def _pattern(side: int, seed: int) -> torch.Tensor:
    """(1, side, side) of soft blobs: nothing that a detector would take for a face."""
    noise = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, size=(side, side), mode="bicubic", align_corners=True)[0].clamp(0, 1)


def _scene(places, turns=None, growths=None, seed: int = 1):
    """A clip of a patterned disc, about 60 px across, whose centre is at each of `places`; None shows none.

    Returns it with the true three points of each frame: those of a mark on an unturned disc, carried along.
    """
    count = len(places)
    turns, growths = turns or [0.0] * count, growths or [1.0] * count
    face = _pattern(64, seed)
    behind = _pattern(40, seed + 1)
    behind = F.interpolate(behind[None], size=(HEIGHT, WIDTH), mode="bilinear")[0, 0] * 0.3 + 0.2
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    frames, truth = [], []
    for place, turn, growth in zip(places, turns, growths, strict=True):
        picture = behind.clone()
        if place is not None:
            x, y = (columns - place[0]) / (30 * growth), (rows - place[1]) / (30 * growth)
            u, v = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
            drawn = F.grid_sample(face[None], torch.stack([u, v], -1)[None].float(), align_corners=True)[0, 0]
            shown = ((1 - (u**2 + v**2).sqrt()) * 15).clamp(0, 1)
            picture = picture * (1 - shown) + drawn * shown
        frames.append(picture[..., None].expand(-1, -1, 3))
        offsets = np.array([[-13.0, -18.0], [13.0, -18.0], [0.0, 2.0]]) * growth
        turned = offsets @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        truth.append(turned + (place or (np.nan, np.nan)))
    return astronaut.clip_of(torch.stack(frames).contiguous()), np.array(truth)


def _mark(truth, frame, face=0):
    return Mark(frame, points=tuple(map(tuple, truth[frame].tolist())), face=face)


def _error(track, truth):
    """The largest distance in pixels from the truth (26 px from brow to brow)."""
    return np.linalg.norm(track.landmarks - truth[track.start : track.stop], axis=2).max()


MOVING = [(70 + 4 * k, 75 + 6 * np.sin(k / 2)) for k in range(15)]


def test_one_mark_in_the_middle_is_followed_to_both_ends_of_the_shot():
    turns, growths = [0.04 * k for k in range(15)], [1 + 0.02 * k for k in range(15)]
    clip, truth = _scene(MOVING, turns, growths)
    (track,) = track_marked_faces(clip, [_mark(truth, 7)], [(0, 15)])
    assert (track.start, track.stop) == (0, 15)
    assert track.visible.all()
    assert track.by_hand
    assert _error(track, truth) < 0.5  # 2 % of the distance between the brows
    assert track.portrait.shape == (128, 128, 3)
    sizes = track.boxes[:, 2:] - track.boxes[:, :2]
    np.testing.assert_allclose(sizes[:, 0] / sizes[7, 0], np.array(growths) / growths[7], atol=0.03)


def test_marked_frames_are_hit_exactly_however_wrong_they_are():
    clip, truth = _scene(MOVING)
    wrong = truth.copy()
    wrong[14] += 3
    (track,) = track_marked_faces(clip, [_mark(wrong, 0), _mark(wrong, 14)], [(0, 15)])
    np.testing.assert_array_equal(track.landmarks[[0, 14]], wrong[[0, 14]].astype(np.float32))
    late = np.linalg.norm(track.landmarks - truth, axis=2).mean(1)
    np.testing.assert_allclose(late, np.linspace(0, 3 * np.sqrt(2), 15), atol=0.5)  # glides, without a jump


def test_a_still_face_stands_still():
    clip, truth = _scene([(100, 75)] * 10)
    (track,) = track_marked_faces(clip, [_mark(truth, 0)], [(0, 10)])
    assert _error(track, truth) < 0.01


def test_a_mark_holds_inside_its_own_shot_and_each_shot_gives_a_track():
    clip, truth = _scene(MOVING)
    (track,) = track_marked_faces(clip, [_mark(truth, 6)], [(0, 5), (5, 9), (9, 15)])
    assert (track.start, track.stop) == (5, 9)
    tracks = track_marked_faces(clip, [_mark(truth, 10), _mark(truth, 6)], [(0, 5), (5, 9), (9, 15)])
    assert [(t.track_id, t.start, t.stop) for t in tracks] == [(0, 5, 9), (1, 9, 15)]


def test_a_face_that_vanishes_is_let_go_and_not_before():
    clip, truth = _scene([*MOVING[:6], *[None] * 9])
    (track,) = track_marked_faces(clip, [_mark(truth, 2)], [(0, 15)])
    assert (track.start, track.stop) == (0, 6)


def test_a_face_hidden_for_a_moment_is_bridged():
    places = list(MOVING)
    places[5] = places[6] = None
    clip, _ = _scene(places)
    _, truth = _scene(MOVING)
    (track,) = track_marked_faces(clip, [_mark(truth, 0)], [(0, 15)])
    assert (track.start, track.stop) == (0, 15)
    assert _error(track, truth) < 1.5


def test_gone_ends_a_face_until_it_is_marked_again():
    clip, truth = _scene(MOVING)
    marks = [_mark(truth, 2), Mark(5), _mark(truth, 9)]
    first, second = track_marked_faces(clip, marks, [(0, 15)])
    assert (first.start, first.stop) == (0, 5)
    assert (second.start, second.stop) == (9, 15)
    assert track_marked_faces(clip, [Mark(5)], [(0, 15)]) == []


def test_two_faces_are_followed_side_by_side():
    clip, truth = _scene(MOVING)
    other, _ = _scene([(40, 110)] * 15, seed=5)
    images = clip.images.clone()
    images[:, 82:140, 10:72] = other.images[:, 82:140, 10:72]
    still = truth[:1] - MOVING[0] + (40, 110)
    tracks = track_marked_faces(astronaut.clip_of(images), [_mark(truth, 3), _mark(still, 0, face=1)], [(0, 15)])
    assert [track.person for track in tracks] == [0, 1]
    assert _error(tracks[1], np.repeat(still, 15, 0)) < 0.1
    assert tracks[0].stop == 15


def test_wide_samples_make_no_difference_to_where_the_face_is():
    turns = [0.05 * k for k in range(15)]
    clip, truth = _scene(MOVING, turns)
    narrow = F.avg_pool2d(clip.images.permute(0, 3, 1, 2), (1, 2)).permute(0, 2, 3, 1).contiguous()
    wide = astronaut.clip_of(narrow, sample_aspect=Fraction(2))
    narrowed = (truth - (0.5, 0)) / (2, 1)
    (track,) = track_marked_faces(wide, [_mark(narrowed, 0)], [(0, 15)])
    assert np.linalg.norm((track.landmarks - narrowed) * (2, 1), axis=2).max() < 1


def test_nothing_in_a_clip_breaks_the_following():
    images = torch.rand(8, 5, 7, 3, generator=torch.Generator().manual_seed(2))
    images[3:] = float("nan")
    images[6] = float("inf")
    clip = astronaut.clip_of(images)
    (track,) = track_marked_faces(clip, [Mark(2, box=(-4.0, -4.0, 8.0, 8.0))], [(0, 8)])
    assert 0 <= track.start <= 2 < track.stop <= 8
    assert np.isfinite(track.landmarks).all()


def test_progress_ends_at_its_total_and_can_stop_the_following():
    clip, truth = _scene(MOVING)
    seen = []
    track_marked_faces(clip, [_mark(truth, 7)], [(0, 15)], lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] == 16  # 8 frames forwards from the mark, and 8 back
    assert seen == sorted(seen)

    class Stop(Exception):
        pass

    def stop(done, total):
        raise Stop

    with pytest.raises(Stop):
        track_marked_faces(clip, [_mark(truth, 7)], [(0, 15)], stop)
