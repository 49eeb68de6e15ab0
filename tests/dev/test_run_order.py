"""The gate begins with its longest files: each of them is there, whatever has been renamed."""

from __future__ import annotations

from tests.conftest import LONGEST, TESTS


def test_the_files_that_are_begun_first_are_there():
    assert [name for name in LONGEST if not (TESTS / name).is_file()] == []
    assert len(set(LONGEST)) == len(LONGEST)
