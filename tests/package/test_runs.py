"""Runs of equal values, as half-open ranges."""

from __future__ import annotations

import numpy as np

from latentsync_core.runs import runs, runs_where


def test_runs_of_a_mask_are_half_open_ranges():
    assert runs_where(np.array([True, False, True, True])) == [(0, 1), (2, 4)]
    assert runs_where(np.zeros(3, bool)) == []
    assert runs_where(np.zeros(0, bool)) == []


def test_runs_cover_everything_and_end_where_any_column_changes():
    track, outcome = np.array([0, 0, 0, 1, 1]), np.array([5, 5, 6, 6, 6])
    assert runs(track, outcome) == [(0, 2), (2, 3), (3, 5)]
    assert runs(np.array([7])) == [(0, 1)]
    assert runs(np.zeros(0, int)) == []


def test_runs_of_a_mask_are_cut_where_a_column_changes():
    present = np.array([False, True, True, True, True, False, True])
    assert runs_where(present, np.array([3, 3, 3, 4, 4, 4, 4])) == [(1, 3), (3, 5), (6, 7)]
