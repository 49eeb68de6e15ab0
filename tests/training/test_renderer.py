"""The rendered heads: the same for the same seed, true to what they say of themselves, whole in frames of any kind."""

from fractions import Fraction

import numpy as np
import pytest

from latentsync_core.faces.detection.landmarks import LandmarkScheme, three_points
from latentsync_core.faces.face_options import FaceOptions
from latentsync_core.faces.tracking.redetect import SingleFaceTracker
from training.synthetic.backdrop import backdrop
from training.synthetic.crops import engine_frame
from training.synthetic.head.identity import sample_identity
from training.synthetic.head.light import sample_light
from training.synthetic.head.motion import MAX_ANGLE, HeadMotion
from training.synthetic.head.mouth import MouthShape
from training.synthetic.head.painter import HeadState, Painter
from training.synthetic.head.surface import Pose
from training.synthetic.scenes.scene import HeadPath, head_state_at, render, talking_head
from training.synthetic.speech.performance import silent_performance

GREY = 128


def draw(seed, head_state, size=(160, 160), style=None):
    picture = np.full((size[1], size[0], 3), GREY, np.uint8)
    truth = Painter(sample_identity(seed, style), sample_light(seed)).paint(picture, head_state)
    return picture, truth


def facing(size=160, mouth=None, **pose):
    return HeadState(Pose(size / 2, size * 0.5, size * 0.3, **pose), mouth or MouthShape())


@pytest.mark.parametrize("style", ["real", "cartoon", "anime"])
def test_the_same_seed_draws_the_same_bits_and_another_one_another_face(style):
    head_state = facing(mouth=MouthShape(0.1, 0.1), yaw=0.2, pitch=-0.1, roll=0.1)
    first, _ = draw(5, head_state, style=style)
    again, _ = draw(5, head_state, style=style)
    other, _ = draw(6, head_state, style=style)
    assert np.array_equal(first, again)
    assert np.mean(np.abs(first.astype(int) - other).max(2) > 12) > 0.2


def test_twenty_people_are_twenty_faces():
    pictures = [draw(seed, facing(96), (96, 96))[0].astype(int) for seed in range(20)]
    for index, one in enumerate(pictures):
        assert all(np.abs(one - other).mean() > 4 for other in pictures[:index])


def test_opening_the_mouth_changes_only_the_lower_face():
    shut, truth = draw(11, facing(), style="real")
    wide, _ = draw(11, facing(mouth=MouthShape(0.3, 0.27, upper_teeth=0, tongue=0)), style="real")
    rows, columns = np.nonzero(np.abs(shut.astype(int) - wide).max(2) > 8)
    assert rows.min() > truth.nose[1]
    x0, _, x1, _ = truth.box
    below = rows < truth.chin[1] + 0.3 * 48  # the chin's shadow falls further, on neck and clothes
    assert columns[below].min() > x0 - 6
    assert columns[below].max() < x1 + 6


@pytest.mark.parametrize("opening", [0.08, 0.2, 0.35])
def test_the_dark_between_the_lips_is_as_high_as_the_truth_says(opening):
    shape = MouthShape(opening, opening * 0.9, upper_teeth=0, tongue=0)
    picture, truth = draw(22, facing(480, shape), (480, 480), style="real")  # somebody of light skin
    (x, top), (_, bottom) = truth.lips[1], truth.lips[2]
    column = picture[int(top) - 12 : int(bottom) + 14, round(x)].mean(1)
    dark = np.flatnonzero(column < 60)
    assert abs((dark[-1] - dark[0] + 1) - (bottom - top)) <= 2.5
    assert abs(dark.mean() + int(top) - 12 - (top + bottom) / 2) <= 2


def test_the_jaw_takes_the_chin_down():
    _, shut = draw(3, facing())
    _, wide = draw(3, facing(mouth=MouthShape(0.3, 0.25)))
    assert wide.chin[1] - shut.chin[1] == pytest.approx(0.25 * 48, abs=0.5)
    assert np.allclose(shut.eyes, wide.eyes)


