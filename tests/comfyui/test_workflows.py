"""The shipped workflows in a real ComfyUI: all are what the server expects, and those of core's and our nodes run."""

from __future__ import annotations

import json
from pathlib import Path

import av
import pytest

from latentsync_core.sample_scene import SCENE, TWO_PEOPLE
from latentsync_core.video.reading.probing import probe
from tests.clips import packet_times
from tests.comfyui.harness.find import PACK
from tests.comfyui.harness.graphs import FRAMES, LINE_SECONDS, SECONDS
from tests.comfyui.harness.server import ComfyServer
from tests.comfyui.harness.workflow_to_prompt import workflow_to_prompt
from tests.comfyui.third_party.check import check_workflow
from tests.comfyui.third_party.node_facts import load_facts

WORKFLOWS = sorted((PACK / "workflows").glob("*.json"))
# 06 and 10 need other packs, 11 a paid service; the others have nodes of core and ours alone.
OWN = [path for path in WORKFLOWS if path.stem[:2] not in ("06", "10", "11")]
# Half a second is too short to find who speaks; see test_who_speaks for 12.
IN_HALF_A_SECOND = [path for path in OWN if path.stem[:2] not in ("08", "12")]
STAND_INS = {0: ("LoadVideo", "file", "clip.mp4"), 1: ("LoadAudio", "audio", "speech.flac")}  # by the scene's output
STAND_INS |= {2: ("LoadAudio", "audio", "stereo.wav"), 4: ("LoadVideo", "file", "two.mp4")}
STAND_INS |= {5: ("LoadAudio", "audio", "voice.flac"), 6: ("LoadAudio", "audio", "other_voice.flac")}


LINE = {0: ("LoadVideo", "file", "line.mp4"), 1: ("LoadAudio", "audio", "line.flac")}


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def in_one_step(prompt: dict[str, dict]) -> dict[str, dict]:
    """The prompt with as little drawing as there can be."""
    for node in prompt.values():
        if "quality" in node["inputs"]:
            node["inputs"] |= {"quality": "custom", "steps": 1, "cfg": 1}
    return prompt


def with_the_voice_passed_on(prompt: dict[str, dict]) -> dict[str, dict]:
    """The prompt as it is when its voice is right."""
    for node in prompt.values():
        if "pass_on" in node["inputs"]:
            node["inputs"]["pass_on"] = "always"
    return prompt


def with_short_media(
    prompt: dict[str, dict], stand_ins: dict[int, tuple[str, str, str]] = STAND_INS
) -> dict[str, dict]:
    """The prompt with a small clip and short sounds in the place of the carried scene's; its portrait stays."""
    scene = next(name for name, node in prompt.items() if node["class_type"] == "LatentSyncDubSampleScene")
    for node in list(prompt.values()):
        for name, value in node["inputs"].items():
            if isinstance(value, list) and value[0] == scene and value[1] in stand_ins:
                kind, widget, file = stand_ins[value[1]]
                prompt[f"short {value[1]}"] = {"class_type": kind, "inputs": {widget: file}}
                node["inputs"][name] = [f"short {value[1]}", 0]
    return prompt


def with_short_lines(prompt: dict[str, dict], end: str = "00:00:00,400") -> dict[str, dict]:
    """The prompt with one line in the small clip's time."""
    for node in prompt.values():
        if node["class_type"] == "LatentSyncDubDialogueLines":
            node["inputs"]["text"] = f"1\n00:00:00,000 --> {end}\nThe last train\n"
    return prompt


def saved(server: ComfyServer, prompt: dict[str, dict], timeout: float) -> Path:
    """The file that the workflow's Save Video wrote."""
    save = next(name for name, node in prompt.items() if node["class_type"] == "SaveVideo")
    (path,) = server.files(server.run(prompt, timeout), save)
    return path


def skip_where_core_is_older(server: ComfyServer, workflow: dict) -> None:
    """Core's own nodes were saved as they are in the page's version; older ones have fewer inputs and outputs."""
    properties = [node.get("properties", {}) for node in workflow["nodes"]]
    saved_by = {p["ver"] for p in properties if p.get("cnr_id") == "comfy-core" and "ver" in p}
    newest = max(saved_by, key=numbers, default="0")
    if numbers(newest) > numbers(server.comfy.version):
        pytest.skip(f"saved by ComfyUI {newest}; {server.comfy.version} has older core nodes")


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def sound_seconds(path: Path) -> float:
    with av.open(str(path)) as file:
        sound = file.streams.audio[0]
        return sum(frame.samples for frame in file.decode(sound)) / sound.rate


