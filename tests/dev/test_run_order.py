"""The gate's order: its longest files first, each of them there whatever has been renamed, and ComfyUI's together."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.conftest import LONGEST, SERVED, SERVED_LAST, TESTS, pytest_xdist_make_scheduler


def test_the_files_that_are_begun_first_are_there():
    assert [name for name in LONGEST if not (TESTS / name).is_file()] == []
    assert len(set(LONGEST)) == len(LONGEST)


def test_the_tests_of_comfyui_go_to_one_worker_but_for_the_last_and_the_others_by_file():
    pytest.importorskip("xdist")
    scheduler = pytest_xdist_make_scheduler(SimpleNamespace(getvalue={"dist": "loadfile", "tx": ["popen"]}.get), None)
    files = (
        "tests/browser/test_page.py",
        "tests/comfyui/test_batch.py",
        *SERVED_LAST,
        "tests/cli/test_demo.py",
        "tests/dev/test_x.py",
    )
    assert all((TESTS.parent / folder).is_dir() for folder in SERVED)
    page, node, *last, demo, other = (scheduler._split_scope(f"{file}::test_one") for file in files)
    assert page == node
    assert len({page, *last, demo, other}) == 3 + len(SERVED_LAST)
    assert all((TESTS.parent / file).is_file() for file in SERVED_LAST)
    assert pytest_xdist_make_scheduler(SimpleNamespace(getvalue={"dist": "load"}.get), None) is None
