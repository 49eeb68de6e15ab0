"""The five stages in ComfyUI's page, classic and Vue: progress, previews, players, errors and help, as a person sees
them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from latentsync_core.errors import VideoError
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.sample_scene import SCENE, VOICE
from tests.browser.page import ComfyPage, PageRun

DOCS = Path(__file__).parents[2] / "web" / "docs"
MODEL = "untrained (demonstration)"
FRAMES, RATE, SIZE = 20, 25, (320, 180)
SECONDS = FRAMES / RATE
SCENE_PART = ("-ss", "2", "-i", str(SCENE), "-t", str(SECONDS), "-vf", f"scale={SIZE[0]}:{SIZE[1]}")
H264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "18")
MATERIAL = {  # in the server's input folder: {file: ffmpeg's arguments}
    "page_scene.mp4": (*SCENE_PART, *H264, "-c:a", "aac"),
    "page_silent.mp4": (*SCENE_PART, *H264, "-an"),
    "page_grey.mp4": ("-f", "lavfi", "-i", "color=gray:s=320x180:r=25:d=0.4", *H264),
    "page_voice.flac": ("-i", str(VOICE), "-t", str(SECONDS)),
}
BOTH = pytest.mark.parametrize("vue", [False, True], ids=["classic", "vue"])
PATIENCE = 300  # seconds for a run of some 10 on an idle machine
CROP = 512  # pixels: the demonstration model draws faces of this size
_DRAWING = """(id) => {
    const vue = document.querySelectorAll(`[data-node-id="${id}"] img`);
    const node = app.graph.getNodeById(id);
    const previews = [...(vue.length ? vue : node.imgs ?? [])].map((picture) => picture.naturalWidth);
    return previews.some((width) => width) && {title: document.title, progress: node.progress, previews};
}"""


@pytest.fixture(scope="module")
def material(comfy, open_page) -> None:
    """The clips and the voice, in ComfyUI's input folder."""
    for name, arguments in MATERIAL.items():
        run_ffmpeg(["-y", *arguments, str(comfy.input / name)], error=VideoError, what=f"making {name}")
    open_page.refresh()


def build_five_stages(page, clip: str = "page_scene.mp4", seed: int = 1, **composite: object) -> dict[str, str]:
    """The graph as a person drags it together, every run with the same seed; the nodes' ids."""
    nodes = {
        "clip": page.add("LoadVideo", at=(0, 0), file=clip),
        "voice": page.add("LoadAudio", at=(0, 420), audio="page_voice.flac"),
        "model": page.add("LatentSyncDubLoadModel", at=(0, 640), model=MODEL),
        "faces": page.add("LatentSyncDubPrepareFaces", at=(340, 0)),
        "heard": page.add("LatentSyncDubEmbedAudio", at=(340, 520)),
        "sampler": page.add(
            "LatentSyncDubSampler",
            at=(720, 0),
            seed=seed,
            control_after_generate="fixed",
            steps=2,
            cfg=1.0,
            quality="custom",
        ),
        "composite": page.add("LatentSyncDubComposite", at=(1080, 0), **composite),
    }
    for source, output, target, name in [
        ("clip", 0, "faces", "clip"),
        ("model", "model", "heard", "model"),
        ("voice", 0, "heard", "audio"),
        ("model", "model", "sampler", "model"),
        ("faces", "faces", "sampler", "faces"),
        ("heard", "audio", "sampler", "audio"),
        ("sampler", "synced", "composite", "synced"),
    ]:
        page.connect(nodes[source], output, nodes[target], name)
    return nodes


@dataclass(frozen=True)
class Ran:
    """The five stages after they ran in the page, and what it showed while the sampler drew."""

    page: ComfyPage
    nodes: dict[str, str]
    run: PageRun
    saved_before: dict
    drawing: dict  # {"title", "progress", "previews": widths of the pictures on the sampler}


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "vue"])
def ran(request, comfy, open_page, material) -> Ran:
    """A first run from the page, nothing being known of an earlier one, for each way of drawing nodes."""
    page, vue = open_page, request.param
    page.clear()
    page.use_vue_nodes(False)
    comfy.free()
    nodes = build_five_stages(page)
    nodes["save"] = page.add("SaveVideo", at=(1480, 0))
    page.connect(nodes["composite"], "video", nodes["save"], "video")
    page.use_vue_nodes(vue)
    page.show_all()  # classic nodes make their players when they are drawn
    page.forget_problems()  # Load Video asks for its picture before its file is chosen
    saved = page.workflow()
    started = page.start()
    page.wait_for_event(started, "preview_of_node", PATIENCE)
    drawing = page.page.wait_for_function(_DRAWING, arg=nodes["sampler"], timeout=30_000).json_value()
    return Ran(page, nodes, page.wait(started, PATIENCE), saved, drawing)


def test_a_graph_dragged_together_runs_from_the_page(ran):
    assert (ran.run.status, ran.run.error) == ("success", "")
    assert set(ran.run.nodes_run) == set(ran.nodes.values())
    assert ran.page.problems() == []


def test_progress_appears_while_faces_are_drawn(ran):
    assert 0 < ran.drawing["progress"] < 1
    assert re.search(r"\[\d+%\] LatentSyncDubSampler", ran.drawing["title"])


