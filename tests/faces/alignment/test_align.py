"""Three points from landmarks, the transform that they give, and the crop that it cuts."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from latentsync_core.errors import OptionError
from latentsync_core.faces.alignment.align import align_track, crop_face, crop_size, template
from latentsync_core.faces.alignment.align_options import AlignOptions
from latentsync_core.faces.detection.landmarks import LandmarkScheme, three_points
from latentsync_core.imaging.affine import map_points
from latentsync_core.imaging.lanczos import lanczos4, lanczos4_levels
from tests import astronaut

POINTS = np.array([[200.0, 100.0], [260.0, 104.0], [229.0, 135.0]], np.float32)
SEEN = np.ones(1, bool)


def _align(points, options=None, aspect=Fraction(1), resolution=256):
    return align_track(points[None], SEEN, resolution, options, aspect)[0]


@pytest.mark.parametrize("scheme", list(LandmarkScheme))
def test_each_point_is_the_mean_of_its_own_landmarks(scheme):
    landmarks = np.arange(scheme.value.count * 2, dtype=np.float64).reshape(1, -1, 2)
    left, right, nose = three_points(landmarks, scheme)[0]
    groups = scheme.value.left_brow, scheme.value.right_brow, scheme.value.nose
    for point, group in zip((left, right, nose), groups, strict=True):
        np.testing.assert_allclose(point, landmarks[0, list(group)].mean(0))


def test_landmarks_of_another_scheme_are_refused_with_both_counts():
    with pytest.raises(OptionError, match=r"MESH468 are 468 points, not 106"):
        three_points(np.zeros((106, 2)), LandmarkScheme.MESH468)


def test_a_face_that_lies_like_the_template_is_brought_onto_it():
    place = template(256) * 0.7 + (300, 40)
    np.testing.assert_allclose(map_points(_align(place), place), template(256), atol=1e-3)


def test_frames_without_a_face_get_no_transform():
    landmarks = np.stack([POINTS, np.full((3, 2), np.nan, np.float32), POINTS])
    transforms = align_track(landmarks, np.array([True, False, True]), 256)
    assert np.isnan(transforms[1]).all()
    np.testing.assert_array_equal(transforms[0], transforms[2])


def test_scale_and_shift_move_the_face_in_the_crop_by_that_much():
    plain = map_points(_align(POINTS), POINTS)
    width, height = crop_size(256)
    larger = map_points(_align(POINTS, AlignOptions(scale=1.1)), POINTS)
    np.testing.assert_allclose(larger - (width / 2, height / 2), 1.1 * (plain - (width / 2, height / 2)), atol=1e-3)
    lower = map_points(_align(POINTS, AlignOptions(shift_y=0.05)), POINTS)
    np.testing.assert_allclose(lower - plain, np.tile([0, 0.05 * height], (3, 1)), atol=1e-3)


def test_wide_samples_give_the_crop_of_the_square_picture():
    aspect = Fraction(3, 2)
    wide = _align(POINTS / np.float32([1.5, 1]), aspect=aspect)
    np.testing.assert_allclose(wide, _align(POINTS) * [[1.5, 1, 1], [1.5, 1, 1]], atol=1e-3)


def test_landmarks_are_smoothed_where_their_times_are_known_and_only_there():
    landmarks = POINTS + np.random.default_rng(0).normal(0, 0.4, (60, 3, 2)).astype(np.float32)
    seen, times = np.ones(60, bool), np.arange(60) / 25
    plain = align_track(landmarks, seen, 256)
    steady = align_track(landmarks, seen, 256, times=times)
    np.testing.assert_array_equal(
        align_track(landmarks, seen, 256, AlignOptions(smoothing_strength=0.0), times=times), plain
    )
    assert np.diff(steady[:, :, 2], axis=0).std() < 0.1 * np.diff(plain[:, :, 2], axis=0).std()


def test_the_references_preset_smooths_nothing():
    landmarks = POINTS + np.random.default_rng(0).normal(0, 2, (9, 3, 2)).astype(np.float32)
    seen, options = np.ones(9, bool), AlignOptions.reference()
    timed = align_track(landmarks, seen, 256, options, times=np.arange(9) / 25)
    np.testing.assert_array_equal(timed, align_track(landmarks, seen, 256, options))


def test_steadying_keeps_to_runs_of_visible_frames_or_to_given_stretches():
    landmarks = np.concatenate([np.tile(POINTS, (20, 1, 1)), np.tile(POINTS + 3, (20, 1, 1))])
    landmarks += np.random.default_rng(0).normal(0, 0.3, landmarks.shape).astype(np.float32)
    seen, times = np.ones(40, bool), np.arange(40) / 25
    cut = align_track(landmarks, seen, 256, times=times, segments=[(0, 20), (20, 40)])
    alone = align_track(landmarks[:20], seen[:20], 256, times=times[:20])
    np.testing.assert_allclose(cut[:20], alone, atol=1e-4)
    seen[20] = False
    np.testing.assert_allclose(align_track(landmarks, seen, 256, times=times)[:20], alone, atol=1e-4)


def test_wide_samples_are_smoothed_like_the_square_picture():
    landmarks = POINTS + np.random.default_rng(0).normal(0, 0.4, (40, 3, 2)).astype(np.float32)
    seen, times = np.ones(40, bool), np.arange(40) / 25
    wide = align_track(landmarks / np.float32([1.5, 1]), seen, 256, None, Fraction(3, 2), times)
    np.testing.assert_allclose(wide, align_track(landmarks, seen, 256, times=times) * [[1.5, 1, 1]], atol=2e-3)


@pytest.mark.parametrize(
    "wrong",
    [{"smoothing_strength": -0.1}, {"smoothing_strength": 9.5}, {"scale": 0.0}, {"scale": 9.0}, {"shift_y": 0.9}],
)
def test_corrections_beyond_reason_are_refused(wrong):
    with pytest.raises(OptionError, match=str(next(iter(wrong.values())))):
        AlignOptions(**wrong)


@pytest.mark.parametrize("points", [np.zeros((3, 2)), np.full((3, 2), np.nan)])
def test_points_that_coincide_are_refused(points):
    with pytest.raises(OptionError, match="coincide"):
        _align(points)


def test_a_crop_beyond_the_frame_is_grey():
    frame = astronaut.frame_of(torch.ones(40, 40, 3))
    away = np.array([[1.0, 0, 5000], [0, 1, 5000]])
    np.testing.assert_allclose(crop_face(frame, away, 256).numpy(), 127 / 255)


def test_a_crop_without_rounding_keeps_levels_between_the_8_bit_ones():
    value = 100.6 / 255
    frame = astronaut.frame_of(torch.full((200, 200, 3), value))
    transform = np.array([[2.0, 0, -20], [0, 2.0, -20]])
    assert crop_face(frame, transform, 256, eight_bit=False).mean() == pytest.approx(value, abs=1e-5)
    assert crop_face(frame, transform, 256).unique().tolist() == pytest.approx([101 / 255])


def test_a_crop_without_a_transform_is_refused():
    with pytest.raises(OptionError, match="visible face"):
        crop_face(astronaut.frame_of(torch.ones(8, 8, 3)), np.full((2, 3), np.nan), 256)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 7)])
def test_tiny_frames_are_cropped(size):
    crop = crop_face(astronaut.frame_of(torch.rand(*size, 3)), np.array([[30.0, 0, 90], [0, 30.0, 90]]), 64)
    assert crop.shape == (3, 64, 64)
    assert crop.isfinite().all()


def test_lanczos_keeps_flat_pictures_flat_and_rounds_only_where_asked():
    flat = torch.full((1, 20, 30), 77.0)
    assert lanczos4_levels(flat, (41, 13)).unique().tolist() == [77.0]
    noise = (torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(0)) * 255).floor()
    exact = lanczos4(noise, (37, 61))
    rounded = lanczos4_levels(noise, (37, 61))
    assert (rounded - exact.clamp(0, 255)).abs().max() < 1.5
    assert torch.equal(rounded, rounded.round())
