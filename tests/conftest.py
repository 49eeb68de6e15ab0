"""How the gate runs: in two workers of one thread each; what they say of a ComfyUI goes into the summary."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch comes: two workers' threads would wait for each other

import pytest

from tests.comfyui.harness.shared_server import summary_lines

_LINES = pytest.StashKey[list[str]]()  # of the workers' summaries


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["lines"] = summary_lines(session.config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    node.config.stash.setdefault(_LINES, []).extend(getattr(node, "workeroutput", {}).get("lines", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in [*config.stash.get(_LINES, []), *summary_lines(config)]:
        terminalreporter.write_line(line, bold=True)
