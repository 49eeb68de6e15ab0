"""The player that compares a result with its clip, in ComfyUI's page: both sides show the same frame at any time."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.counted_clip import CLIP, FRAMES, LAYOUT, LONGER, READ, VOICE_FILE, numbers_in
from tests.browser.test_picker import BOTH, look_at

PLACES = (0, 1, 2, 9, 8, FRAMES - 1, 5)  # forwards, backwards, and beside each other
DIALOG = "Before and after"
CANVAS = ".lsd-player .lsd-view canvas"
OPENER = "Compare with the filmed picture"

# What is seen at 40 moments at least, and until 6 frames were: the numbers of both sides.
_WATCH = """async (arg) => {
    const read = eval(arg.read), seen = [];
    while (seen.length < 40 || new Set(seen.map(String)).size < 6) {
        await new Promise(requestAnimationFrame);
        seen.push(read(arg));
    }
    return seen;
}"""
# Until the filmed side has jumped back twice from one of `ends`: how often it has, and the first frame of all.
_WATCH_LOOP = """async (arg) => {
    const read = eval(arg.read);
    let [before] = read(arg), first = before, jumps = 0;
    for (let moment = 0; moment < 5000 && jumps < 2; moment++) {
        await new Promise(requestAnimationFrame);
        const [now] = read(arg);
        if (now < before && arg.ends.includes(before)) jumps++;
        [before, first] = [now, Math.min(first, now)];
    }
    return [jumps, first];
}"""
# Videos that the page makes from now on.
_RECORD_VIDEOS = """() => {
    const make = document.createElement;
    window.madeVideos = [];
    document.createElement = function (tag) {
        const made = make.apply(this, arguments);
        if (tag === "video") window.madeVideos.push(made);
        return made;
    };
    window.forgetVideos = () => { document.createElement = make; };
}"""
# The mean colour of a small part of a canvas, by its middle in shares of width and height.
_COLOR = """([canvas, x, y]) => {
    const image = document.querySelector(canvas);
    const {data} = image.getContext("2d").getImageData(x * image.width - 6, y * image.height - 6, 12, 12);
    return [0, 1, 2].map((channel) => data.filter((_, at) => at % 4 === channel).reduce((a, b) => a + b) / 144);
}"""


def show_result(page, key: str, vue: bool = False) -> str:
    """A Composite that has a result, in view; its id."""
    page.page.evaluate("() => { app.rootGraph.id = crypto.randomUUID(); }")
    node = page.add("LatentSyncDubComposite", at=(0, 0))
    page.use_vue_nodes(vue)
    look_at(page, node)
    tell = "([id, key]) => app.graph.getNodeById(id).onExecuted({latentsync_comparison: [key]})"
    page.page.evaluate(tell, [int(node), key])
    return node


def opened(page, patience: float = 120):
    """The open player, once it shows its first frame."""
    dialog = page.page.get_by_role("dialog", name=DIALOG)
    expect(dialog.get_by_role("button", name="Play", exact=True)).to_be_enabled(timeout=patience * 1000)
    return dialog


def open_player(page):
    """Opens the only player of the page."""
    page.page.get_by_role("button", name=OPENER).click()
    return opened(page)


@pytest.fixture
def player(page, results):
    """An open player of a result in H.264."""
    show_result(page, results["h264"])
    yield open_player(page)
    page.page.keyboard.press("Escape")


def show_frame(dialog, frame: int) -> None:
    slider = dialog.get_by_role("slider", name="Frame")
    slider.evaluate("(slider, frame) => { slider.value = frame; slider.dispatchEvent(new Event('input')); }", frame)
    expect_frame(dialog, frame)


def expect_frame(dialog, frame: int) -> None:
    expect(dialog).to_have_attribute("data-frame", str(frame), timeout=30_000)


@BOTH
def test_after_a_run_a_button_opens_it_and_both_sides_show_the_same_frame(page, counted, vue):
    page.page.evaluate("() => { app.rootGraph.id = crypto.randomUUID(); }")
    voice = page.add("LoadAudio", at=(0, 500), audio=VOICE_FILE)
    values = {"model": "untrained (demonstration)", "steps": 2, "cfg": 1.0, "quality": "custom", "face_choice": ""}
    lips = page.add("LatentSyncDubLipSync", at=(400, 0), seed=int(vue), length="video", **values)
    page.connect(page.add("LoadVideo", at=(0, 0), file=CLIP), 0, lips, "clip")
    page.connect(voice, 0, lips, "audio")
    page.use_vue_nodes(vue)
    look_at(page, lips)
    page.forget_problems()  # Load Video asks for its picture before its file is chosen
    saved, prompt = page.workflow(), page.prompt()
    for seed in (int(vue), 2 + int(vue)):  # a second run shows its previews beside the first one's video
        page.set_widget(lips, "seed", seed)
        run = page.queue(600)
        assert (run.status, run.error) == ("success", "")
        dialog = open_player(page)
        for frame in PLACES:
            show_frame(dialog, frame)
            assert numbers_in(page, CANVAS) == (frame, frame)
        page.page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
    assert page.problems() == []
    page.set_widget(lips, "seed", int(vue))
    assert page.prompt() == prompt
    values = [{one["id"]: one.get("widgets_values") for one in graph["nodes"]} for graph in (saved, page.workflow())]
    assert values[0] == values[1]


@pytest.mark.parametrize("name", ["h264", "prores", "ffv1"])
def test_every_codec_is_compared_frame_by_frame(page, results, name):
    show_result(page, results[name])
    dialog = open_player(page)
    for frame in PLACES:
        show_frame(dialog, frame)
        assert numbers_in(page, CANVAS) == (frame, frame)
    assert page.problems() == []
    page.page.keyboard.press("Escape")


def test_a_clip_that_is_played_there_and_back_is_filmed_so_too(page, results):
    show_result(page, results["there and back"])
    dialog = open_player(page)
    order = [*range(FRAMES), *reversed(range(FRAMES)), *range(FRAMES)][:LONGER]
    for frame in (0, FRAMES - 1, FRAMES, FRAMES + 4, 2 * FRAMES + 1, LONGER - 1):
        show_frame(dialog, frame)
        assert numbers_in(page, CANVAS) == (order[frame], order[frame])
    expect(dialog.locator(".lsd-time")).to_contain_text(f"frame {LONGER - 1} (the clip's {order[-1]})")
    page.page.keyboard.press("Escape")


def test_while_it_plays_both_sides_show_the_same_frame(page, player):
    player.get_by_role("button", name="Play", exact=True).click()
    seen = page.page.evaluate(_WATCH, {"read": READ, "canvas": CANVAS, **LAYOUT})
    assert {left - right for left, right in seen} == {0}
    player.get_by_role("button", name="Pause").click()
    expect(player.get_by_role("button", name="Play", exact=True)).to_be_visible()
    left, right = numbers_in(page, CANVAS)
    assert left == right
    expect_frame(player, left)


def test_it_plays_a_marked_part_again_and_again(page, player):
    show_frame(player, 4)
    page.page.keyboard.press("i")
    show_frame(player, 9)
    page.page.keyboard.press("o")
    expect(player.get_by_role("status")).to_have_text("Loops frames 4 to 9.")
    page.page.keyboard.press("k")
    # The frame after the last may show before it jumps. A busy machine shows later ones, too, or skips the last.
    ends = {"read": READ, "canvas": CANVAS, "ends": [7, 8, 9, 10], **LAYOUT}
    assert page.page.evaluate(_WATCH_LOOP, ends) == [2, 4]
    page.page.keyboard.press("l")
    expect(player.get_by_role("button", name="loop", exact=True)).to_have_attribute("aria-pressed", "false")


def test_the_divider_parts_filmed_from_dubbed(page, player):
    page.page.keyboard.press("z")  # the mouth, near the middle

    def color(mode: str, share: float | None = None) -> list[float]:
        page.page.keyboard.press(mode)
        if share is not None:
            box = page.page.locator(".lsd-view").bounding_box()
            page.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
            page.page.mouse.down()
            page.page.mouse.move(box["x"] + box["width"] * share, box["y"] + 20)
            page.page.mouse.up()
            divider = player.get_by_role("slider", name="Divider between filmed and dubbed")
            assert int(divider.get_attribute("aria-valuenow")) == pytest.approx(100 * share, abs=1)
        page.page.wait_for_timeout(300)
        return page.page.evaluate(_COLOR, [CANVAS, 0.5, 0.5])

    filmed, dubbed = color("a"), color("b")
    assert max(abs(a - b) for a, b in zip(filmed, dubbed, strict=True)) > 15, "the untrained model draws noise"
    assert color("s", 0.75) == pytest.approx(filmed, abs=2)
    assert color("s", 0.25) == pytest.approx(dubbed, abs=2)


def test_the_zoom_shows_the_mouth_and_nothing_of_the_edges(page, player):
    zoom = player.get_by_role("button", name="zoom to the mouth")
    page.page.keyboard.press("a")
    whole = page.page.evaluate(_COLOR, [CANVAS, 0.5, 0.5])
    zoom.click()
    expect(zoom).to_have_attribute("aria-pressed", "true")
    page.page.wait_for_timeout(300)
    red, green, blue = page.page.evaluate(_COLOR, [CANVAS, 0.5, 0.5])
    assert red > green + 15, "skin and lips"
    assert red > blue + 15
    assert abs(whole[0] - red) > 15, "the picture's own middle is the dark wall between the two"


@BOTH
def test_everything_can_be_done_with_the_keyboard(page, results, vue):
    node = show_result(page, results["h264"], vue)
    press = page.page.keyboard.press
    opener = page.page.get_by_role("button", name=OPENER)
    opener.focus()
    press("Enter")
    dialog = opened(page)
    play = dialog.get_by_role("button", name="Play", exact=True)
    expect(play).to_be_focused()
    for key, frame in ((".", 1), ("ArrowRight", 2), (".", 3), (",", 2), ("ArrowLeft", 1)):
        press(key)
        expect_frame(dialog, frame)
        assert numbers_in(page, CANVAS) == (frame, frame)
    press("Space")
    expect(dialog.get_by_role("button", name="Pause")).to_be_visible()
    press("Space")
    expect(play).to_be_visible()
    for key, name in (("a", "filmed"), ("b", "dubbed"), ("s", "both")):
        press(key)
        pressed = dialog.get_by_role("group", name="Picture").get_by_role("button", name=name)
        expect(pressed).to_have_attribute("aria-pressed", "true")
    divider = dialog.get_by_role("slider", name="Divider between filmed and dubbed")
    divider.focus()
    for key, value in (("ArrowRight", 51), ("PageUp", 61), ("Home", 0), ("End", 100), ("PageDown", 90)):
        press(key)
        expect(divider).to_have_attribute("aria-valuenow", str(value))
    slider = dialog.get_by_role("slider", name="Frame")
    slider.focus()
    press("End")
    expect_frame(dialog, FRAMES - 1)
    expect(slider).to_have_attribute("aria-valuetext", f"0:00.60 · frame {FRAMES - 1}")
    press("Delete")
    press("Escape")
    expect(dialog).to_have_count(0)
    expect(opener).to_be_focused()
    assert node in {str(one["id"]) for one in page.workflow()["nodes"]}, "Delete in the player deletes no node"
    assert page.problems() == []


def test_the_sound_is_the_dubs_or_the_clips_or_none(page, results):
    show_result(page, results["h264"])
    page.page.evaluate(_RECORD_VIDEOS)
    dialog = open_player(page)
    page.page.evaluate("() => window.forgetVideos()")
    group = dialog.get_by_role("group", name="Sound")

    def playing_sounds() -> list[str]:
        script = "() => window.madeVideos.filter((one) => !one.muted).map((one) => one.src.includes('filmed.mp4'))"
        return ["clip" if filmed else "dub" for filmed in page.page.evaluate(script)]

    assert playing_sounds() == ["dub"]
    expect(group.get_by_role("button", name="of the clip")).to_be_disabled()  # it has none
    page.page.keyboard.press("m")
    assert playing_sounds() == []
    expect(group.get_by_role("button", name="none")).to_have_attribute("aria-pressed", "true")
    page.page.keyboard.press("m")
    assert playing_sounds() == ["dub"]
    page.page.keyboard.press("Escape")


def test_one_player_decodes_at_a_time_and_closing_frees_its_videos(page, results):
    show_result(page, results["h264"])
    page.page.evaluate(_RECORD_VIDEOS)
    for _ in range(2):
        open_player(page)
        held = page.page.evaluate("() => window.madeVideos.filter((one) => one.getAttribute('src')).length")
        assert held == 2
        assert page.page.get_by_role("dialog").count() == 1
        page.page.keyboard.press("Escape")
        expect(page.page.get_by_role("dialog", name=DIALOG)).to_have_count(0)
    page.page.evaluate("() => window.forgetVideos()")
    states = page.page.evaluate("() => window.madeVideos.map((one) => [one.getAttribute('src'), one.readyState])")
    assert states == [[None, 0]] * 4
    assert page.problems() == []


def test_closing_it_while_the_filmed_side_is_made_is_harmless(page, results):
    show_result(page, results["there and back"])
    page.page.get_by_role("button", name=OPENER).click()
    page.page.keyboard.press("Escape")
    expect(page.page.get_by_role("dialog", name=DIALOG)).to_have_count(0)
    open_player(page)
    page.page.keyboard.press("Escape")
    assert page.problems() == []


def test_a_result_that_the_server_forgot_says_what_to_do(page):
    show_result(page, "0" * 32)
    page.page.get_by_role("button", name=OPENER).click()
    status = page.page.get_by_role("dialog", name=DIALOG).get_by_role("status")
    expect(status).to_have_text("This result is no longer in memory; run this node again.")
    page.page.keyboard.press("Escape")
