"""The session's ComfyUI server (`comfy`) and servers with other flags (`comfy_with`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.comfyui.server import ComfyServer
from tests.comfyui.shared_server import shared_server, started, summarise


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "comfyui: needs a real ComfyUI; every test in tests/comfyui has it by itself")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.comfyui)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    summarise(terminalreporter, config)


@pytest.fixture(scope="session")
def comfy(pytestconfig: pytest.Config) -> ComfyServer:
    """A real ComfyUI server with this pack and the default flags, one for the whole session."""
    return shared_server(pytestconfig)


@pytest.fixture(scope="module")
def comfy_with(pytestconfig: pytest.Config) -> Iterator[Callable[..., ComfyServer]]:
    """Starts servers of a module's own, with ComfyServer's options; the same options give the same server."""
    servers: dict[str, ComfyServer] = {}

    def start(**options: object) -> ComfyServer:
        key = repr(sorted(options.items()))
        if key not in servers:
            servers[key] = started(pytestconfig, **options)
        return servers[key]

    yield start
    for server in servers.values():
        server.stop()
