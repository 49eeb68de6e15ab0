"""The session's ComfyUI server (`comfy`) and servers with other flags (`comfy_with`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from latentsync_core.models.loading.bundle import save_bundle
from latentsync_core.models.loading.untrained import untrained_model
from tests.comfyui.harness.graphs import make_material
from tests.comfyui.harness.server import ComfyServer
from tests.comfyui.harness.shared_server import HELPERS, STAND_INS, shared_server, start_server


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "comfyui: needs a real ComfyUI; every test in tests/comfyui has it by itself")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.comfyui)


@pytest.fixture(scope="session")
def comfy(pytestconfig: pytest.Config) -> ComfyServer:
    """A real ComfyUI server with this pack and the default flags, one for the whole session."""
    return shared_server(pytestconfig)


@pytest.fixture(scope="session")
def comfy_with(pytestconfig: pytest.Config) -> Iterator[Callable[..., ComfyServer]]:
    """Starts further servers, with ComfyServer's options; the same options give the same server."""
    servers: dict[str, ComfyServer] = {}

    def start(**options: object) -> ComfyServer:
        key = repr(sorted(options.items()))
        if key not in servers:
            servers[key] = start_server(pytestconfig, **options)
        return servers[key]

    yield start
    for server in servers.values():
        server.stop()


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the small clips and voices of graphs.MATERIAL."""
    return make_material(tmp_path_factory.mktemp("material"))


@pytest.fixture(scope="session")
def dub(comfy: ComfyServer, material: Path) -> ComfyServer:
    """The session's server with that material in its input folder (copies: ComfyUI follows no link out of it)."""
    comfy.put_files(comfy.input, {path.name: path.read_bytes() for path in material.iterdir()})
    return comfy


@pytest.fixture(scope="session")
def dub_classic(
    comfy_with: Callable[..., ComfyServer], material: Path, tmp_path_factory: pytest.TempPathFactory
) -> ComfyServer:
    """A server that keeps the outputs of the last prompt and no others, so that it is sure which nodes run again; it
    also has stand-ins for the other packs that workflows name, a second models folder, and no metadata in its files."""
    more = tmp_path_factory.mktemp("more")
    save_bundle(untrained_model(device="cpu"), more / "networks" / "elsewhere")
    (more / "extra.yaml").write_text(f"more:\n  base_path: {more}\n  latentsync: networks\n", "utf-8")
    flags = ["--cache-classic", "--disable-metadata", "--extra-model-paths-config", str(more / "extra.yaml")]
    inputs = {path.name: path.read_bytes() for path in material.iterdir()}
    return comfy_with(flags=flags, packs=[HELPERS, STAND_INS], inputs=inputs)
