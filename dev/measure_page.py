"""Measures how soon the face picker and the player open for 20 minutes of clip, and how much memory they hold.

    python -m dev.measure_page [--minutes 20]

It needs ComfyUI and chromium, as the tests in tests/browser do, and runs no model. Memory is what chromium's processes
have for themselves, beyond what they had before opening: of the page's script, of its decoders, and of the drawing.
Chromium draws as with a graphics card, by SwiftShader; entirely without one it caches up to 500 MB of any
played video for itself.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from playwright.sync_api import Locator, expect, sync_playwright

from latentsync_core.errors import VideoError
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.sample_scene import SCENE
from tests.browser.page import FLAGS, ComfyPage
from tests.browser.test_picker import face, look_at
from tests.browser.test_player import opened, show_frame
from tests.comfyui.harness.graphs import Graph, shown_json
from tests.comfyui.harness.server import ComfyServer
from tests.comfyui.harness.shared_server import HELPERS

FILE = "long.mp4"
PLACES = 20  # frames looked at all over the clip, before memory is measured
PLAY_MS = 5000
DRAWING = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]


def write_long_clip(path: Path, minutes: int) -> None:
    """Repeats the bundled scene, without encoding it again."""
    repeated = ["-y", "-stream_loop", "-1", "-i", str(SCENE), "-t", str(60 * minutes), "-c", "copy", str(path)]
    run_ffmpeg(repeated, error=VideoError, what="making a long clip")


def chromium_bytes() -> int:
    """What the processes of this program's chromium have for themselves."""
    mine = psutil.Process().children(recursive=True)
    browser = [one for one in mine if "chrom" in one.name()]
    return sum(one.memory_full_info().uss for one in browser)


def measure(
    name: str, page: ComfyPage, open_it: Callable[[], None], use_it: Callable[[int], None], frames: int
) -> None:
    page.page.request_gc()
    before = chromium_bytes()
    started = time.perf_counter()
    open_it()
    seconds = time.perf_counter() - started
    for place in range(PLACES):
        use_it(place * (frames - 1) // (PLACES - 1))
    page.page.request_gc()
    held = chromium_bytes() - before
    print(f"{name}: {frames} frames, open in {seconds:.1f} s, {held / 1e6:.0f} MB held")
    return before


def measure_picker(page: ComfyPage, key: str, frames: int) -> None:
    node = page.add("LatentSyncDubSelectFaces", at=(0, 0))
    look_at(page, node)
    show = "([id, key]) => app.graph.getNodeById(id).onExecuted({latentsync_scene: [key]})"
    page.page.evaluate(show, [int(node), key])

    def open_it() -> None:
        page.page.get_by_role("button", name="Choose faces in the clip").click()
        expect(face(page, 0)).to_be_visible(timeout=60_000)

    def use_it(frame: int) -> None:
        slide(page.page.get_by_role("slider", name="Frame"), frame)
        expect(page.page.get_by_alt_text(f"Frame {frame} of the clip")).to_be_visible(timeout=60_000)

    measure("face picker", page, open_it, use_it, frames)
    page.clear()


def measure_player(page: ComfyPage, key: str, frames: int) -> None:
    node = page.add("LatentSyncDubComposite", at=(0, 0))
    look_at(page, node)
    show = "([id, key]) => app.graph.getNodeById(id).onExecuted({latentsync_comparison: [key]})"
    page.page.evaluate(show, [int(node), key])

    def open_it() -> None:
        page.page.get_by_role("button", name="Compare with the filmed picture").click()
        opened(page)

    def use_it(frame: int) -> None:
        show_frame(page.page.get_by_role("dialog"), frame)

    before = measure("player", page, open_it, use_it, frames)
    page.page.keyboard.press("k")
    page.page.wait_for_timeout(PLAY_MS)
    print(f"player: {(chromium_bytes() - before) / 1e6:.0f} MB held while it plays")
    page.page.keyboard.press("Escape")
    page.page.request_gc()
    page.page.wait_for_timeout(PLAY_MS)
    print(f"player: {(chromium_bytes() - before) / 1e6:.0f} MB held after it was closed")


def slide(slider: Locator, frame: int) -> None:
    slider.evaluate("(slider, frame) => { slider.value = frame; slider.dispatchEvent(new Event('input')); }", frame)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, default=20)
    minutes = parser.parse_args().minutes
    with ComfyServer(packs=[HELPERS]) as server, sync_playwright() as playwright:
        write_long_clip(server.input / FILE, minutes)
        graph = Graph(server)
        graph.add("TestLongClip", "long", file=FILE)
        keys = shown_json(graph.run(), "long")
        flags = [flag for flag in FLAGS.split() if flag != "--disable-gpu"] + DRAWING
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium") or "chromium", args=flags)
        page = ComfyPage(chromium, server)
        page.open()
        page.clear()
        frames = page.page.evaluate(
            "async (key) => (await (await fetch(`/latentsync_dub/scenes/${key}`)).json()).frames", keys["scene"]
        )
        measure_picker(page, keys["scene"], frames)
        measure_player(page, keys["comparison"], frames)
        page.close()


if __name__ == "__main__":
    main()
