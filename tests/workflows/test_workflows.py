"""The shipped workflows are whole: a note, groups, pictures, links that agree, and nodes that say where they come from.

Whether ComfyUI takes and runs them is tested with a real one in tests/comfyui and tests/browser.
"""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image

from tests.comfyui.third_party.check import BYPASSED, MUTED
from tests.comfyui.third_party.node_facts import load_facts

FOLDER = Path(__file__).parents[2] / "workflows"
WORKFLOWS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
OURS, CORE = "comfyui-latentsync-dub", "comfy-core"
THUMBNAIL_BYTES = 150_000
TITLE = 30  # pixels of a node's title, above its position
MACHINE = re.compile(r"(?:[A-Za-z]:\\|/(?:home|root|Users|tmp|work|mnt|opt)/)|https?:")

each_workflow = pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=WORKFLOWS)
each_name = pytest.mark.parametrize("name", WORKFLOWS)


def real_nodes(workflow: dict) -> list[dict]:
    return [node for node in workflow["nodes"] if node["type"] != "MarkdownNote"]


def test_there_are_twelve():
    assert [name[:2] for name in WORKFLOWS] == [f"{number:02}" for number in range(1, 13)]


@each_name
def test_every_system_can_hold_a_file_of_its_name(name):
    assert not set(name) & set('<>:"/\\|?*')  # which Windows can't


@each_workflow
def test_it_is_in_the_pages_own_format(workflow):
    assert workflow["version"] == 0.4
    assert workflow["last_node_id"] == max(node["id"] for node in workflow["nodes"])
    assert workflow["last_link_id"] == max(link[0] for link in workflow["links"])


@each_workflow
def test_no_id_occurs_twice(workflow):
    for ids in ([node["id"] for node in workflow["nodes"]], [link[0] for link in workflow["links"]]):
        assert len(ids) == len(set(ids))


@each_workflow
def test_both_ends_of_every_link_know_it(workflow):
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for link, source, output, target, place, kind in workflow["links"]:
        assert link in nodes[source]["outputs"][output]["links"]
        assert nodes[target]["inputs"][place]["link"] == link
        assert kind == nodes[source]["outputs"][output]["type"]
    ends = [entry["link"] for node in nodes.values() for entry in node.get("inputs", []) if entry["link"] is not None]
    assert sorted(ends) == sorted(link[0] for link in workflow["links"])


@each_workflow
def test_one_note_tells_the_way_in_steps(workflow):
    (note,) = [node for node in workflow["nodes"] if node["type"] == "MarkdownNote"]
    (text,) = note["widgets_values"]
    assert text.startswith("## ")
    assert "\n1. " in text
    assert "latentsync-1.6" in text


@each_workflow
def test_every_node_lies_in_a_coloured_group(workflow):
    assert len({group["color"] for group in workflow["groups"]}) > 2
    for node in real_nodes(workflow):
        (x, y), (width, height) = node["pos"], node["size"]
        homes = [
            group
            for group in workflow["groups"]
            for left, top, wide, high in [group["bounding"]]
            if left <= x and x + width <= left + wide and top <= y - TITLE and y + height <= top + high
        ]
        assert len(homes) == 1, node["type"]


@each_workflow
def test_no_two_nodes_overlap(workflow):
    boxes = [(*node["pos"], *node["size"]) for node in workflow["nodes"]]
    for (x, y, width, height), (left, top, wide, high) in combinations(boxes, 2):
        beside = x + width <= left or left + wide <= x
        above = y + height <= top - TITLE or top + high <= y - TITLE
        assert beside or above


@each_workflow
def test_every_node_names_its_pack(workflow):
    facts = load_facts()
    for node in real_nodes(workflow):
        properties = node["properties"]
        assert properties["Node name for S&R"] == node["type"]
        assert properties["ver"]
        if node["type"].startswith("LatentSyncDub"):
            assert properties["cnr_id"] == OURS
        elif node["type"] in facts and facts[node["type"]].registry:
            name, pack = facts[node["type"]].registry
            assert properties[name] == pack
        else:
            assert properties["cnr_id"] == CORE


@each_name
def test_only_cloned_voices_need_other_packs(name):
    others = [n["type"] for n in real_nodes(WORKFLOWS[name]) if n["properties"].get("cnr_id") not in (OURS, CORE)]
    assert bool(others) == name.startswith(("06", "10"))


