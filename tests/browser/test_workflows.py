"""The shipped workflows in ComfyUI's template browser: listed, pictured, and opened with every node there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.comfyui.third_party.check import BYPASSED
from tests.comfyui.third_party.node_facts import load_facts

FOLDER = Path(__file__).parents[2] / "workflows"
WORKFLOWS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
RECORDED = load_facts()  # other packs' nodes, by class
FIRST = next(iter(WORKFLOWS))
CLONED_VOICE = next(name for name in WORKFLOWS if name.startswith("06 "))
PARTNERS = "ElevenLabs"  # core's nodes that ask a paid service, which test servers don't load


def kinds(workflow: dict) -> set[str]:
    """The node classes of a saved workflow."""
    return {node["type"] for node in workflow["nodes"]}


def test_the_template_browser_lists_every_workflow_with_its_picture(page):
    assert sorted(page.open_templates()) == sorted(WORKFLOWS)
    assert page.template_pictures() == dict.fromkeys(WORKFLOWS, True)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_opens_with_all_its_nodes(page, name):
    page.load_workflow(FOLDER / f"{name}.json")
    opens_whole(page, name)


@pytest.mark.parametrize(
    "name", [name if name == FIRST else pytest.param(name, marks=pytest.mark.slow) for name in WORKFLOWS]
)
def test_a_template_opens_with_all_its_nodes(page, name):
    """Quick: test_a_workflow_opens_with_all_its_nodes, and the first of these."""
    page.open_templates()
    page.open_template(name)
    opens_whole(page, name)


def opens_whole(page, name: str) -> None:
    """The page has all nodes and links of a shipped workflow, draws them, and misses other packs' nodes alone."""
    shipped, opened = WORKFLOWS[name], page.workflow()
    missing = {kind for kind in kinds(shipped) if kind in RECORDED or kind.startswith(PARTNERS)}
    assert set(page.missing_nodes()) == missing
    assert kinds(opened) == kinds(shipped)
    assert len(opened["links"]) == len(shipped["links"])
    if not missing:
        assert page.warning() == ""
    page.use_vue_nodes(True)
    assert page.page.locator("[data-node-id]").count() == len(shipped["nodes"])
    assert page.problems() == []


def test_the_page_names_the_packs_that_the_cloned_voice_needs(page):
    page.open_templates()
    page.open_template(CLONED_VOICE)
    page.visible_error()
    page.open_error_details()
    active = {node["type"] for node in WORKFLOWS[CLONED_VOICE]["nodes"] if node["mode"] != BYPASSED} & set(RECORDED)
    packs = {RECORDED[kind].registry[1] for kind in active}
    assert len(packs) >= 2
    assert {pack for pack in packs if not page.shows_text(pack)} == set()
