"""Lip Sync's face picker in ComfyUI's page: its choice is one hidden text, and decides who is synced."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from latentsync_core.sample_scene import TWO_PEOPLE
from tests.browser.drawn_face import FACE, SIZE, write_drawn_face
from tests.browser.test_marking import drag
from tests.browser.test_picker import BOTH, face, look_at, open_picker, portrait

DRAWN = "page_drawn_lips.mp4"


@pytest.fixture(scope="module")
def drawn(comfy, open_page) -> None:
    write_drawn_face(comfy.input / DRAWN)
    open_page.refresh()


def lip_sync(page, vue: bool, clip: str = "", **widgets: object) -> str:
    """A fifth of a second of two people, or a file, with a voice; the id of Lip Sync, in view at its own size."""
    page.page.evaluate("() => { app.rootGraph.id = crypto.randomUUID(); }")
    scene = page.add("LatentSyncDubSampleScene", at=(0, 0))
    values = {"model": "untrained (demonstration)", "steps": 1, "cfg": 1.0, "quality": "custom", "seed": 1}
    lips = page.add("LatentSyncDubLipSync", at=(400, 0), **values | {"face_choice": ""} | widgets)
    if clip:
        page.connect(page.add("LoadVideo", at=(0, 300), file=clip), 0, lips, "clip")
    else:
        part = page.add("Video Slice", at=(0, 300), start_time=0.0, duration=0.2)
        page.connect(scene, "two_people", part, "video")
        page.connect(part, 0, lips, "clip")
    page.connect(scene, "english_voice", lips, "audio")
    page.use_vue_nodes(vue)
    look_at(page, lips)
    return lips


def left_and_right_changed(page, node: str, run) -> tuple[float, float]:
    """How far the result's left and right half differ from the clip, in levels."""
    import numpy as np

    from latentsync_core.video.reading.probing import probe
    from latentsync_core.video.reading.reader import FrameReader

    (entry,) = run.outputs[node]["images"]
    result = page.server.temp / entry["subfolder"] / entry["filename"]
    frames = []
    for path in (result, TWO_PEOPLE):
        with FrameReader(probe(path), stop=3) as reader:
            frames.append(np.stack([frame.rgb().numpy() for frame in reader]) * 255)
    difference = np.abs(frames[0] - frames[1])
    half = difference.shape[-1] // 2
    return float(difference[..., :half].max()), float(difference[..., half:].max())


@BOTH
def test_a_click_on_the_second_face_syncs_that_one(page, vue):
    lips = lip_sync(page, vue)
    first = page.queue(600)
    assert (first.status, first.error) == ("success", "")
    open_picker(page)
    face(page, 1).click()
    expect(portrait(page, 1)).to_contain_text("frames synced")
    assert json.loads(page.widgets(lips)["face_choice"]) == {"person": 1}
    second = page.queue(600)
    assert (second.status, second.error) == ("success", "")
    assert page.problems() == []
    before, after = (left_and_right_changed(page, lips, run) for run in (first, second))
    assert before[0] < before[1], "the person on the right is seen most"
    assert after[0] > after[1]


@BOTH
def test_the_choice_is_hidden_and_is_saved_last(page, vue):
    lips = lip_sync(page, vue, face_choice='{"person":1}')
    saved = next(node for node in page.workflow()["nodes"] if node["type"] == "LatentSyncDubLipSync")
    assert saved["widgets_values"][-1] == '{"person":1}'
    assert page.prompt()[lips]["inputs"]["face_choice"] == '{"person":1}'
    assert page.page.evaluate(
        "(id) => app.graph.getNodeById(id).widgets.find(({name}) => name === 'face_choice').hidden", int(lips)
    )
    if vue:
        assert page.vue_node(lips).get_by_text("face_choice").count() == 0
    saved["widgets_values"].pop()  # of before there was a picker
    page.load_workflow({**page.workflow(), "nodes": [saved], "links": []})
    page.page.wait_for_timeout(300)
    assert page.widgets(str(saved["id"]))["face_choice"] == ""


@BOTH
def test_a_box_on_a_drawn_face_syncs_it(page, drawn, vue):
    lips = lip_sync(page, vue, clip=DRAWN)
    failed = page.queue(600)
    assert "no face was found" in failed.error
    page.page.evaluate("() => { app.lastNodeErrors = null; app.lastExecutionError = null; }")
    expect(page.page.get_by_alt_text("Frame 0 of the clip")).to_be_visible(timeout=30_000)
    # Boxes are drawn once the server has said that there is no faint face either.
    expect(page.page.locator(".lsd-message")).to_contain_text("Drag a box around the whole face", timeout=60_000)
    drag(page, FACE, SIZE)
    expect(page.page.locator(".lsd-message")).to_contain_text("Marked in frame 0")
    (mark,) = json.loads(page.widgets(lips)["face_choice"])["marks"]
    assert mark["box"] == pytest.approx(FACE, abs=3)
    done = page.queue(600)
    assert (done.status, done.error) == ("success", "")
    expect(portrait(page, 0)).to_contain_text("frames synced", timeout=30_000)