def test_the_mouth_appears_while_it_is_drawn(ran):
    assert ran.drawing["previews"] == [CROP]
    shown_on = {event["detail"]["node"] for event in ran.run.events if event["type"] == "preview_of_node"}
    assert shown_on == {ran.nodes["sampler"]}


def test_prepare_faces_shows_the_faces_and_counts_them(ran):
    (picture,) = ran.page.pictures(ran.nodes["faces"])
    assert picture["width"] > picture["height"] > 0
    assert ran.page.shows_text(f"{FRAMES} of {FRAMES} frames synced")


def test_the_voice_can_be_heard_on_embed_audio(ran):
    player = ran.page.wait_for_sound("latentsync_dub%2Fsounds")
    assert player["seconds"] == pytest.approx(SECONDS, abs=0.01)
    assert player["width"] > 100


@pytest.mark.parametrize("source", ["latentsync_dub%2Fresults", "subfolder=video"], ids=["Composite", "Save Video"])
def test_the_result_plays_in_the_page(ran, source):
    video = ran.page.wait_for_video(source=source)
    assert (video["width"], video["height"]) == SIZE
    assert video["seconds"] == pytest.approx(SECONDS, abs=1 / RATE)
    assert ran.page.play(source) > 0


def test_what_the_nodes_show_is_neither_queued_nor_saved(ran, comfy):
    for node, entry in ran.page.prompt().items():
        if entry["class_type"].startswith("LatentSyncDub"):
            known = comfy.object_info()[entry["class_type"]]["input"]
            assert set(entry["inputs"]) <= set(known["required"]) | set(known.get("optional", {})), node
    widgets = [
        {
            node["id"]: node.get("widgets_values") or []
            for node in saved["nodes"]
            if node["type"].startswith("LatentSyncDub")
        }
        for saved in (ran.saved_before, ran.page.workflow())
    ]
    assert widgets[0] == widgets[1]


def test_queued_again_nothing_is_done_again(ran):
    ours = {ran.nodes[name] for name in ("model", "faces", "heard", "sampler", "composite")}
    again = ran.page.queue(PATIENCE)
    cached = {
        node for event in again.events if event["type"] == "execution_cached" for node in event["detail"]["nodes"]
    }
    assert ours <= cached


@BOTH
def test_prores_plays_as_a_small_copy_and_is_saved_whole(page, comfy, material, vue):
    build_five_stages(page, codec="prores", filename_prefix=f"prores/{'vue' if vue else 'classic'}")
    page.use_vue_nodes(vue)
    page.show_all()
    run = page.queue(PATIENCE)
    assert (run.status, run.error) == ("success", "")
    video = page.wait_for_video(source="latentsync_dub%2Fproxies")
    assert (video["width"], video["height"]) == SIZE
    assert video["seconds"] == pytest.approx(SECONDS, abs=1 / RATE)
    (saved,) = (comfy.output / "prores").glob(f"{'vue' if vue else 'classic'}_*.mov")
    assert page.shows_text(f"saved: output/prores/{saved.name}")


@BOTH
def test_a_clip_without_a_face_says_so(page, material, vue):
    build_five_stages(page, clip="page_grey.mp4")
    page.use_vue_nodes(vue)
    run = page.queue(PATIENCE)
    assert re.search(r"no face was found in any of the 10 frames of .*page_grey\.mp4; use a part that", run.error)
    assert_readable(page, "LatentSync Prepare Faces", run.error)


@BOTH
def test_a_silent_clip_says_so(page, material, vue):
    clip = page.add("LoadVideo", file="page_silent.mp4")
    audio = page.add("LatentSyncDubClipAudio", at=(500, 100))
    page.connect(clip, 0, audio, "video")
    page.connect(audio, 0, page.add("PreviewAudio", at=(900, 100)), "audio")
    page.use_vue_nodes(vue)
    run = page.queue(PATIENCE)
    assert run.error.endswith("page_silent.mp4 has no sound in it; take the sound from Load Audio.")
    assert_readable(page, "LatentSync Clip Audio", run.error)


def assert_readable(page: ComfyPage, node: str, sentence: str) -> None:
    """The page names the node that failed, and the sentence is one click away."""
    assert f"{node} failed" in page.visible_error()
    page.open_error_details()
    assert page.shows_text(sentence)


def test_stopped_from_the_page_the_sampler_stops(page, material):
    nodes = build_five_stages(page, seed=2)
    started = page.start()
    page.wait_for_event(started, "preview_of_node", PATIENCE)
    page.interrupt()
    run = page.wait(started, PATIENCE)
    assert run.status == "interrupted"
    assert nodes["composite"] not in run.nodes_run


def test_every_node_has_a_help_page_with_its_text_and_pictures(page, comfy):
    ours = sorted(name for name in comfy.object_info() if name.startswith("LatentSyncDub"))
    assert sorted(path.stem for path in DOCS.glob("*.md")) == ours
    for name in ours:
        page.clear()
        page.open_help(page.add(name))
        assert page.help_says(first_paragraph(DOCS / f"{name}.md")), name
        assert page.help_pictures_load(), name
    assert page.problems() == []


def first_paragraph(page: Path) -> str:
    """A help page's first paragraph as a reader sees it."""
    paragraphs = re.split(r"\n\s*\n", page.read_text(encoding="utf-8"))
    prose = next(text for text in paragraphs if not text.lstrip().startswith(("#", "!", "<", "|", "-")))
    prose = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", prose)
    return " ".join(re.sub(r"[*`]", "", prose).split())
