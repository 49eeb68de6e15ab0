"""The gate's order: its longest files first, each of them there whatever has been renamed, and ComfyUI's by folder."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.conftest import LONGEST, SERVED, TESTS, pytest_xdist_make_scheduler


def test_the_files_that_are_begun_first_are_there():
    assert [name for name in LONGEST if not (TESTS / name).is_file()] == []
    assert len(set(LONGEST)) == len(LONGEST)


def test_the_tests_of_a_server_go_to_one_worker_and_the_others_by_file():
    pytest.importorskip("xdist")
    scheduler = pytest_xdist_make_scheduler(SimpleNamespace(getvalue={"dist": "loadfile", "tx": ["popen"]}.get), None)
    files = (
        "tests/browser/test_page.py",
        "tests/browser/test_nodes.py",
        "tests/comfyui/test_graph.py",
        "tests/cli/test_demo.py",
        "tests/dev/test_x.py",
    )
    assert all((TESTS.parent / folder).is_dir() for folder in SERVED)
    page, nodes, graph, demo, other = (scheduler._split_scope(f"{file}::test_one") for file in files)
    assert page == nodes
    assert len({page, graph, demo, other}) == 4
    assert pytest_xdist_make_scheduler(SimpleNamespace(getvalue={"dist": "load"}.get), None) is None
