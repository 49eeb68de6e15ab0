"""Marking faces in ComfyUI's page: a box that is drawn in a picker goes into the marks of Prepare Faces."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tests.browser.drawn_face import FACE, FRAMES, SIZE, write_drawn_face
from tests.browser.test_picker import BOTH, look_at, open_picker, portrait, two_people

CLIP = "page_drawn_face.mp4"


@pytest.fixture(scope="module")
def drawn(comfy, open_page) -> None:
    write_drawn_face(comfy.input / CLIP)
    open_page.refresh()


def drawn_face(page, vue: bool, **widgets: object) -> str:
    """A graph that prepares the drawn face; the id of Prepare Faces, in view at its own size."""
    page.page.evaluate("() => { app.rootGraph.id = crypto.randomUUID(); }")
    clip = page.add("LoadVideo", at=(0, 0), file=CLIP)
    faces = page.add("LatentSyncDubPrepareFaces", at=(350, 0), **{"marks": ""} | widgets)
    page.connect(clip, 0, faces, "clip")
    page.use_vue_nodes(vue)
    look_at(page, faces)
    return faces


def drag(page, box: tuple[int, int, int, int], size: tuple[int, int]) -> None:
    """Draws a box in the picker's frame, in the clip's pixels."""
    stage = page.page.locator(".lsd-stage")
    stage.scroll_into_view_if_needed()
    shown = None
    while (now := stage.bounding_box()) != shown:  # the node grows as its picture comes
        shown = now
        page.page.wait_for_timeout(200)
    scale = shown["width"] / size[0]
    points = [(shown["x"] + x * scale, shown["y"] + y * scale) for x, y in (box[:2], box[2:])]
    page.page.mouse.move(*points[0])
    page.page.mouse.down()
    page.page.mouse.move(*points[1], steps=4)
    page.page.mouse.up()


def marks(page, node: str) -> list[dict]:
    return json.loads(page.widgets(node)["marks"] or "[]")


def dismiss_error(page) -> None:
    page.page.evaluate("() => { app.lastNodeErrors = null; app.lastExecutionError = null; }")


@BOTH
def test_a_dragged_box_on_a_drawn_face_syncs_it(page, drawn, vue):
    faces = drawn_face(page, vue)
    failed = page.queue(300)
    assert failed.status == "error"
    assert "no face was found" in failed.error
    dismiss_error(page)
    expect(page.page.get_by_alt_text("Frame 0 of the clip")).to_be_visible(timeout=30_000)
    expect(page.page.locator(".lsd-message")).to_contain_text("Drag a box around the whole face", timeout=60_000)
    drag(page, FACE, SIZE)
    expect(page.page.locator(".lsd-message")).to_contain_text("Marked in frame 0")
    (mark,) = marks(page, faces)
    assert mark["frame"] == 0
    assert mark["box"] == pytest.approx(FACE, abs=3)
    done = page.queue(300)
    assert (done.status, done.error) == ("success", "")
    assert done.outputs[faces]["text"][0].startswith(f"{FRAMES} of {FRAMES} frames synced")


@BOTH
def test_a_box_drawn_in_select_faces_goes_to_the_prepare_faces_before_it(page, vue):
    select = two_people(page, vue)
    open_picker(page)
    page.page.get_by_role("button", name="mark a face by hand").click()
    drag(page, (20, 20, 90, 110), (768, 432))
    expect(page.page.locator(".lsd-message")).to_contain_text("Marked in frame 0")
    faces = str(page.workflow()["nodes"][2]["id"])
    assert [mark["frame"] for mark in marks(page, faces)] == [0]
    drag(page, (24, 20, 94, 110), (768, 432))
    drag(page, (600, 20, 700, 130), (768, 432))
    expect(page.page.locator(".lsd-message")).to_contain_text("Marked in frame 0")
    page.page.wait_for_timeout(500)
    assert [mark.get("face", 0) for mark in marks(page, faces)] == [0, 1], "the second box is the first one, moved"
    page.page.keyboard.press("Control+z")
    page.page.wait_for_timeout(1500)
    assert len(marks(page, faces)) == 1
    assert page.widgets(select)["by"] == "largest"


def test_a_click_on_what_the_detector_sees_faintly_marks_it(page):
    two_people(page)
    open_picker(page)
    page.page.get_by_role("button", name="mark a face by hand").click()
    faint = page.page.get_by_role("button", name="Mark what may be a face").first
    faint.click(timeout=30_000)
    expect(page.page.locator(".lsd-message")).to_contain_text("Marked in frame 0")
    faces = str(page.workflow()["nodes"][2]["id"])
    assert len(marks(page, faces)) == 1


def test_a_box_may_begin_on_what_the_detector_sees_faintly(page):
    two_people(page)
    open_picker(page)
    page.page.get_by_role("button", name="mark a face by hand").click()
    faint = page.page.get_by_role("button", name="Mark what may be a face").first
    faint.wait_for(timeout=30_000)
    seen, shown = faint.bounding_box(), page.page.locator(".lsd-stage").bounding_box()
    x, y = seen["x"] + seen["width"] / 2, seen["y"] + seen["height"] / 2
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    page.page.mouse.move(x + 0.6 * seen["width"], y + 0.6 * seen["height"], steps=4)
    page.page.mouse.up()
    expect(page.page.locator(".lsd-message")).to_contain_text("Marked in frame 0")
    faces = str(page.workflow()["nodes"][2]["id"])
    (mark,) = marks(page, faces)
    wide = (mark["box"][2] - mark["box"][0]) * shown["width"] / 768  # pixels on the screen
    assert wide == pytest.approx(0.6 * seen["width"], rel=0.1), "the box is the dragged one, not what was detected"


@pytest.mark.parametrize(
    ("text", "said"),
    [("[{broken", "aren't a list in JSON"), ('{"frame": 0}', "aren't a list in JSON")],
    ids=["broken", "no list"],
)
def test_marks_that_cant_be_read_are_left_and_the_picker_says_why(page, text, said):
    two_people(page)
    open_picker(page)
    faces = str(page.workflow()["nodes"][2]["id"])
    page.set_widget(faces, "marks", text)
    page.page.get_by_role("button", name="mark a face by hand").click()
    drag(page, (20, 20, 90, 110), (768, 432))
    expect(page.page.locator(".lsd-message")).to_contain_text(said)
    assert page.widgets(faces)["marks"] == text


def test_marks_over_a_link_are_left_and_the_picker_says_why(page):
    two_people(page)
    open_picker(page)
    faces = str(page.workflow()["nodes"][2]["id"])
    text = page.add("PrimitiveString", at=(0, 500), value="")
    page.connect(text, 0, faces, "marks")
    page.page.get_by_role("button", name="mark a face by hand").click()
    drag(page, (20, 20, 90, 110), (768, 432))
    expect(page.page.locator(".lsd-message")).to_contain_text("marks comes over a link")
    expect(portrait(page, 0)).to_contain_text("frames synced")
