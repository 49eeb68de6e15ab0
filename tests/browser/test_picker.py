"""The face picker in ComfyUI's page, in both kinds of nodes: what it shows, what a click changes, who is synced."""

from __future__ import annotations

import json
import uuid

import pytest
from playwright.sync_api import expect

from tests.browser.page import ComfyPage

BOTH = pytest.mark.parametrize("vue", [False, True], ids=["classic", "vue"])
SECONDS, FRAMES = 1.0, 25
UNCHOSEN = {"by": "largest", "person": 0, "tracks_on": "", "tracks_off": ""}


def two_people(page, vue: bool = False, run: bool = True) -> str:
    """Two people in a clip of a second, prepared and selected; the id of Select Faces, in view at its own size."""
    page.page.evaluate("() => { app.rootGraph.id = crypto.randomUUID(); }")  # as a workflow that is started again
    scene = page.add("LatentSyncDubSampleScene", at=(0, 0))
    part = page.add("Video Slice", at=(0, 300), start_time=0.0, duration=SECONDS)
    faces = page.add("LatentSyncDubPrepareFaces", at=(350, 0))
    select = page.add("LatentSyncDubSelectFaces", at=(750, 0), **UNCHOSEN)  # the page brings back an earlier node's
    page.connect(scene, "two_people", part, "video")
    page.connect(part, 0, faces, "clip")
    page.connect(faces, "faces", select, "faces")
    page.use_vue_nodes(vue)
    look_at(page, select)
    if run:
        done = page.queue(300)
        assert (done.status, done.error) == ("success", "")
    return select


def look_at(page, node: str) -> None:
    script = """(id) => {
        const {pos: [x, y]} = app.graph.getNodeById(id);
        app.canvas.ds.scale = 1;
        app.canvas.ds.offset = [300 - x, 90 - y];
        app.canvas.setDirty(true, true);
    }"""
    page.page.evaluate(script, int(node))


def open_picker(page):
    """Unfolds the only picker on the page, if it isn't yet."""
    toggle = page.page.get_by_role("button", name="Choose faces in the clip")
    if toggle.get_attribute("aria-expanded") == "false":
        toggle.click()
    expect(face(page, 0)).to_be_visible(timeout=30_000)
    return page.page.locator(".lsd-picker")


def face(page, person: int):
    """The box of a person's face in the picker's frame."""
    return page.page.locator(".lsd-stage").get_by_role("button", name=f"person {'AB'[person]}, track")


def portrait(page, person: int):
    return page.page.locator(".lsd-people").get_by_role("button", name=f"person {'AB'[person]}")


def choice(page, node: str) -> dict[str, object]:
    return {name: value for name, value in page.widgets(node).items() if name in UNCHOSEN}


def report(page, select: str) -> dict:
    """What Select Faces reports when the graph is run, as a core node shows it."""
    shown = page.add("PreviewAny", at=(1300, 0))
    page.connect(select, "report", shown, "source")
    run = page.queue(300)
    assert run.status == "success"
    return json.loads(run.outputs[shown]["text"][0])


def synced_persons(report: dict) -> set[int]:
    people = {one["track"]: one["person"] for one in report["tracks"]}
    return {people[one["track"]] for one in report["frame_ranges"] if one["outcome"] == "synced"}


@BOTH
def test_a_click_on_the_second_face_syncs_that_one(page, vue):
    select = two_people(page, vue)
    open_picker(page)
    expect(face(page, 0)).to_have_attribute("aria-pressed", "true")
    expect(face(page, 1)).to_have_attribute("aria-pressed", "false")
    face(page, 1).click()
    expect(face(page, 1)).to_have_attribute("aria-pressed", "true")
    expect(face(page, 0)).to_have_attribute("aria-pressed", "false")
    expect(portrait(page, 1)).to_contain_text(f"{FRAMES} frames synced")
    assert choice(page, select) == UNCHOSEN | {"by": "person", "person": 1}
    assert synced_persons(report(page, select)) == {1}
    assert page.problems() == []


@BOTH
def test_a_click_on_a_synced_face_leaves_it_out_and_another_one_syncs_it_again(page, vue):
    select = two_people(page, vue)
    open_picker(page)
    face(page, 0).click()
    expect(portrait(page, 0)).to_contain_text("not synced")
    assert choice(page, select) == UNCHOSEN | {"tracks_off": "0"}
    portrait(page, 0).click()
    expect(portrait(page, 0)).to_contain_text("frames synced")
    face(page, 1).click(modifiers=["Shift"])
    expect(portrait(page, 1)).to_contain_text("frames synced")
    assert choice(page, select)["tracks_on"] == "1"
    assert synced_persons(report(page, select)) == {1}, "the one that is switched on takes precedence"


