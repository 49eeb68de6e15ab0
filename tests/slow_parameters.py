"""Parameters of which some are quick: a test's others go down the same paths of code, and run with the slow tests."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pytest


def others_slow(parameters: Iterable, quick: Collection) -> list:
    """All `parameters`, values or tuples of them, those that are not in `quick` marked slow."""
    parameters = list(parameters)
    unknown = [one for one in quick if one not in parameters]
    assert not unknown, f"no parameters: {unknown}"
    return [one if one in quick else _slow(one) for one in parameters]


def _slow(one: object) -> object:
    values = one if isinstance(one, tuple) else (one,)
    return pytest.param(*values, marks=pytest.mark.slow)
