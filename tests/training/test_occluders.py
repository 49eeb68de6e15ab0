"""Occluders: they cover what their mask says, come and go on their path, and a seed gives the same bits."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from training.occlusion.data import make_batch, occluder_bank
from training.synthetic.crops import aligned_crop
from training.synthetic.occluders.objects import (
    HAND_GESTURES,
    KINDS,
    paint_occluder,
    paint_occluder_at,
    sample_occluder,
)
from training.synthetic.scenes.scene import render, talking_head

SIZE = 160  # pixels a side


@functools.cache
def _scene():
    frame, truth = next(iter(render(talking_head(3, seconds=0.04, size=(SIZE, SIZE), style="real"))))
    return frame, truth.faces[0]


def _painted(progress: float = 0.5, step: float = 0.0, seed: int = 1, **more):
    frame, face = _scene()
    picture = frame.copy()
    return picture, paint_occluder(picture, sample_occluder(seed, **more), face, progress, step)


@pytest.mark.parametrize("what", [{"kind": kind} for kind in KINDS] + [{"gesture": name} for name in HAND_GESTURES])
def test_it_covers_part_of_the_lower_face_and_the_mask_says_which(what):
    frame, face = _scene()
    for seed in (1, 2):
        picture, alpha = _painted(seed=seed, **what)
        assert alpha.shape == frame.shape[:2]
        assert alpha.dtype == np.float32
        assert 0 <= alpha.min() <= alpha.max() <= 1
        y, x = np.ogrid[:SIZE, :SIZE]
        middle = (face.mouth_corners.mean(0) + face.chin) / 2
        near = np.hypot(x - middle[0], y - middle[1]) < 0.5 * face.head_state.pose.scale
        assert alpha[near].mean() > 0.1
        changed = np.abs(picture.astype(int) - frame)
        assert np.median(changed[alpha > 0.99].max(1)) > 5  # another thing is seen there
        assert (picture[alpha == 0] <= frame[alpha == 0]).all()  # beyond it a shadow can only darken


def test_it_is_gone_before_and_after_its_passing_and_moves_in_between():
    areas = [_painted(progress)[1].sum() for progress in (0.0, 0.5, 1.0)]
    _, face = _scene()
    y, x = np.ogrid[:SIZE, :SIZE]
    mouth = face.mouth_corners.mean(0)
    near = np.hypot(x - mouth[0], y - mouth[1]) < 0.35 * face.head_state.pose.scale
    for seed in range(8):
        assert _painted(0.0, seed=seed)[1][near].max() == 0
        assert _painted(1.0, seed=seed)[1][near].max() == 0
    assert areas[1] > max(areas[0], areas[2])


def test_a_moving_one_is_blurred_along_its_way():
    progress = sample_occluder(1, gesture="wave").arrival * 0.75  # on its way, and in the picture
    _, sharp = _painted(progress, 0.0, gesture="wave")
    _, moved = _painted(progress, 0.08, gesture="wave")
    partial = [((a > 0.02) & (a < 0.98)).sum() for a in (sharp, moved)]
    assert partial[1] > 1.5 * partial[0]
    assert moved.sum() == pytest.approx(sharp.sum(), rel=0.1)


def test_a_seed_gives_the_same_bits_and_another_something_else():
    first, again, other = _painted(seed=5), _painted(seed=5), _painted(seed=6)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[1] != other[1]).any()


def test_a_hand_has_the_skin_that_is_asked_for():
    light = sample_occluder(0).light
    shown = []
    for skin in ((0.95, 0.84, 0.77), (0.28, 0.18, 0.14)):
        picture, alpha = _painted(kind="hand", gesture="palm", skin=skin, light=light)
        shown.append(np.median(picture[alpha > 0.99], axis=0))
    assert (shown[0] > shown[1] + 60).all()


def test_outside_the_frame_nothing_is_painted():
    frame, _ = _scene()
    picture = frame.copy()
    alpha = paint_occluder_at(picture, sample_occluder(2, "cup"), (-400.0, -300.0), 30.0, 0.5)
    assert alpha.max() == 0
    np.testing.assert_array_equal(picture, frame)


def test_a_training_batch_follows_from_its_step_and_its_masks_say_where_something_is(tmp_path):
    bank = occluder_bank(12, tmp_path)
    frame, face = _scene()
    crop = (aligned_crop(frame, face.three_points) * 255).round().byte().numpy()
    crops = np.repeat(np.repeat(crop[None, None], 3, 1), 4, 0)  # four people of three frames
    batch, again, next_one = (make_batch(crops, bank, step, 0, 24) for step in (0, 0, 1))
    assert batch.crops.shape == batch.portraits.shape == (24, 3, 48, 64)
    assert batch.masks.shape == (24, 48, 64)
    for part in ("crops", "portraits", "masks"):
        torch.testing.assert_close(getattr(batch, part), getattr(again, part), rtol=0, atol=0)
        assert 0 <= getattr(batch, part).min() <= getattr(batch, part).max() <= 1
    assert (batch.crops != next_one.crops).any()
    covered = batch.masks.amax((1, 2)) > 0.5
    assert 0.2 < covered.float().mean() < 0.9
    away = (batch.crops - batch.portraits).abs().mean(1)
    assert away[batch.masks > 0.9].mean() > 1.3 * away[batch.masks < 0.1].mean()


def test_a_painted_bank_is_kept_and_another_one_is_other_occluders(tmp_path):
    bank = occluder_bank(3, tmp_path)
    np.testing.assert_array_equal(bank, occluder_bank(3, tmp_path))
    assert (bank[0] != occluder_bank(3, tmp_path, first=7)[0]).any()
    assert bank[:, 3].max() == 255
