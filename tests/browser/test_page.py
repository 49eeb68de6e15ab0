"""ComfyUI's page, driven on core nodes: what the other tests here rely on."""

from __future__ import annotations

import pytest
from PIL import Image

from tests.comfyui.harness.workflow_to_prompt import workflow_to_prompt


def red_image(page, **more: object) -> str:
    """A one-coloured image with a preview beside it."""
    source = page.add("EmptyImage", width=64, height=32, batch_size=1, color=0xFF0000, **more)
    target = page.add("PreviewImage", at=(500, 100))
    page.connect(source, "IMAGE", target, "images")
    return target


def test_the_page_opens_without_a_problem(open_page):
    open_page.forget_problems()
    open_page.open()
    assert open_page.problems() == []


def test_a_graph_runs_and_shows_its_picture(page):
    target = red_image(page)
    run = page.queue()
    assert run.status == "success"
    assert run.outputs[target]["images"][0]["filename"].endswith(".png")
    assert page.problems() == []


def test_a_refused_graph_says_why(page):
    page.add("PreviewImage")
    run = page.queue()
    assert run.status == "refused"
    assert "images" in run.error
    assert page.visible_error()


def test_a_failing_node_shows_its_error(page, comfy):
    comfy.put_files(comfy.input, {"bad.png": b"no picture"})
    source = page.add("LoadImage", image="bad.png")
    page.connect(source, 0, page.add("PreviewImage", at=(500, 100)), "images")
    run = page.queue()
    assert run.status == "error"
    assert "bad.png" in run.error
    assert page.visible_error()


@pytest.mark.parametrize("vue", [False, True], ids=["classic", "vue"])
def test_both_kinds_of_nodes_are_drawn(page, tmp_path, vue):
    red_image(page)
    page.use_vue_nodes(vue)
    picture = Image.open(page.screenshot(tmp_path / "page.png"))
    assert picture.size == (1600, 1000)
    assert len(picture.convert("RGB").getcolors(1 << 24)) > 100


def test_a_saved_graph_becomes_the_prompt_that_the_page_queues(page):
    source = page.add("EmptyImage", width=96)
    bypassed = page.add("ImageInvert")
    page.set_mode(bypassed, 4)
    page.connect(source, 0, bypassed, "image")
    reroute = page.add("Reroute")
    page.connect(bypassed, 0, reroute, "")
    resized = page.add("ImageScale", width=40, height=20)
    page.connect(reroute, 0, resized, "image")
    for output in ("PreviewImage", "SaveImage"):
        page.connect(resized, 0, page.add(output), "images")
    muted = page.add("ImageInvert")
    page.set_mode(muted, 2)
    page.connect(source, 0, muted, "image")
    page.connect(muted, 0, page.add("SaveImage"), "images")
    kinds = ("KSampler", "LoadImage", "LoadVideo", "LoadAudio", "SaveVideo", "SaveAudio", "CreateVideo")
    for kind in (*kinds, "Note"):
        page.add(kind)
    exported = {node: {k: v for k, v in entry.items() if k != "_meta"} for node, entry in page.prompt().items()}
    # Their lists of files grow while tests run: as they are now, as for the page.
    info = page.server.object_info() | {kind: page.server.node_info(kind) for kind in kinds}
    assert workflow_to_prompt(page.workflow(), info) == exported