SIZE = "(id) => [...app.graph.getNodeById(id).size]"
NOTHING_CUT_OFF = """(picker) => {
    const [shown, content] = [picker, picker.querySelector(":scope > div")].map((part) => part.getBoundingClientRect());
    return shown.height >= content.height - 1;
}"""
# The page's own undo has ended: it loads the earlier graph step by step.
UNDONE = """() => {
    const { redoQueue, _restoringState } = app.extensionManager.workflow.activeWorkflow.changeTracker;
    return redoQueue.length > 0 && !_restoringState;
}"""


@BOTH
def test_a_click_is_one_step_of_undo(page, vue):
    select = two_people(page, vue)
    open_picker(page)
    face(page, 1).click()
    expect(face(page, 1)).to_have_attribute("aria-pressed", "true")
    size = page.page.evaluate(SIZE, select)
    page.page.keyboard.press("Control+z")
    expect(face(page, 0)).to_have_attribute("aria-pressed", "true", timeout=15_000)
    assert choice(page, select) == UNCHOSEN
    page.page.wait_for_function(UNDONE)  # a redo before that is dropped
    assert page.page.evaluate(SIZE, select) == size, "a node that grew is a change of its own, which drops the redo"
    page.page.keyboard.press("Control+y")
    expect(face(page, 1)).to_have_attribute("aria-pressed", "true", timeout=15_000)
    assert choice(page, select) == UNCHOSEN | {"by": "person", "person": 1}


@BOTH
def test_the_picker_follows_the_widgets(page, vue):
    select = two_people(page, vue)
    open_picker(page)
    page.set_widget(select, "by", "person")
    page.set_widget(select, "person", 1)
    expect(face(page, 1)).to_have_attribute("aria-pressed", "true")
    page.set_widget(select, "person", 9)
    expect(page.page.locator(".lsd-message")).to_contain_text("there is no person J (9)")


def test_the_picker_goes_neither_into_the_prompt_nor_into_the_saved_workflow(page):
    select = two_people(page, run=False)
    prompt, saved = page.prompt(), page.workflow()
    assert page.queue(300).status == "success"
    open_picker(page)
    assert page.prompt() == prompt
    for before, after in zip(saved["nodes"], page.workflow()["nodes"], strict=True):
        assert (after.get("widgets_values") or []) == (before.get("widgets_values") or [])
        assert after.get("inputs") == before.get("inputs")
    assert choice(page, select) == UNCHOSEN


def test_no_frame_is_asked_for_before_the_picker_is_opened(page):
    asked: list[str] = []
    page.page.on("request", lambda request: asked.append(request.url) if "latentsync_dub/scenes" in request.url else 0)
    two_people(page)
    page.page.wait_for_timeout(500)
    assert asked == []
    open_picker(page)
    assert sum(url.endswith(".jpg") and "/frames/" in url for url in asked) == 1


