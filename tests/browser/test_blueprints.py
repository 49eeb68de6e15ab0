"""The blueprints: the page lists them, drops them into a graph, and they run there as one node."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dev.workflows.blueprints import BLUEPRINTS
from tests.browser.page import ComfyPage

FOLDER = Path(__file__).parents[2] / "subgraphs"
SAMPLE_SCENE = "LatentSyncDubSampleScene"
CLIP, TWO = ("scene", ["english_voice"]), ("two_people", ["her_english_voice", "his_english_voice"])
RUN_SECONDS = 900
SECONDS = 0.6  # of the scene, that are dubbed
_SHORTEN = """([id, steps]) => {
    for (const node of app.graph.getNodeById(id).subgraph.nodes)
        for (const widget of node.widgets ?? []) {
            if (widget.name === "quality") widget.value = "custom";
            if (widget.name === "steps") widget.value = steps;
        }
}"""


def drop(page: ComfyPage, name: str) -> str:
    """Finds a blueprint by its name in the page's search, takes it, puts it on the canvas; the id of its node."""
    before = set(page.page.evaluate("() => app.graph.nodes.map((node) => String(node.id))"))
    page.page.evaluate("() => app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
    page.page.locator("input:focus").wait_for()
    page.page.keyboard.type(name)
    page.page.get_by_text(name, exact=True).first.wait_for()
    page.page.wait_for_timeout(500)  # the list settles on what was typed
    page.page.keyboard.press("Enter")
    page.page.wait_for_function("(count) => app.graph.nodes.length > count", arg=len(before))
    page.page.mouse.click(1300, 300)
    (added,) = set(page.page.evaluate("() => app.graph.nodes.map((node) => String(node.id))")) - before
    return added


@pytest.mark.parametrize("blueprint", BLUEPRINTS, ids=lambda one: one.name)
def test_a_blueprint_is_found_by_its_name_and_has_its_inputs_and_widgets(page, blueprint):
    node = drop(page, blueprint.name)
    title, inputs, outputs = page.page.evaluate(
        """(id) => { const node = app.graph.getNodeById(id);
        return [node.title, node.inputs.map(({name}) => name), node.outputs.map(({name}) => name)]; }""",
        node,
    )
    assert title == blueprint.name
    assert inputs == [port.name for port in blueprint.inputs]
    assert outputs == [port.name for port in blueprint.outputs]
    saved = json.loads((FOLDER / f"{blueprint.name}.json").read_text("utf-8"))["nodes"][0]
    names = [name for _, name in saved["properties"]["proxyWidgets"]]
    assert page.widgets(node) == dict(zip(names, saved["widgets_values"], strict=True))
    assert page.problems() == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "clip", "voices"), [("Dub a clip", *CLIP), ("Dub two speakers", *TWO)])
def test_a_dropped_blueprint_dubs_the_sample_scene(page, name, clip, voices):
    """Quick: test_a_blueprint_is_found_by_its_name_and_has_its_inputs_and_widgets"""
    scene, dub = page.add(SAMPLE_SCENE), drop(page, name)
    part = page.add("Video Slice", (100, 500), start_time=0.4, duration=SECONDS)
    save = page.add("SaveVideo", (900, 600), filename_prefix="blueprint")
    page.page.evaluate(_SHORTEN, [dub, 1])
    page.connect(scene, clip, part, "video")
    page.connect(part, 0, dub, "clip")
    ports = [port.name for port in next(one for one in BLUEPRINTS if one.name == name).inputs if "voice" in port.name]
    for port, voice in zip(ports, voices, strict=True):
        page.connect(scene, voice, dub, port)
    page.connect(dub, "video", save, "video")
    run = page.queue(RUN_SECONDS)
    assert (run.status, run.error) == ("success", "")
    assert page.wait_for_video(source="blueprint")["seconds"] == pytest.approx(SECONDS, abs=0.05)
    assert page.problems() == []


@pytest.mark.slow
def test_the_sampler_s_faces_pass_a_dropped_restorer_on_their_way_into_the_clip(page):
    """Quick: test_a_blueprint_is_found_by_its_name_and_has_its_inputs_and_widgets"""
    scene, restore = page.add(SAMPLE_SCENE), drop(page, "Restore faces and composite")
    part = page.add("Video Slice", (100, 500), start_time=0.4, duration=SECONDS)
    model = page.add("LatentSyncDubLoadModel", (400, 500), model="nano (demonstration)")
    faces = page.add("LatentSyncDubPrepareFaces", (700, 500))
    voice = page.add("LatentSyncDubEmbedAudio", (1000, 500))
    sampler = page.add("LatentSyncDubSampler", (1300, 500), quality="custom", steps=1, seed=1)
    save = page.add("SaveVideo", (1600, 500), filename_prefix="restored")
    for source, output, target, name in (
        (scene, "scene", part, "video"), (part, 0, faces, "clip"), (model, "model", voice, "model"),
        (scene, "english_voice", voice, "audio"), (model, "model", sampler, "model"),
        (faces, "faces", sampler, "faces"),
        (voice, "audio", sampler, "audio"), (sampler, "synced", restore, "synced"),
        (restore, "video", save, "video"),
    ):  # fmt: skip
        page.connect(source, output, target, name)
    run = page.queue(RUN_SECONDS)
    assert (run.status, run.error) == ("success", "")
    page.show_all()  # a page shows no video of a node that is out of its view
    assert page.wait_for_video(source="restored")["seconds"] == pytest.approx(SECONDS, abs=0.05)
    assert page.problems() == []
