"""The player that compares a result with its clip, in ComfyUI's page: both sides show the same frame at any time."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from latentsync_core.video.writing.writer_options import Codec
from tests.browser.counted_clip import numbers_in, write_counted_clip
from tests.browser.test_picker import BOTH, look_at

FRAMES = 30
CLIP, PRORES = "page_counted.mp4", "page_counted.mov"
CANVAS = ".lsd-player .lsd-view canvas"
OPENER = "Compare with the filmed picture"


@pytest.fixture(scope="module")
def counted(comfy, open_page) -> None:
    write_counted_clip(comfy.input / CLIP, FRAMES)
    write_counted_clip(comfy.input / PRORES, FRAMES, Codec.PRORES)
    open_page.refresh()


def lip_sync(page, vue: bool, clip: str = CLIP, **widgets: object) -> str:
    """Lip Sync after a run on a counted clip; its id, in view."""
    page.page.evaluate("() => { app.rootGraph.id = crypto.randomUUID(); }")
    scene = page.add("LatentSyncDubSampleScene", at=(0, 0))
    values = {"model": "untrained (demonstration)", "steps": 1, "cfg": 1.0, "quality": "custom", "seed": 1}
    lips = page.add("LatentSyncDubLipSync", at=(400, 0), **values | {"face_choice": ""} | widgets)
    page.connect(page.add("LoadVideo", at=(0, 300), file=clip), 0, lips, "clip")
    page.connect(scene, "english_voice", lips, "audio")
    page.use_vue_nodes(vue)
    look_at(page, lips)
    run = page.queue(600)
    assert (run.status, run.error) == ("success", "")
    return lips


def open_player(page, timeout: float = 60):
    """Opens the only player and waits until it shows its first frame."""
    page.page.get_by_role("button", name=OPENER).click()
    dialog = page.page.get_by_role("dialog", name="Before and after")
    expect(dialog.get_by_role("button", name="Play", exact=True)).to_be_enabled(timeout=timeout * 1000)
    return dialog


def show_frame(page, dialog, frame: int) -> None:
    slider = dialog.get_by_role("slider", name="Frame")
    slider.evaluate("(slider, frame) => { slider.value = frame; slider.dispatchEvent(new Event('input')); }", frame)
    expect(dialog).to_have_attribute("data-frame", str(frame), timeout=15_000)


@BOTH
def test_both_sides_show_the_same_frame(page, counted, vue):
    lip_sync(page, vue, length="video")
    dialog = open_player(page)
    for frame in (0, 1, 2, 17, 16, FRAMES - 1, 5):
        show_frame(page, dialog, frame)
        assert numbers_in(page, CANVAS) == (frame, frame)
    assert page.problems() == []
    page.page.screenshot(path=f"/tmp/player_{vue}.png")
