"""The time that work is expected to take: one run scales the known shares, further ones correct them."""

from __future__ import annotations

import numpy as np
import pytest

from latentsync_core.estimates.expected_time import ANY_SETUP, SHARES, expected_seconds
from latentsync_core.estimates.timings import Run, Work


def paste(frames: float, megapixels: float, patches: float) -> Work:
    return Work("paste", {"frames": frames, "megapixels": megapixels * frames, "patches": patches}, "speech")


def run_of(work: Work, costs: dict[str, float]) -> Run:
    return Run(sum(costs[unit] * amount for unit, amount in work.amounts.items()), work.amounts)


def test_without_a_run_of_its_kind_nothing_is_expected():
    assert expected_seconds(Work("denoise", {"passes": 10}, "nano"), {}) is None
    other = {"denoise another network": [Run(5.0, {"passes": 10})]}
    assert expected_seconds(Work("denoise", {"passes": 10}, "nano"), other) is None


def test_one_run_tells_the_time_of_more_of_the_same_work():
    timings = {"denoise nano": [Run(5.0, {"passes": 10})]}
    assert expected_seconds(Work("denoise", {"passes": 40}, "nano"), timings) == pytest.approx(20.0)


def test_one_run_scales_what_units_are_known_to_cost():
    costs = {unit: 3 * share for unit, share in SHARES["paste"].items()}  # a machine three times as slow
    timings = {"paste speech": [run_of(paste(75, 0.9, 75), costs)]}
    work = paste(200, 2.1, 400)
    assert expected_seconds(work, timings) == pytest.approx(run_of(work, costs).seconds)


def test_runs_correct_the_shares_where_they_do_not_hold_here():
    shares = SHARES["paste"]
    costs = {unit: share * factor for (unit, share), factor in zip(shares.items(), (1.0, 2.0, 0.6), strict=True)}
    seen = [paste(75, 0.2, 75), paste(75, 2.1, 75), paste(200, 0.9, 20), paste(100, 0.9, 200)]
    wanted = paste(150, 2.1, 30)
    truth = run_of(wanted, costs).seconds
    errors = []
    for count in (1, 4):
        timings = {"paste speech": [run_of(work, costs) for work in seen[:count]]}
        expected = expected_seconds(wanted, timings)
        assert expected is not None
        errors.append(abs(expected / truth - 1))
    assert errors[1] < errors[0]
    assert errors[1] < 0.1


def test_a_run_that_took_five_times_as_long_does_not_decide_alone():
    runs = [Run(seconds, {"passes": 10}) for seconds in (5.0, 5.2, 25.0, 4.9, 5.1)]
    expected = expected_seconds(Work("denoise", {"passes": 10}, "nano"), {"denoise nano": runs})
    assert expected is not None
    assert 4.5 < expected < 8


def test_work_whose_setup_matters_little_is_told_by_runs_with_another_one():
    timings = {"write h264 medium": [Run(4.0, {"frames": 100, "megapixels": 90})]}
    work = Work("write", {"frames": 100, "megapixels": 90}, "ffv1 medium")
    assert "write" in ANY_SETUP
    assert expected_seconds(work, timings) == pytest.approx(4.0)


def test_no_expectation_is_below_nothing():
    generator = np.random.default_rng(1)
    runs = [
        Run(float(generator.uniform(0.1, 10)), {"frames": float(frames), "megapixels": 0.1, "patches": 5.0})
        for frames in generator.integers(1, 500, 6)
    ]
    for frames in (0, 1, 1000):
        expected = expected_seconds(paste(frames, 0.0, 0), {"paste speech": runs})
        assert expected is not None
        assert expected >= 0
