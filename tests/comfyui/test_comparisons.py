"""What the page asks a real server about a result and its clip: times of frames, mouths, and the filmed video."""

from __future__ import annotations

import json
import struct
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from latentsync_core.video.reading.probing import probe
from latentsync_core.video.writing.proxy import is_browser_playable
from tests.comfyui.harness.graphs import FRAMES, Graph

KEY = "latentsync_comparison"


def compared(graph: Graph) -> str:
    """The key of a run's result."""
    (key,) = graph.run().outputs["composite"][KEY]
    return key


@pytest.fixture(scope="module")
def whole(dub) -> str:
    """A result of a whole H.264 file."""
    graph = Graph(dub)
    graph.stages()
    return compared(graph)


@pytest.fixture(scope="module")
def mirrored(dub) -> str:
    """A result that plays a lossless clip forwards, backwards and forwards again, in ProRes."""
    graph = Graph(dub)
    graph.stages(
        graph.clip("lossless.mkv"),
        graph.voice("line.flac"),
        sampler={"length": "ping-pong"},
        composite={"codec": "prores", "filename_prefix": "compared/dub"},
    )
    return compared(graph)


def ask(comfy, path: str, method: str = "GET", **headers: str) -> bytes:
    request = urllib.request.Request(f"{comfy.url}/latentsync_dub/comparisons/{path}", method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def status(comfy, path: str, method: str = "GET") -> int:
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(comfy, path, method)
    return refused.value.code


def make_filmed(comfy, key: str) -> dict:
    """Asks until the filmed side can be played."""
    while not (state := json.loads(ask(comfy, f"{key}/filmed", "POST")))["ready"]:
        assert 0 <= state["done"] <= state["total"]
        time.sleep(0.1)
    return state


def copies(comfy) -> set[Path]:
    return set((comfy.temp / "latentsync_dub" / "filmed").glob("*"))


def test_a_result_is_described(dub, whole):
    described = json.loads(ask(dub, whole))
    assert (described["frames"], described["size"], described["speakers"]) == (FRAMES, [256, 144], 1)
    assert described["changed"] == [[0, FRAMES]]
    assert described["dubbed_sound"]
    table = ask(dub, f"{whole}/frames")
    times = struct.unpack(f"<{FRAMES}d", table[: 8 * FRAMES])
    assert times == pytest.approx([frame / 25 for frame in range(FRAMES)])
    assert struct.unpack(f"<{FRAMES}i", table[8 * FRAMES :]) == tuple(range(FRAMES))


def test_mouths_lie_in_the_picture(dub, whole):
    numbers = struct.unpack(f"<{3 * FRAMES}h", ask(dub, f"{whole}/mouths/0"))
    for x, y, side in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
        assert 0 < x < 256
        assert 0 < y < 144
        assert 10 < side < 144


def test_a_whole_h264_file_is_the_filmed_side_itself(dub, whole):
    before = copies(dub)
    assert make_filmed(dub, whole) == {"ready": True, "sound": True}
    assert ask(dub, f"{whole}/filmed.mp4") == (dub.input / "clip.mp4").read_bytes()
    assert ask(dub, f"{whole}/filmed.mp4", Range="bytes=4-7") == b"ftyp"
    assert copies(dub) == before


def test_any_other_filmed_side_is_made_when_it_is_asked_for_and_once(dub, mirrored):
    before = copies(dub)
    assert status(dub, f"{mirrored}/filmed.mp4") == 404
    assert not make_filmed(dub, mirrored)["sound"]
    (made,) = copies(dub) - before
    assert is_browser_playable(made)
    described = json.loads(ask(dub, mirrored))
    assert probe(made).frame_count == described["frames"] == 60
    written = made.stat().st_mtime_ns
    make_filmed(dub, mirrored)
    assert made.stat().st_mtime_ns == written
    table = ask(dub, f"{mirrored}/frames")
    shown = struct.unpack("<60i", table[8 * 60 :])
    there_and_back = [*range(FRAMES), *reversed(range(FRAMES))]
    assert list(shown) == (there_and_back * 3)[:60]


def test_frames_in_memory_are_compared_as_long_as_they_are_there(dub):
    graph = Graph(dub)
    graph.stages(graph.images())
    key = compared(graph)
    assert not make_filmed(dub, key)["sound"]
    assert ask(dub, f"{key}/filmed.mp4")[4:8] == b"ftyp"
    graph = Graph(dub)
    graph.stages(graph.images("silent.mp4"), sampler={"seed": 6})
    other = compared(graph)
    dub.free()
    run = Graph(dub)
    run.add("PreviewAny", "other", source="something else")
    run.run()  # the frames of before leave the cache
    with pytest.raises(urllib.error.HTTPError) as refused:
        make_filmed(dub, other)
    assert "no longer in memory; run this node again" in refused.value.read().decode()


@pytest.mark.parametrize(
    "path",
    [
        "../../../etc/passwd",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/requirements.txt",
        "{key}/../../../requirements.txt",
        "{key}/..%2f..%2fclip.mp4",
        "{key}/filmed.mp4/..",
        "{key}/filmed.mp4%00.txt",
        "{key}/filmed.mov",
        "{key}/mouths/1",
        "{key}/mouths/-1",
        "{key}/mouths/999",
        "{key}/mouths/\u0660",
        "{key}/mouths/..%2f0",
        "{upper}",
        "{key}0",
        "00000000000000000000000000000000",
        "00000000000000000000000000000000/filmed.mp4",
        "00000000000000000000000000000000/frames",
    ],
)
def test_no_path_and_no_foreign_key_is_answered(dub, whole, path):
    upper = whole.upper() if whole.upper() != whole else "A" * 32
    quoted = urllib.parse.quote(path.format(key=whole, upper=upper), safe="/%.?")
    assert status(dub, quoted) in (400, 403, 404)


def test_a_copy_is_only_made_by_asking_for_it(dub, mirrored):
    assert status(dub, f"{mirrored}/filmed") in (404, 405)
    assert status(dub, f"{'0' * 32}/filmed", "POST") == 404


def test_a_refusal_says_what_to_do(dub):
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(dub, "0" * 32)
    assert refused.value.read().decode() == "This result is no longer in memory; run this node again."


def test_a_clip_that_was_replaced_is_not_shown_as_the_filmed_one(dub):
    dub.put_files(dub.input, {"compared.mp4": (dub.input / "clip.mp4").read_bytes()})
    graph = Graph(dub)
    graph.stages(graph.clip("compared.mp4"))
    key = compared(graph)
    ask(dub, f"{key}/filmed.mp4")
    dub.put_files(dub.input, {"compared.mp4": (dub.input / "two.mp4").read_bytes()})
    assert status(dub, f"{key}/filmed", "POST") == 409
    assert status(dub, f"{key}/filmed.mp4") == 409


@pytest.mark.parametrize("of_frames", [False, True], ids=["file", "frames in memory"])
def test_lip_sync_compares_too(dub, of_frames):
    graph = Graph(dub)
    lips = {"model": "untrained (demonstration)", "steps": 1, "cfg": 1.0, "quality": "custom"}
    clip = graph.images() if of_frames else graph.clip()
    graph.add("LatentSyncDubLipSync", "lips", clip=clip, audio=graph.voice(), **lips)
    (key,) = graph.run().outputs["lips"][KEY]
    assert json.loads(ask(dub, key))["frames"] == FRAMES
    assert make_filmed(dub, key)["sound"] is not of_frames
    assert ask(dub, f"{key}/filmed.mp4", Range="bytes=4-7") == b"ftyp"