@BOTH
def test_the_timeline_and_the_slider_lead_to_frames(page, vue):
    two_people(page, vue)
    open_picker(page)
    row = page.page.locator(".lsd-row canvas").first
    box = row.bounding_box()
    row.click(position={"x": box["width"] * 0.5, "y": 5})
    expect(page.page.get_by_alt_text(f"Frame {FRAMES // 2} of the clip")).to_be_visible()
    slider = page.page.get_by_role("slider", name="Frame")
    expect(slider).to_have_value(str(FRAMES // 2))
    slider.press("End")
    expect(page.page.get_by_alt_text(f"Frame {FRAMES - 1} of the clip")).to_be_visible()
    expect(slider).to_have_attribute("aria-valuetext", f"0:00.96 · frame {FRAMES - 1}")
    expect(row).to_have_attribute("aria-label", f"Person A: {FRAMES} frames synced")


@BOTH
def test_everything_can_be_done_with_the_keyboard(page, vue):
    select = two_people(page, vue)
    toggle = page.page.get_by_role("button", name="Choose faces in the clip")
    toggle.focus()
    page.page.keyboard.press("Enter")
    expect(toggle).to_have_attribute("aria-expanded", "true")
    expect(face(page, 1)).to_be_visible(timeout=30_000)
    face(page, 1).focus()
    page.page.keyboard.press("Space")
    expect(face(page, 1)).to_have_attribute("aria-pressed", "true")
    page.page.keyboard.press("Delete")
    assert select in page.prompt(), "Delete in the picker deletes no node"
    slider = page.page.get_by_role("slider", name="Frame")
    slider.focus()
    page.page.keyboard.press("ArrowRight")
    expect(page.page.get_by_alt_text("Frame 1 of the clip")).to_be_visible()


@BOTH
def test_the_node_makes_room_for_the_picker_and_takes_it_back(page, vue):
    select = two_people(page, vue)
    page.page.wait_for_timeout(500)
    before = page.page.evaluate(SIZE, int(select))
    picker = open_picker(page)
    page.page.wait_for_function(NOTHING_CUT_OFF, arg=picker.element_handle())
    page.page.get_by_role("button", name="Choose faces in the clip").click()
    expect(face(page, 0)).to_be_hidden()
    if not vue:
        most = before[1] + 30  # the line that its text may take
        page.page.wait_for_function(f"([id, most]) => ({SIZE})(id)[1] < most", arg=[int(select), most])
        assert page.page.evaluate(SIZE, int(select))[0] == before[0]


def test_a_page_that_was_loaded_again_shows_the_picker_again(page):
    two_people(page, run=False)
    saved = page.workflow() | {"id": str(uuid.uuid4())}
    page.load_workflow(saved)
    assert page.queue(300).status == "success"
    page.open()
    page.load_workflow(saved)
    for vue in (False, True):
        page.use_vue_nodes(vue)
        look_at(page, str(saved["nodes"][-1]["id"]))
        open_picker(page)
    assert page.problems() == []


def test_a_copied_node_keeps_the_choice(page):
    select = two_people(page)
    open_picker(page)
    face(page, 1).click()
    expect(face(page, 1)).to_have_attribute("aria-pressed", "true")
    copied = page.page.evaluate(
        """(id) => {
            app.canvas.deselectAll();
            app.canvas.selectNode(app.graph.getNodeById(id));
            app.canvas.copyToClipboard();
            app.canvas.pasteFromClipboard();
            return String(app.graph.nodes.at(-1).id);
        }""",
        int(select),
    )
    assert copied != select
    assert choice(page, copied) == choice(page, select)
    assert "latentsync_picker" not in page.widgets(copied)


def test_a_scene_that_the_server_forgot_says_what_to_do(page):
    select = two_people(page, run=False)
    tell = "([id, key]) => app.graph.getNodeById(id).onExecuted({latentsync_scene: [key]})"
    page.page.evaluate(tell, [int(select), "0" * 32])
    page.page.get_by_role("button", name="Choose faces in the clip").click()
    expect(page.page.locator(".lsd-message")).to_have_text(
        "The clip's faces are no longer in memory; run this node again."
    )


def test_in_a_subgraph_the_picker_chooses_and_marks_too(page):
    select = two_people(page, run=False)
    faces = str(page.workflow()["nodes"][2]["id"])
    page.page.evaluate(
        """(id) => {
            const { node } = app.graph.convertToSubgraph(new Set([app.graph.getNodeById(id)]));
            window.subgraph = node.subgraph;
        }""",
        int(select),
    )
    assert page.queue(300).status == "success"
    page.page.evaluate("() => app.canvas.setGraph(window.subgraph)")
    page.page.wait_for_timeout(1000)  # the page brings all of it into view
    page.page.evaluate(
        """() => {
            const [node] = window.subgraph.nodes;
            app.canvas.ds.scale = 0.7;
            app.canvas.ds.offset = [300 - node.pos[0], 90 - node.pos[1]];
            app.canvas.setDirty(true, true);
        }"""
    )
    open_picker(page)
    face(page, 1).click()
    expect(face(page, 1)).to_have_attribute("aria-pressed", "true")
    page.page.get_by_role("button", name="mark a face by hand").click()
    page.page.locator(".lsd-faint").first.click(timeout=30_000)
    expect(page.page.locator(".lsd-message")).to_contain_text("Marked in frame 0")
    page.page.evaluate("() => app.canvas.setGraph(app.rootGraph)")
    (chosen,) = [
        entry["inputs"] for entry in page.prompt().values() if entry["class_type"] == "LatentSyncDubSelectFaces"
    ]
    assert (chosen["by"], chosen["person"]) == ("person", 1)
    assert json.loads(page.widgets(faces)["marks"])[0]["frame"] == 0


def test_two_tabs_of_the_page_show_their_own_scenes(page, browser, comfy):
    two_people(page)
    open_picker(page)
    face(page, 1).click()
    expect(face(page, 1)).to_have_attribute("aria-pressed", "true")
    other = ComfyPage(browser, comfy)
    try:
        other.open()
        other.clear()
        select = two_people(other)
        open_picker(other)
        expect(face(other, 0)).to_have_attribute("aria-pressed", "true")
        assert choice(other, select) == UNCHOSEN
        expect(face(page, 1)).to_have_attribute("aria-pressed", "true")
        assert other.problems() == []
    finally:
        other.close()