def test_there_are_twelve():
    assert [path.stem[:2] for path in WORKFLOWS] == [f"{number:02}" for number in range(1, 13)]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_it_agrees_with_the_server_and_the_recorded_packs(dub, comfy_with, path):
    workflow = read(path)
    server = comfy_with(partners=True) if path.stem.startswith("11") else dub
    skip_where_core_is_older(server, workflow)
    assert check_workflow(workflow, load_facts(), server.object_info()) == []


def test_the_voice_comes_first_and_nothing_else_until_it_is_right(dub):
    path = next(path for path in WORKFLOWS if path.stem.startswith("09"))
    prompt = with_short_media(in_one_step(workflow_to_prompt(read(path), dub.object_info())))
    ran = {prompt[node]["class_type"] for node in dub.run(prompt, 120).outputs}
    assert "LatentSyncDubVoiceCheck" in ran
    assert not ran & {"LatentSyncDubComposite", "SaveVideo"}


@pytest.mark.parametrize("path", IN_HALF_A_SECOND, ids=lambda path: path.stem)
def test_it_runs(dub, path):
    """One step, and half a second in the place of the scene and its sounds; everything else as it is saved."""
    prompt = with_short_media(in_one_step(workflow_to_prompt(read(path), dub.object_info())))
    result = saved(dub, with_short_lines(with_the_voice_passed_on(prompt)), timeout=120)
    assert packet_times(result) == packet_times(dub.input / "clip.mp4")
    assert probe(result).frame_count == FRAMES
    assert sound_seconds(result) == pytest.approx(SECONDS, abs=0.1)


def test_lines_are_synced_where_somebody_is_found_speaking(dub):
    path = next(path for path in OWN if path.stem.startswith("08"))
    prompt = with_short_media(in_one_step(workflow_to_prompt(read(path), dub.object_info())), STAND_INS | LINE)
    speakers = next(name for name, node in prompt.items() if node["class_type"] == "LatentSyncDubSpeakersToFaces")
    run = dub.run(with_short_lines(prompt, "00:00:02,300"), 240)
    assert any("by somebody shown" in line for line in run.outputs[speakers]["text"])
    save = next(name for name, node in prompt.items() if node["class_type"] == "SaveVideo")
    (result,) = dub.files(run, save)
    assert packet_times(result) == packet_times(dub.input / "line.mp4")
    assert sound_seconds(result) == pytest.approx(LINE_SECONDS, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_it_runs_as_it_is_on_a_fresh_server(dub, path):
    """Eight seconds; a minute or two each. Quick: test_it_runs."""
    prompt = in_one_step(workflow_to_prompt(read(path), dub.object_info()))
    result = saved(dub, with_the_voice_passed_on(prompt), timeout=900)
    scene = TWO_PEOPLE if path.stem[:2] in ("07", "12") else SCENE
    assert packet_times(result) == packet_times(scene)
    assert sound_seconds(result) == pytest.approx(probe(scene).duration, abs=0.1)


@pytest.mark.parametrize("number", ["06", "10"])
def test_a_cloned_voice_is_accepted_where_its_packs_are_installed(dub_classic, number):
    """Stand-ins have the packs' recorded shape; they can't run, so the run is stopped at once."""
    workflow = read(next(path for path in WORKFLOWS if path.stem.startswith(number)))
    skip_where_core_is_older(dub_classic, workflow)
    prompt = workflow_to_prompt(workflow, dub_classic.object_info())
    encoders = [node["inputs"]["clip_name"] for node in prompt.values() if node["class_type"] == "CLIPLoader"]
    dub_classic.put_files(dub_classic.models / "text_encoders", dict.fromkeys(encoders, b""))
    queued = dub_classic.queue(prompt)
    dub_classic.interrupt(queued)
    assert dub_classic.wait(queued).status in ("interrupted", "error")
