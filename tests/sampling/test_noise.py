"""Noise belongs to a seed, a person and a source frame, whatever window it is drawn in."""

from __future__ import annotations

import pytest
import torch

from latentsync_core.sampling.noise import frame_noise

SHAPE = (4, 32, 32)


def test_a_frame_s_noise_is_the_same_alone_and_in_company():
    together = frame_noise(7, 0, [10, 11, 12], SHAPE, sharing=0.5)
    assert torch.equal(frame_noise(7, 0, [11], SHAPE, sharing=0.5)[0], together[1])


@pytest.mark.parametrize("other", [(8, 0, [5]), (7, 1, [5]), (7, 0, [6])])
def test_seed_person_and_frame_each_change_it(other):
    assert not torch.equal(frame_noise(7, 0, [5], SHAPE, 0.5), frame_noise(*other, SHAPE, 0.5))


@pytest.mark.parametrize("sharing", [0.0, 0.5, 1.0])
def test_sharing_is_the_correlation_between_frames_and_leaves_the_spread_alone(sharing):
    noise = frame_noise(1, 0, list(range(40)), SHAPE, sharing).flatten(1)
    assert noise.std() == pytest.approx(1.0, abs=0.02)
    correlation = torch.corrcoef(noise)[~torch.eye(40, dtype=torch.bool)].mean().item()
    assert correlation == pytest.approx(sharing, abs=0.02)


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    frame_noise(3, 0, [1], SHAPE, 0.5)
    assert torch.equal(before, torch.get_rng_state())


def test_seeds_up_to_64_bits_are_taken():
    assert frame_noise(2**64 - 1, 0, [0], SHAPE, 0.5).isfinite().all()
