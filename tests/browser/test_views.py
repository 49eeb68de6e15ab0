"""What web/js shows on our nodes, in ComfyUI's page: lines of text and a voice player, in both kinds of nodes."""

from __future__ import annotations

import re
import uuid

import pytest

MODEL, NANO = "untrained (demonstration)", "nano (demonstration)"
BOTH = pytest.mark.parametrize("vue", [False, True], ids=["classic", "vue"])
VOICE = "latentsync_dub%2Fsounds"  # in the address of a voice's player


def face_and_voice(page) -> tuple[str, str, str]:
    """A portrait's face and a voice, each looked at by a core node so that it is run; a graph of seconds."""
    page.server.free()  # nodes that the cache answers for show nothing anew
    scene = page.add("LatentSyncDubSampleScene", at=(0, 0))
    model = page.add("LatentSyncDubLoadModel", at=(0, 200), model=MODEL)
    faces = page.add("LatentSyncDubPrepareFaces", at=(400, 0))
    voice = page.add("LatentSyncDubEmbedAudio", at=(400, 600))
    page.connect(scene, "portrait", faces, "clip")
    page.connect(scene, "english_voice", voice, "audio")
    page.connect(model, "model", voice, "model")
    core = page.add("PreviewAny", at=(800, 0))
    page.connect(faces, "faces", core, "source")
    page.connect(voice, "audio", page.add("PreviewAny", at=(800, 600)), "source")
    return faces, voice, core


def our_widgets(page, node: str) -> list[str]:
    return [name for name in page.widgets(node) if name.startswith("latentsync_")]


@BOTH
def test_a_node_shows_its_text_and_its_voice(page, vue):
    faces, voice, core = face_and_voice(page)
    page.use_vue_nodes(vue)
    assert page.queue(300).status == "success"
    page.page.get_by_text("1 of 1 frames synced").wait_for(timeout=10_000)
    player = page.wait_for_sound(VOICE)
    assert player["seconds"] == pytest.approx(8, abs=0.1)
    assert player["width"] > 100
    assert our_widgets(page, faces) == ["latentsync_text"]
    assert our_widgets(page, voice) == ["latentsync_voice"]
    assert our_widgets(page, core) == []
    assert page.problems() == []


def test_what_is_shown_goes_neither_into_the_prompt_nor_into_the_saved_workflow(page):
    faces, voice, _ = face_and_voice(page)
    prompt, saved = page.prompt(), page.workflow()
    assert page.queue(300).status == "success"
    assert our_widgets(page, faces)
    assert our_widgets(page, voice)
    assert page.prompt() == prompt
    for before, after in zip(saved["nodes"], page.workflow()["nodes"], strict=True):
        assert (after.get("widgets_values") or []) == (before.get("widgets_values") or [])
        assert after.get("inputs") == before.get("inputs")


def test_what_is_shown_is_there_again_when_its_outputs_come_back(page):
    faces, voice, _ = face_and_voice(page)
    assert page.queue(300).status == "success"
    page.page.evaluate("""() => {
        for (const node of app.graph.nodes)
            for (const widget of [...node.widgets ?? []].filter(({name}) => name.startsWith("latentsync_")))
                node.removeWidget(widget);
        app.nodeOutputs = {...app.nodeOutputs};
    }""")
    shown = (
        "(ids) => ids.every((id) => app.graph.getNodeById(id).widgets?.some((it) => it.name.startsWith('latentsync_')))"
    )
    page.page.wait_for_function(shown, arg=[int(faces), int(voice)], timeout=30_000)
    assert our_widgets(page, faces) == ["latentsync_text"]
    assert our_widgets(page, voice) == ["latentsync_voice"]


@BOTH
def test_a_node_that_draws_ends_with_its_video_in_place_of_the_last_preview(page, vue):
    scene = page.add("LatentSyncDubSampleScene", at=(0, 0))
    lips = page.add("LatentSyncDubLipSync", at=(400, 0), model=MODEL, steps=3, cfg=1.0, quality="custom", seed=int(vue))
    page.connect(scene, "portrait", lips, "clip")
    page.connect(scene, "english_voice", lips, "audio")
    page.use_vue_nodes(vue)
    run = page.queue(300)
    assert run.status == "success"
    assert run.previews
    assert page.wait_for_video()["width"] == 512
    drawn = "(id) => app.graph.getNodeById(id).imgs == null"  # one that was loading goes with the next drawing
    page.page.wait_for_function(drawn, arg=int(lips), timeout=30_000)
    assert page.vue_node(lips).locator("img").count() == 0
    assert page.problems() == []


def test_text_goes_when_there_is_none_any_more(page):
    node = page.add("LatentSyncDubComposite")
    tell = "([id, text]) => app.graph.getNodeById(id).onExecuted({text})"
    page.page.evaluate(tell, [int(node), ["one", "two"]])
    assert our_widgets(page, node) == ["latentsync_text"]
    page.page.evaluate(tell, [int(node), []])
    assert our_widgets(page, node) == []


