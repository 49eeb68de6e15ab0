"""A whole dub by lines in a real ComfyUI, offline: French scene, English lines, speech, mix, mouths, film."""

from __future__ import annotations

import json
import uuid

import pytest

from benchmarks.dub_chain import ENGLISH, SRT, figures
from latentsync_core.audio.source import load_audio
from latentsync_core.faces.find import find_faces
from latentsync_core.sample_scene import SCENE
from latentsync_core.video.reading.probing import probe
from tests.clips import packet_times
from tests.comfyui.harness.graphs import Graph
from tests.comfyui.harness.server import Run
from tests.dubbing.spoken import needs_espeak
from tests.one_thread import one_thread  # noqa: F401

pytestmark = [needs_espeak, pytest.mark.usefixtures("one_thread")]


@pytest.fixture
def graph(dub) -> Graph:
    return Graph(dub)


def mixed(graph: Graph) -> tuple[list, list, list]:
    """The chain as far as its sounds: the links of the scene, of the checked voice and of the mix."""
    scene = graph.add("LatentSyncDubSampleScene", "scene")
    lines = graph.add("LatentSyncDubDialogueLines", "lines", text=SRT, video=scene)
    spoken = graph.add("TestSpeakEnglish", "speak", text=[lines[0], 1])
    voice = graph.add("LatentSyncDubPlaceLines", "place", lines=lines, sounds=spoken, video=scene)
    checked = graph.add("LatentSyncDubVoiceCheck", "check", audio=voice, video=scene)
    mix = graph.add("LatentSyncDubMixDub", "mix", dub=checked, background=[scene[0], 2], loudness="-23")
    graph.add("TestShowSound", "voice shown", audio=voice)
    graph.add("TestShowSound", "mix shown", audio=mix)
    graph.add("TestShowText", "placed", text=[voice[0], 1])
    return scene, checked, mix


def check_sounds(run: Run) -> list[dict]:
    """Voice and mix are as long as the picture, to the sample; the placed lines."""
    seconds = probe(SCENE).exact_duration
    for name in ("voice shown", "mix shown"):
        facts = json.loads(run.outputs[name]["text"][0])
        assert facts["shape"][-1] == round(seconds * facts["sample_rate"]), name
    return json.loads(json.loads(run.outputs["placed"]["text"][0]))


def test_the_sounds_of_a_dub_by_lines_are_as_long_as_the_picture(graph):
    mixed(graph)
    run = graph.run()
    placed = check_sounds(run)
    assert [line["start"] for line in placed] == pytest.approx([float(line.start) for line in ENGLISH])
    assert not any("length" in line for line in run.outputs["check"]["text"])


@pytest.mark.slow
def test_mouths_move_only_in_their_lines(graph, dub):
    """The chain's film, by the bundled model. Quick: test_the_sounds_of_a_dub_by_lines_are_as_long_as_the_picture."""
    scene, voice, mix = mixed(graph)
    prefix = f"chain/{uuid.uuid4().hex}"
    composite = {"mux_audio": mix, "codec": "ffv1", "filename_prefix": prefix}
    model, sampler = graph.model(model="nano (demonstration)"), {"quality": "recommended"}
    graph.stages(scene, voice, model=model, sampler=sampler, composite=composite)
    placed = check_sounds(graph.run(timeout=1800))
    (film,) = dub.output.glob(f"{prefix}*.mkv")
    sound = load_audio(film)
    assert sound.samples == round(probe(SCENE).exact_duration * sound.sample_rate)
    assert packet_times(film) == packet_times(SCENE)
    found, _, _ = figures(find_faces(probe(SCENE)), film, [(line["start"], line["speech_end"]) for line in placed])
    print(found)
    assert found["lines"]["dub"] > 0.01
    assert found["outside"]["dub"] < found["lines"]["dub"] / 4
    assert found["outside, French speaks"]["frames"] >= 10
    assert found["outside, French speaks"]["dub"] < found["outside, French speaks"]["film"] / 5