def test_a_larger_head_is_the_same_picture_at_more_pixels():
    head_state = HeadState(Pose(79.5, 79.5, 44.0, 0.15, 0.05), MouthShape(0.15, 0.14))
    double = HeadState(Pose(159.5, 159.5, 88.0, 0.15, 0.05), MouthShape(0.15, 0.14))
    small, truth = draw(8, head_state)
    large, larger = draw(8, double, (320, 320))
    reduced = large.reshape(160, 2, 160, 2, 3).mean((1, 3))
    assert np.abs(reduced - small).mean() < 3
    assert np.allclose((larger.three_points + 0.5) / 2 - 0.5, truth.three_points, atol=0.1)


def test_a_head_beyond_the_edge_leaves_the_frame_alone_and_one_at_the_edge_is_cut():
    gone, truth = draw(4, HeadState(Pose(900, 80, 48)))
    assert (gone == GREY).all()
    assert truth.box[0] > 160
    half, _ = draw(4, HeadState(Pose(160, 80, 48)))
    whole, _ = draw(4, HeadState(Pose(160, 80, 48)), (320, 160))
    assert np.array_equal(half, whole[:, :160])


def test_a_small_head_in_a_4k_frame_leaves_the_rest_as_it_was():
    picture, truth = draw(9, HeadState(Pose(3000, 1900, 60)), (3840, 2160), style="real")
    x0, y0, x1, y1 = truth.box
    assert 2900 < x0 < x1 < 3100
    assert 1800 < y0 < y1 < 2000
    assert (picture[:1700] == GREY).all()
    assert (picture[:, :2800] == GREY).all()
    assert (picture[1850:1900, 2970:3030] != GREY).any(2).mean() > 0.9


def test_the_engines_detector_and_mesh_find_the_faces_where_the_truth_has_them():
    for seed in range(6):
        motion = HeadMotion(seed, 2.0)
        picture = backdrop(seed, 256, 256)
        person = sample_identity(50 + seed, "real")
        head_state = HeadState(Pose(128, 136, 72, *motion.angles(1.0)), MouthShape(0.12, 0.1))
        truth = Painter(person, sample_light(seed)).paint(picture, head_state)
        mesh = SingleFaceTracker(FaceOptions()).find(engine_frame(picture))
        assert mesh is not None
        away = np.linalg.norm(three_points(mesh, LandmarkScheme.MESH468) - truth.three_points, axis=1)
        assert away.mean() < 0.09 * 72  # of a head unit's pixels


def test_heads_turn_within_limits_and_eyes_blink():
    motion = HeadMotion(1, 20.0)
    times = np.arange(0, 20, 0.02)
    angles = np.array([motion.angles(t) for t in times])
    assert np.abs(angles).max() <= MAX_ANGLE
    assert np.ptp(angles[:, 0]) > 0.1
    assert np.abs(np.diff(angles, axis=0)).max() < 0.03
    shut = np.array([motion.blink(t) for t in times]) > 0.9
    assert 2 <= np.count_nonzero(np.diff(shut.astype(int)) == 1) <= 17


@pytest.mark.parametrize("fps", [Fraction(24000, 1001), Fraction(25), Fraction(60)])
def test_a_scene_has_exactly_its_frames_times_and_sound(fps):
    scene = talking_head(2, seconds=0.5, fps=fps, size=(64, 48), performance=silent_performance(0.5))
    shown = list(render(scene))
    assert len(shown) == scene.frame_count == round(0.5 * fps)
    assert [truth.time for _, truth in shown] == [float(index / fps) for index in range(len(shown))]
    assert len(scene.waveform) == round(float(len(shown) / fps) * 16000)
    assert all(frame.shape == (48, 64, 3) and frame.dtype == np.uint8 for frame, _ in shown)
    assert all(truth.faces[0].opening == 0 for _, truth in shown)


def test_rendering_twice_gives_the_same_bits_with_grain_and_all():
    scene = talking_head(7, seconds=0.2, size=(96, 96), performance=silent_performance(0.2))
    for (first, _), (again, _) in zip(render(scene), render(scene), strict=True):
        assert np.array_equal(first, again)


def test_a_track_moves_the_head_across_the_frame():
    actor = talking_head(3, performance=silent_performance(1.0)).shots[0].actors[0]
    still = HeadMotion(0, 1.0, amplitude=0.0)
    moving = type(actor)(actor.person, actor.performance, still, HeadPath((0.2, 0.5), (1.5, 0.5), 0.3, 0.2))
    start, end = (head_state_at(moving, along, along, 200, 100).pose for along in (0.0, 1.0))
    assert (start.x, start.scale) == (40, 30)
    assert (end.x, end.scale) == (300, 20)