@each_workflow
def test_no_clip_is_loaded_whole(workflow):
    running = [node["type"] for node in workflow["nodes"] if node["mode"] not in (MUTED, BYPASSED)]
    assert "GetVideoComponents" not in running


@each_workflow
def test_the_carried_scene_and_model_are_chosen(workflow):
    nodes = {node["type"]: node for node in workflow["nodes"]}
    assert "LatentSyncDubSampleScene" in nodes
    loader = nodes.get("LatentSyncDubLoadModel") or nodes["LatentSyncDubLipSync"]
    assert loader["widgets_values"][0].endswith("(demonstration)")


@each_workflow
def test_nothing_of_the_authors_machine_is_left(workflow):
    assert not MACHINE.search(json.dumps(workflow))
    assert not {"LoadImage", "LoadAudio", "LoadVideo"} & {node["type"] for node in workflow["nodes"]}


@each_name
def test_a_small_square_picture_lies_beside_it(name):
    path = FOLDER / f"{name}.jpg"
    assert path.stat().st_size < THUMBNAIL_BYTES
    with Image.open(path) as picture:
        assert picture.format == "JPEG"
        assert picture.width == picture.height > 400


def test_in_a_dub_the_mix_is_as_long_as_the_film():
    for name in WORKFLOWS:
        workflow, links = WORKFLOWS[name], {link[0]: link for link in WORKFLOWS[name]["links"]}
        nodes = {node["id"]: node for node in workflow["nodes"]}
        mixes = {links[entry["link"]][1] for node in workflow["nodes"] for entry in node["inputs"]
                 if entry["name"] == "mux_audio" and entry["link"] is not None}  # fmt: skip
        for merge in (nodes[mix] for mix in mixes if nodes[mix]["type"] == "AudioMerge"):
            (first,) = [entry["link"] for entry in merge["inputs"] if entry["name"] == "audio1"]
            assert nodes[links[first][1]]["title"] in ("Music and effects level", "Background level")


@pytest.mark.parametrize("name", [name for name in WORKFLOWS if name[:2] in ("05", "06", "08", "10", "11")])
def test_in_a_dub_the_lips_follow_the_dry_voice_and_the_film_gets_the_mix(name):
    nodes = {node["id"]: node for node in WORKFLOWS[name]["nodes"]}
    links = {link[0]: link for link in WORKFLOWS[name]["links"]}

    def source(kind: str, name_of_input: str) -> str:
        (node,) = [node for node in nodes.values() if node["type"] == kind]
        return before(node, name_of_input)["type"]

    def before(node: dict, name_of_input: str) -> dict:
        (link,) = [entry["link"] for entry in node["inputs"] if entry["name"] == name_of_input]
        found = nodes[links[link][1]]
        return before(found, "audio") if found["type"] == "LatentSyncDubVoiceCheck" else found

    assert source("LatentSyncDubComposite", "mux_audio") in ("AudioMerge", "LatentSyncDubMixDub")
    dry = ("LatentSyncDubSampleScene", "UnifiedTTSSRTNode", "LatentSyncDubPlaceLines")
    assert source("LatentSyncDubEmbedAudio", "audio") in dry


@pytest.mark.parametrize("name", [name for name in WORKFLOWS if name[:2] in ("06", "08", "09", "10", "11")])
def test_a_workflow_for_cloned_voices_asks_for_consent(name):
    (note,) = [node for node in WORKFLOWS[name]["nodes"] if node["type"] == "MarkdownNote"]
    assert "consent of the person" in note["widgets_values"][0]


@pytest.mark.parametrize(
    ("number", "kinds", "mode"),
    [("08", {"SAM3_VideoTrack", "SAM3_TrackToMask", "GetVideoComponents"}, MUTED),
     ("09", {"SeedVR2Preprocess", "SeedVR2PostProcessing", "LatentSyncDubDecodeFaces"}, BYPASSED)],
)  # fmt: skip
def test_a_branch_that_needs_models_waits(number, kinds, mode):
    workflow = next(WORKFLOWS[name] for name in WORKFLOWS if name.startswith(number))
    modes = {node["type"]: node["mode"] for node in workflow["nodes"]}
    assert {modes[kind] for kind in kinds} == {mode}


def test_voice_first_generates_nothing_at_first():
    workflow = next(WORKFLOWS[name] for name in WORKFLOWS if name.startswith("09"))
    (check,) = [node for node in workflow["nodes"] if node["type"] == "LatentSyncDubVoiceCheck"]
    assert check["widgets_values"][0] == "never"
