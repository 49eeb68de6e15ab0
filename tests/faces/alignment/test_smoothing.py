"""Steadied landmarks: still heads hold still, moving ones are followed without lag, and nothing crosses a cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentsync_core.faces.alignment.align import align_track, crop_size
from latentsync_core.faces.alignment.smoothing import smooth_landmarks
from latentsync_core.imaging.affine import invert, map_points

FACE = np.array([[-30.0, -10.0], [30.0, -10.0], [0.0, 20.0]])  # 60 pixels between the brows
BROWS = 60.0
RATE = 25.0
CENTRE = np.array([320.0, 180.0])


def _times(count):
    return np.arange(count) / RATE


def _head(x=0.0, y=0.0, size=1.0, angle=0.0, count=None):
    """(n, 3, 2) points of a head that is moved, in brow distances, and turned, in radians."""
    count = count or max(np.size(value) for value in (x, y, size, angle))
    x, y, size, angle = (np.broadcast_to(value, count)[:, None] for value in (x, y, size, angle))
    turned = np.stack(
        [
            np.cos(angle) * FACE[:, 0] - np.sin(angle) * FACE[:, 1],
            np.sin(angle) * FACE[:, 0] + np.cos(angle) * FACE[:, 1],
        ],
        -1,
    )
    return turned * size[..., None] + BROWS * np.stack([x, y], -1) + CENTRE


def _talking(count, seed=0):
    """(n, 3, 2) of what a talking mouth adds to the points: 1 % of the brows' distance, for a tenth of a second."""
    rng = np.random.default_rng(seed)
    noise = np.empty((count, 3, 2))
    noise[0] = rng.standard_normal((3, 2))
    for index in range(1, count):
        noise[index] = 0.7 * noise[index - 1] + np.sqrt(1 - 0.49) * rng.standard_normal((3, 2))
    return noise * 0.008 * BROWS


def _steady(points, strength=1.0):
    return smooth_landmarks(points, [(0, len(points))], _times(len(points)), strength)


def _crop_places(points):
    """(n, 5, 2): where source points, the mean crop's corners and centre, lie in each frame's 256 × 256 crop."""
    transforms = align_track(points, np.ones(len(points), bool), 256).astype(np.float64)
    width, height = crop_size(256)
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height], [width / 2, height / 2]], float)
    fixed = map_points(invert(transforms.mean(0)), corners)
    return np.stack([map_points(transform, fixed) for transform in transforms]) * (256 / width, 256 / height)


def _length(vectors):
    """Root of the mean squared length of (..., 2) vectors."""
    return np.sqrt((vectors**2).sum(-1).mean())


@pytest.mark.parametrize("seed", range(4))
def test_a_crop_on_a_still_talking_head_moves_less_than_015_pixels_a_frame(seed):
    raw = _head(count=100) + _talking(100, seed)
    before, after = _crop_places(raw), _crop_places(_steady(raw))
    assert _length(np.diff(before, axis=0)) > 1
    assert _length(np.diff(after, axis=0)) < 0.15
    assert _length(after - after.mean(0)) < 0.5  # nor does it wander


T = _times(150)
MOVEMENTS = {
    "nods": _head(y=0.15 * np.sin(2 * np.pi * 1.5 * T)),
    "sways": _head(x=0.5 * np.sin(2 * np.pi * 0.3 * T), angle=0.2 * np.sin(2 * np.pi * 0.4 * T)),
    "walks": _head(x=T * 0.6, y=0.1 * np.abs(np.sin(2 * np.pi * 0.95 * T)), size=0.8 + 0.1 * T),
    "starts and stops": _head(x=np.interp(T, [1, 1.4, 3, 3.2], [0, 1.5, 1.5, 0.5])),
    "turns": _head(x=0.7 * np.tanh((T - 2) / 0.1), size=1 - 0.12 * np.exp(-(((T - 2) / 0.15) ** 2))),
    "leans in": _head(size=np.interp(T, [2, 2.5], [1, 1.3]), y=np.interp(T, [2, 2.5], [0, 0.2])),
}


@pytest.mark.parametrize("movement", MOVEMENTS)
def test_a_moving_head_is_followed_as_closely_as_by_the_landmarks_themselves(movement):
    true = MOVEMENTS[movement]
    raw = true + _talking(len(true))
    steady = _steady(raw)
    most = 1.1 if movement in ("nods", "walks") else 0.85  # small quick movements are the hardest to tell from talk
    assert _length(steady - true) < most * _length(raw - true)
    assert np.abs(steady - true).max() < 1.3 * np.abs(raw - true).max()
    swim = _length(np.diff(steady - true, axis=0)) / _length(np.diff(raw - true, axis=0))
    assert swim < 0.95


