"""The session's server and page (`comfy`, `page`), started once; skipped with the reason where one is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.comfyui.harness.server import ComfyServer
from tests.comfyui.harness.shared_server import shared_server, skip

FIRST_KNOWN = (0, 33, 0)  # on 0.3.64 graphs run too, but errors, Vue nodes and the audio widget differ


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: drives ComfyUI's page in chromium; every test in tests/browser has it")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def comfy(pytestconfig: pytest.Config) -> ComfyServer:
    """The server that tests/comfyui uses too."""
    return shared_server(pytestconfig)


@pytest.fixture(scope="package")  # closed before the other tests: an open page draws all the time
def browser(pytestconfig: pytest.Config) -> Iterator[object]:
    """A headless chromium: the one that CHROMIUM names, else the first of the usual names on the path."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        skip(pytestconfig, "browser", "playwright isn't installed; run pip install playwright")
    names = [os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"]
    chromium = next(filter(None, (shutil.which(name) for name in names if name)), None)
    if chromium is None:
        skip(pytestconfig, "browser", "no chromium on the path; install one or set CHROMIUM to its program")
    from tests.browser.page import launch

    with sync_playwright() as playwright:
        browser = launch(playwright, chromium)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def open_page(pytestconfig: pytest.Config, browser: object, comfy: ComfyServer) -> Iterator[object]:
    """The one page of all these tests; they take `page`, which empties it first."""
    from tests.browser.page import ComfyPage

    if tuple(map(int, comfy.comfy.version.split("."))) < FIRST_KNOWN:
        skip(pytestconfig, "browser", f"the page of ComfyUI {comfy.comfy.version} is older than the one driven here")
    page = ComfyPage(browser, comfy)
    page.open()
    yield page
    page.close()


@pytest.fixture(scope="package")
def counted(comfy: ComfyServer, open_page: object) -> None:
    """Clips that carry their frames' numbers, and voices, in ComfyUI's input folder."""
    from tests.browser.counted_clip import write_counted_material

    write_counted_material(comfy.input)
    open_page.refresh()


@pytest.fixture(scope="module")  # the server forgets results after a while
def results(comfy: ComfyServer, counted: None) -> dict[str, str]:
    """The keys by which the page compares results of these clips with them."""
    from tests.browser.counted_clip import RESULTS, counted_result

    return {name: counted_result(comfy, name) for name in RESULTS}


@pytest.fixture(scope="module")
def h264_result(comfy: ComfyServer, counted: None) -> str:
    """The key of the first of them alone."""
    from tests.browser.counted_clip import counted_result

    return counted_result(comfy, "h264")


@pytest.fixture
def page(open_page: object) -> object:
    """The page with an empty graph, classic nodes and no problems noted."""
    open_page.clear()
    open_page.use_vue_nodes(False)
    open_page.forget_problems()
    return open_page
