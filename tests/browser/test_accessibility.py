"""axe-core finds no fault in our elements, in both kinds of nodes: the face pickers, the player and its button."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.test_picker import BOTH, face, open_picker, two_people
from tests.browser.test_player import open_player, show_result
from tests.comfyui.harness.shared_server import skip

_FAULTS = """async (selector) => {
    const {violations} = await axe.run({include: [[selector]]}, {resultTypes: ["violations"]});
    return violations.flatMap(({id, help, nodes}) => nodes.map((node) => `${id}: ${help}: ${node.html}`));
}"""


@pytest.fixture(scope="module")
def axe(pytestconfig: pytest.Config) -> str:
    """axe-core's script, as the package for tests carries it."""
    try:
        import axe_playwright_python
    except ImportError:
        skip(pytestconfig, "axe-core", "axe-playwright-python isn't installed; run pip install axe-playwright-python")
    return Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")


def faults(page, axe: str, selector: str) -> list[str]:
    """What axe-core finds wrong with the elements of a selector, a line each."""
    page.page.evaluate(axe)
    assert page.page.evaluate("(selector) => document.querySelectorAll(selector).length", selector) > 0
    return page.page.evaluate(_FAULTS, selector)


def test_a_fault_is_found_where_there_is_one(page, axe):
    page.page.evaluate("""() => {
        const box = document.createElement("div");
        box.className = "faulty";
        box.innerHTML = '<button></button><div role="slider" tabindex="0"></div>';
        document.body.append(box);
    }""")
    found = faults(page, axe, ".faulty")
    page.page.evaluate("() => document.querySelector('.faulty').remove()")
    assert {fault.split(":")[0] for fault in found} >= {"button-name", "aria-required-attr"}


@BOTH
def test_the_picker_has_none(page, axe, vue):
    two_people(page, vue)
    open_picker(page)
    expect(face(page, 0)).to_have_attribute("aria-pressed", "true")
    assert faults(page, axe, ".lsd-picker") == []
    page.page.get_by_role("button", name="mark a face by hand").click()
    assert faults(page, axe, ".lsd-picker") == []


@BOTH
def test_lip_syncs_picker_has_none(page, axe, vue):
    select = two_people(page, vue)
    output = page.node_outputs()[select]
    lips = page.add("LatentSyncDubLipSync", at=(750, 0))
    page.page.evaluate("(id) => app.graph.remove(app.graph.getNodeById(id))", int(select))
    page.page.evaluate(
        "([id, output]) => app.graph.getNodeById(id).onExecuted(output)",
        [int(lips), json.loads(json.dumps({"latentsync_scene": output["latentsync_scene"]}))],
    )
    open_picker(page)
    expect(face(page, 0)).to_have_attribute("aria-pressed", "true")
    assert faults(page, axe, ".lsd-picker") == []


@BOTH
def test_the_player_and_its_button_have_none(page, axe, h264_result, vue):
    show_result(page, h264_result, vue)
    expect(page.page.get_by_role("button", name="Compare with the filmed picture")).to_be_visible()
    assert faults(page, axe, ".lsd-picker") == []
    dialog = open_player(page)
    assert faults(page, axe, ".lsd-player") == []
    page.page.keyboard.press("z")
    dialog.get_by_role("button", name="Play", exact=True).click()
    assert faults(page, axe, ".lsd-player") == []
    page.page.keyboard.press("Escape")