@pytest.mark.parametrize("movement", ["nods", "sways", "walks"])
def test_there_is_no_lag(movement):
    true, axis = MOVEMENTS[movement], 0 if movement == "sways" else 1
    steady = _steady(true + _talking(len(true)))
    error, speed = (steady - true).mean(1)[:, axis], np.gradient(true.mean(1)[:, axis])
    lag = -np.dot(error, speed) / np.dot(speed, speed)  # the least squares delay, in frames
    assert abs(lag) < 0.1


def test_time_backwards_gives_the_same_backwards():
    raw = MOVEMENTS["starts and stops"] + _talking(150)
    np.testing.assert_allclose(_steady(raw[::-1])[::-1], _steady(raw), atol=1e-6)


def test_a_picture_twice_as_large_and_moved_gives_the_same_there():
    raw = MOVEMENTS["nods"] + _talking(150)
    np.testing.assert_allclose(_steady(raw * 2 + 50), _steady(raw) * 2 + 50, atol=1e-6)


def test_nothing_crosses_a_cut():
    first, second = _head(count=60) + _talking(60, 1), _head(3.0, 1.0, 1.7, count=40) + _talking(40, 2)
    both = smooth_landmarks(np.concatenate([first, second]), [(0, 60), (60, 100)], _times(100))
    np.testing.assert_allclose(both[:60], _steady(first), atol=1e-9)
    np.testing.assert_allclose(both[60:], _steady(second), atol=1e-9)


def test_a_jump_that_is_no_cut_is_not_smeared():
    true = _head(x=np.where(T < 3, 0.0, 0.4))
    raw = true + _talking(150)
    assert np.abs(_steady(raw) - true).max() < 1.3 * np.abs(raw - true).max()


@pytest.mark.parametrize("movement", ["nods", "walks"])
@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_few_frames_that_are_far_off_leave_no_trace(movement, length):
    raw = MOVEMENTS[movement] + _talking(150)
    wrong = raw.copy()
    for start in (40, 77, 120):
        wrong[start : start + length] += (0.8 * BROWS, -0.5 * BROWS)
    assert np.abs(_steady(wrong) - _steady(raw)).max() < 0.05 * BROWS


@pytest.mark.parametrize("rate", [10, 24, 60])
def test_what_counts_is_seconds_not_frames(rate):
    times = np.cumsum(np.random.default_rng(0).uniform(0.5, 1.5, 4 * rate)) / rate
    true = np.stack([_head(0.3 * t, 0.2 * t, 1 + 0.05 * t, 0.1 * t, count=1)[0] for t in times])
    steady = smooth_landmarks(true, [(0, len(true))], times)
    inner = (times > times[0] + 0.5) & (times < times[-1] - 0.5)
    np.testing.assert_allclose(steady[inner], true[inner], atol=0.015 * BROWS)
    np.testing.assert_allclose(steady, true, atol=0.04 * BROWS)  # the restraint of slopes shows at ends
    calm = smooth_landmarks(_head(count=len(times)) + _talking(len(times)), [(0, len(times))], times)
    assert _length(np.diff(calm, axis=0)) < 0.2 * _length(np.diff(_talking(len(times)), axis=0))


def test_more_strength_is_steadier_and_none_changes_nothing():
    raw = _head(count=100) + 1.5 * _talking(100)
    np.testing.assert_array_equal(_steady(raw, 0.0), raw)
    steps = [_length(np.diff(_steady(raw, strength), axis=0)) for strength in (0.0, 0.3, 1.0, 3.0)]
    assert steps == sorted(steps, reverse=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(0, 10**6))
def test_any_stretches_of_any_points_keep_what_has_no_face_and_stay_finite(lengths, seed):
    rng = np.random.default_rng(seed)
    count = sum(lengths) + len(lengths)
    points = rng.normal(0, rng.choice([0.1, 10, 1e4]), (count, 3, 2)) + 500
    points[rng.random(count) < 0.2] = np.nan
    points[rng.random(count) < 0.1] = 7.0  # all three in one place
    ends = np.cumsum([n + 1 for n in lengths])
    segments = [(int(end) - 1 - n, int(end) - 1) for end, n in zip(ends, lengths, strict=True)]  # a frame between
    steady = smooth_landmarks(points, segments, np.cumsum(rng.uniform(0.001, 0.2, count)))
    same = [int(end) - 1 for end in ends]
    np.testing.assert_array_equal(steady[same], points[same])
    np.testing.assert_array_equal(np.isnan(steady), np.isnan(points))


def test_no_frames_and_no_stretches_are_fine():
    assert smooth_landmarks(np.zeros((0, 3, 2)), [], np.zeros(0)).shape == (0, 3, 2)
    assert np.isnan(smooth_landmarks(np.full((4, 3, 2), np.nan), [(0, 4)], _times(4))).all()
