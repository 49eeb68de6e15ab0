"""One server for all tests of a session that need no flags of their own, and a loud word where there is none."""

from __future__ import annotations

import pytest

from tests.comfyui.harness.find import PACK, ComfyMissing
from tests.comfyui.harness.server import ComfyServer

HELPERS = PACK / "tests" / "comfyui" / "helper_nodes"  # packs that tests put beside ours
STAND_INS = PACK / "tests" / "comfyui" / "third_party" / "stand_in_pack"
_SERVER = pytest.StashKey[ComfyServer]()
_REASONS = pytest.StashKey[dict]()


def shared_server(config: pytest.Config) -> ComfyServer:
    """The session's server, started at the first call and stopped with the session; skips where there can't be one."""
    if _SERVER not in config.stash:
        config.stash[_SERVER] = start_server(config, packs=[HELPERS])
        config.add_cleanup(config.stash[_SERVER].stop)
    return config.stash[_SERVER]


def start_server(config: pytest.Config, **options: object) -> ComfyServer:
    """A started server with ComfyServer's options, to be stopped by the caller; skips where there can't be one."""
    if "real ComfyUI" in config.stash.get(_REASONS, {}):
        skip(config, "real ComfyUI", config.stash[_REASONS]["real ComfyUI"])
    try:
        server = ComfyServer(**options)
        server.start()
    except ComfyMissing as missing:
        skip(config, "real ComfyUI", str(missing))
    return server


def skip(config: pytest.Config, what: str, reason: str) -> None:
    """Skips the running test and has the summary at the end say what was skipped and why."""
    config.stash.setdefault(_REASONS, {})[what] = reason
    pytest.skip(f"{what}: {reason}")


def summary_lines(config: pytest.Config) -> list[str]:
    """One line for each thing that was skipped, and the version of the ComfyUI that was there."""
    lines = [f"{what}: SKIPPED because {reason}" for what, reason in config.stash.get(_REASONS, {}).items()]
    if _SERVER in config.stash:
        server = config.stash[_SERVER]
        lines.append(f"real ComfyUI {server.comfy.version}: ready in {server.start_seconds:.0f} s")
    return lines
