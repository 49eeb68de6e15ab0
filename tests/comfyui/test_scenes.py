"""What the page asks a real server about a scene: it is answered for scenes of this server's nodes, and for no path."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.parse
import urllib.request

import pytest
from PIL import Image

from tests.comfyui.harness.graphs import FRAMES, Graph


@pytest.fixture(scope="module")
def scene(dub) -> str:
    """The key of the two people's scene."""
    graph = Graph(dub)
    faces = graph.add("LatentSyncDubPrepareFaces", "faces", clip=graph.clip("two.mp4"))
    graph.add("LatentSyncDubSelectFaces", "select", faces=faces)
    (key,) = graph.run().outputs["select"]["latentsync_scene"]
    return key


def ask(comfy, path: str) -> bytes:
    with urllib.request.urlopen(f"{comfy.url}/latentsync_dub/scenes/{path}", timeout=60) as answer:
        return answer.read()


def status(comfy, path: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(comfy, path)
    return refused.value.code


def test_a_scene_is_described_with_a_box_for_every_frame_of_a_face(dub, scene):
    described = json.loads(ask(dub, scene))
    assert described["frames"] == FRAMES
    assert [one["person"] for one in described["persons"]] == [0, 1]
    rows = sum(stop - first for first, stop in (track["frames"] for track in described["tracks"]))
    assert len(ask(dub, f"{scene}/boxes")) == 8 * rows


@pytest.mark.parametrize("picture", ["frames/0.jpg", f"frames/{FRAMES - 1}.jpg", "portraits/0.jpg"])
def test_a_scenes_pictures_are_served(dub, scene, picture):
    assert Image.open(io.BytesIO(ask(dub, f"{scene}/{picture}"))).format == "JPEG"


def test_faces_that_may_be_marked_are_looked_for(dub, scene):
    for box in json.loads(ask(dub, f"{scene}/frames/0/faint")):
        assert len(box) == 4


def test_a_choice_is_answered_as_select_faces_would_choose(dub, scene):
    def chosen(**values: object) -> dict:
        return json.loads(ask(dub, f"{scene}/choice?{urllib.parse.urlencode(values)}"))

    tracks = json.loads(ask(dub, scene))["tracks"]
    own = [one["track"] for one in tracks if one["person"] == 1]
    assert sorted(chosen(by="person", person=1)["chosen"]) == own
    assert chosen(by="person", person=1, tracks_off=",".join(map(str, own)))["chosen"] == []
    assert chosen(by="person", person=1)["runs"][-1][1] == FRAMES
    assert "there is no person H (7)" in chosen(by="person", person=7)["error"]
    assert "is not a track number" in chosen(tracks_on="all")["error"]
    assert "known after a run" in chosen(by="picture")["error"]
    assert "choose again" in chosen(by="nonsense")["error"]
    assert "choose again" in chosen(point_x="left", by="point")["error"]


def test_the_base_of_a_choice_by_mask_is_remembered(dub):
    graph = Graph(dub)
    faces = graph.add("LatentSyncDubPrepareFaces", "faces", clip=graph.clip("two.mp4"))
    mask = graph.add("SolidMask", "mask", value=1.0, width=64, height=64)
    graph.add("LatentSyncDubSelectFaces", "select", faces=faces, by="mask", mask=mask)
    run = graph.run()
    (key,) = run.outputs["select"]["latentsync_scene"]
    chosen = json.loads(ask(dub, f"{key}/choice?by=mask"))["chosen"]
    assert chosen
    left_out = json.loads(ask(dub, f"{key}/choice?by=mask&tracks_off={chosen[0]}"))["chosen"]
    assert left_out == chosen[1:]


@pytest.mark.parametrize(
    "path",
    [
        "../../../etc/passwd",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/requirements.txt",
        "{key}/../../../requirements.txt",
        "{key}/frames/..%2f..%2f..%2frequirements.txt",
        "{key}/frames/%2fetc%2fpasswd.jpg",
        "{key}/frames/-1.jpg",
        "{key}/frames/0.jpg%00.txt",
        "{key}/frames/0.png",
        "{key}/frames/999999999.jpg",
        "{key}/frames/9999999999.jpg",
        "{key}/frames/999999999/faint",
        "{key}/portraits/999999.jpg",
        "{key}/portraits/..%2f0.jpg",
        "{key}/portraits/\u0663.jpg",
        "{upper}",
        "{key}0",
        "00000000000000000000000000000000",
        "00000000000000000000000000000000/frames/0.jpg",
    ],
)
def test_no_path_no_foreign_key_and_no_missing_frame_is_answered(dub, scene, path):
    upper = scene.upper() if scene.upper() != scene else "A" * 32
    quoted = urllib.parse.quote(path.format(key=scene, upper=upper), safe="/%.?")
    assert status(dub, quoted) in (400, 403, 404)


def test_a_refusal_says_what_to_do(dub):
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(dub, "0" * 32)
    assert refused.value.read().decode() == "The clip's faces are no longer in memory; run this node again."


def test_a_clip_that_was_replaced_is_not_shown_as_the_one_whose_faces_are_known(dub):
    dub.put_files(dub.input, {"replaced.mp4": (dub.input / "two.mp4").read_bytes()})
    graph = Graph(dub)
    faces = graph.add("LatentSyncDubPrepareFaces", "faces", clip=graph.clip("replaced.mp4"))
    graph.add("LatentSyncDubSelectFaces", "select", faces=faces)
    (key,) = graph.run().outputs["select"]["latentsync_scene"]
    ask(dub, f"{key}/frames/0.jpg")
    dub.put_files(dub.input, {"replaced.mp4": (dub.input / "clip.mp4").read_bytes()})
    assert status(dub, f"{key}/frames/1.jpg") == 409