def test_the_panel_beside_the_graph_has_no_row_for_what_a_node_shows(page):
    node = page.add("LatentSyncDubComposite")
    page.page.evaluate("(id) => app.graph.getNodeById(id).onExecuted({text: ['one']})", int(node))
    assert our_widgets(page, node) == ["latentsync_text"]
    page.page.evaluate("(id) => app.canvas.selectNode(app.graph.getNodeById(id))", int(node))
    open_panel = "(on) => app.extensionManager.setting.set('Comfy.RightSidePanel.IsOpen', on)"
    page.page.evaluate(open_panel, True)
    panel = page.page.get_by_test_id("properties-panel")
    panel.get_by_text("codec", exact=True).first.wait_for(timeout=30_000)
    assert panel.get_by_text("latentsync_text").count() == 0
    page.page.evaluate(open_panel, False)


def test_what_is_shown_is_there_again_after_the_page_was_loaded_again(page):
    faces, voice, _ = face_and_voice(page)
    saved = page.workflow() | {"id": str(uuid.uuid4())}  # as the page gives one to a workflow that it begins
    page.load_workflow(saved)
    assert page.queue(300).status == "success"
    page.open()
    page.load_workflow(saved)
    for vue in (False, True):
        page.use_vue_nodes(vue)
        page.wait_for_sound(VOICE)
        assert our_widgets(page, voice) == ["latentsync_voice"]
        assert our_widgets(page, faces) == ["latentsync_text"]
        assert page.pictures(faces)
    another = saved | {"id": str(uuid.uuid4())}
    page.load_workflow(another)
    page.page.wait_for_timeout(500)
    assert our_widgets(page, voice) == [], "another workflow shows nothing of this one's"


@BOTH
def test_how_far_a_node_is_stands_on_it_until_it_has_ended(page, vue):
    page.server.free()
    scene = page.add("LatentSyncDubSampleScene", at=(0, 0))
    part = page.add("Video Slice", at=(200, 0), start_time=0.0, duration=2.0)
    faces = page.add("LatentSyncDubPrepareFaces", at=(400, 0), detector_score=0.55 + 0.05 * vue)
    page.connect(scene, "scene", part, "video")
    page.connect(part, 0, faces, "clip")
    page.use_vue_nodes(vue)
    before = page.page.evaluate("(id) => app.graph.getNodeById(id).size[0]", int(faces))
    page.page.evaluate("""() => {
        window.lines = [];
        app.api.addEventListener("progress_text", ({detail}) => window.lines.push(detail.text));
    }""")
    started = page.start()
    seen = "(id) => app.graph.getNodeById(id).widgets.some(({name}) => name === '$$node-text-preview')"
    page.page.wait_for_function(seen, arg=int(faces), timeout=300_000)
    assert page.wait(started, 600).status == "success"
    lines = page.page.evaluate("() => window.lines")
    assert lines
    assert all(re.fullmatch(r"Finding faces: \d+ of \d+ frames(, about .+ left)?", line) for line in lines)
    page.page.wait_for_function(f"(id) => !({seen})(id)", arg=int(faces), timeout=30_000)
    assert page.page.evaluate("(id) => app.graph.getNodeById(id).size[0]", int(faces)) == before
    assert page.problems() == []


def test_a_node_shows_its_plan_above_how_far_it_is(page):
    scene = page.add("LatentSyncDubSampleScene", at=(0, 0))
    part = page.add("Video Slice", at=(200, 0), start_time=0.0, duration=0.2)
    settings = {"model": NANO, "quality": "custom", "steps": 2, "cfg": 1.0}
    lips = page.add("LatentSyncDubLipSync", at=(400, 0), **settings)
    page.connect(scene, "scene", part, "video")
    page.connect(part, 0, lips, "clip")
    page.connect(scene, "english_voice", lips, "audio")
    page.page.evaluate("""() => {
        window.lines = [];
        app.api.addEventListener("progress_text", ({detail}) => window.lines.push(detail.text));
    }""")
    assert page.queue(600).status == "success"
    texts = page.page.evaluate("() => window.lines")
    plan = r"(at most )?1 window of 2 steps, (about .+|no run on this machine to estimate the time from yet), \d\.\d GB"
    plans = [text for text in texts if re.match(plan, text)]
    assert plans[0].startswith("at most ")  # before the faces are found
    assert any(text.startswith("1 window") for text in plans), texts
    sampling = [text.splitlines() for text in texts if "Generating mouths" in text]
    assert sampling
    assert all(re.match(plan, lines[0]) and lines[1].startswith("Generating mouths: ") for lines in sampling)
    assert page.problems() == []
