"""What nodes of the workflows show after a run, as the server reports it to the page, with plain stand-in files.

The stand-ins have the sizes and the lengths of the real ones, so that nodes grow as they do after a run, without one.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

from dev.workflows.parts import Node
from latentsync_core.sample_scene import SCENE

if TYPE_CHECKING:
    from tests.browser.page import ComfyPage

FACE_SHEET = (1536, 400)  # pixels: Prepare Faces' picture of a 16:9 clip
PORTRAIT_SHEET = (256, 512)  # of a single square frame
PEOPLE_SHEET = (576, 178)  # the picture of Select Faces and of Speakers to Faces: four tracks
TIMELINE = (1200, 174)  # Speakers to Faces' second output: five rows
FACE_PREVIEW = (512, 512)  # the sampler's last preview
# As many lines as a node shows at a time: more of them scroll.
REPORT = [
    "200 of 200 frames synced; 2 shots, 2 tracks, 2 people",
    *(f"frames {96 + 10 * n} to {99 + 10 * n} ({3.84 + 0.4 * n:.2f} s) pass through: face hidden" for n in range(5)),
]
NOTES = ["200 of 200 frames synced", *["the voice is 0.48 s shorter than the clip"] * 5]
FAULTS = ["⚠ short: it holds too little speech to be cloned: 5 seconds and more are needed"] * 3
FITTED = ["2 of 3 lines fit", "line 3 is 1.40 s too long at 1.25 times its speed; it goes on into the pause after it"]
LOUDNESS = ["-24.2 LUFS, true peak -7.1 dBTP", "the room rings for 0.52 s"]
STILL_SECONDS = 1
SETTLED_FRAMES = 45  # drawn by the page without a change of any size
MOST_SECONDS = 60  # until pictures and players are loaded
PLAYERS = ("LatentSyncDubLipSync", "LatentSyncDubComposite")
PICKERS = ("LatentSyncDubLipSync", "LatentSyncDubSelectFaces")

_SHOW = """async (nodes) => {
    for (const [id, output, preview] of nodes) {
        if (preview) {
            const blob = await (await fetch(app.api.apiURL(`/view?filename=${preview}&type=output`))).blob();
            app.api.dispatchCustomEvent("b_preview_with_metadata", {blob, nodeId: String(id), displayNodeId: String(id),
                parentNodeId: String(id), realNodeId: String(id), jobId: "stand-in"});
        }
        if (Object.keys(output).length) app.api.dispatchCustomEvent("executed",
            {node: String(id), display_node: String(id), output, prompt_id: "stand-in"});
    }
}"""

# Draws until the pictures and videos of the given outputs are loaded and no node's size changes any more.
_SETTLE = """async ([shown, frames, seconds]) => {
    const isLoaded = ([id, output]) => {
        const node = app.graph.getNodeById(id), element = document.querySelector(`[data-node-id="${id}"]`);
        const places = [element, ...(node.widgets ?? []).map((widget) => widget.element)].filter(Boolean);
        const all = (kind) => places.flatMap((place) => [...place.querySelectorAll(kind)]);
        const {HAVE_CURRENT_DATA} = HTMLMediaElement;
        if (output.animated) return all("video").some((video) => video.readyState >= HAVE_CURRENT_DATA);
        return !output.images || node.imgs?.length > 0 || all("img").some((image) => image.naturalWidth);
    };
    const sizes = () => JSON.stringify(app.graph.nodes.map((node) => {
        const element = document.querySelector(`[data-node-id="${node.id}"]`);
        return [...node.size, element?.offsetWidth, element?.offsetHeight];
    }));
    const end = performance.now() + 1000 * seconds;
    for (let same = 0, before; same < frames; ) {
        await new Promise(requestAnimationFrame);
        app.canvas.setDirty(true, true); // classic nodes take a picture's size when drawn
        const missing = shown.filter((one) => !isLoaded(one)).map(([id]) => id), now = sizes();
        if (missing.length && performance.now() > end) throw new Error(`nodes ${missing} don't show their results`);
        same = !missing.length && now === before ? same + 1 : 0;
        before = now;
    }
}"""


def write_stand_ins(folder: Path) -> None:
    """Writes the files that `display` names into the server's output folder."""
    for name, size in (
        ("faces", FACE_SHEET),
        ("portrait", PORTRAIT_SHEET),
        ("people", PEOPLE_SHEET),
        ("timeline", TIMELINE),
        ("preview", FACE_PREVIEW),
    ):
        Image.new("RGB", size, (70, 80, 110)).save(folder / f"stand_in_{name}.png")
    shutil.copyfile(SCENE, folder / "stand_in_wide.mp4")
    still = ["-f", "lavfi", "-i", f"color=c=gray:s=512x512:d={STILL_SECONDS}", "-pix_fmt", "yuv420p"]
    square = str(folder / "stand_in_square.mp4")
    subprocess.run([get_ffmpeg_exe(), "-v", "error", "-y", *still, square], check=True)
    sound = ["-f", "lavfi", "-i", f"sine=duration={STILL_SECONDS}"]
    subprocess.run([get_ffmpeg_exe(), "-v", "error", "-y", *sound, str(folder / "stand_in_voice.flac")], check=True)


def display(kind: str, square: bool = False) -> dict[str, object]:
    """A node's `output` as the page gets it after a run; empty where the node shows nothing."""
    film = {"images": [_file("square.mp4" if square else "wide.mp4")], "animated": [True]}
    if kind == "LatentSyncDubPrepareFaces":
        return {"images": [_file("portrait.png" if square else "faces.png")], "text": REPORT}
    picker = {"latentsync_scene": ["0" * 32]} if kind in PICKERS else {}  # folded, as it is until it is asked for
    if kind in ("LatentSyncDubSelectFaces", "LatentSyncDubSpeakersToFaces"):
        return {"images": [_file("people.png")], "text": REPORT, **picker}
    if kind in PLAYERS:
        return {**film, "text": NOTES, **picker, "latentsync_comparison": ["0" * 32]}
    return {
        "SaveVideo": film,
        "PreviewImage": {"images": [_file("timeline.png")]},
        "LatentSyncDubEmbedAudio": {"voice": [_file("voice.flac")]},
        "LatentSyncDubVoiceCheck": {"voice": [_file("voice.flac")], "text": FAULTS},
        "LatentSyncDubDialogueLines": {"text": REPORT},
        "LatentSyncDubPlaceLines": {"text": FITTED},
        "LatentSyncDubMixDub": {"text": LOUDNESS},
        "PreviewAudio": {"audio": [_file("voice.flac")]},
    }.get(kind, {})


def show(page: ComfyPage, nodes: dict[int, Node]) -> None:
    """Has the page's nodes, by id, show what they show after a run; the sampler its last live preview."""
    shown = []
    for number, node in nodes.items():
        preview = "stand_in_preview.png" if node.kind == "LatentSyncDubSampler" else ""
        shown.append([number, display(node.kind, node.square), preview])
    page.page.evaluate(_SHOW, shown)
    settle(page, shown)


def settle(page: ComfyPage, shown: Sequence[list] = ()) -> None:
    """Waits until nodes show their outputs, each [id, output, ...], and the page changes no node's size any more."""
    page.page.evaluate(_SETTLE, [list(shown), SETTLED_FRAMES, MOST_SECONDS])


def _file(name: str) -> dict[str, str]:
    return {"filename": f"stand_in_{name}", "subfolder": "", "type": "output"}
