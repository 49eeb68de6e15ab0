"""How the gate runs: in two workers, each file whole in one of them, and all that needs a ComfyUI in the same one."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch comes: two workers' threads would wait for each other

import pytest

from tests.comfyui.harness.shared_server import summary_lines

SERVER_FOLDERS = {"comfyui", "browser"}  # one server for both
_LINES = pytest.StashKey[list[str]]()  # of the workers' summaries


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        needs_server = item.path.parent.name in SERVER_FOLDERS
        item.add_marker(pytest.mark.xdist_group("comfyui" if needs_server else item.path.as_posix()))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "xdist_group(name): tests of one group run in one worker of pytest-xdist")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["lines"] = summary_lines(session.config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    node.config.stash.setdefault(_LINES, []).extend(getattr(node, "workeroutput", {}).get("lines", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in [*config.stash.get(_LINES, []), *summary_lines(config)]:
        terminalreporter.write_line(line, bold=True)
