"""Runs of equal values in arrays over frames."""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def runs(*columns: np.ndarray) -> list[tuple[int, int]]:
    """The half-open ranges, together 0 to N, in which none of the (N,) arrays changes its value; in order."""
    if not len(columns[0]):
        return []
    changes = np.any([np.diff(column) != 0 for column in columns], axis=0)
    return list(pairwise([0, *(np.flatnonzero(changes) + 1).tolist(), len(changes) + 1]))


def runs_where(mask: np.ndarray, *columns: np.ndarray) -> list[tuple[int, int]]:
    """The runs of `columns`, (N,) each, in which the (N,) bool array `mask` is True throughout."""
    return [(start, stop) for start, stop in runs(mask, *columns) if mask[start]]
