"""Who speaks, found in a real ComfyUI: shown, corrected, sampled for one of two, and in one node."""

from __future__ import annotations

import json

import numpy as np
import pytest

from latentsync_core.errors import VideoError
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.sample_scene import HER_VOICE, HIS_VOICE, TWO_PEOPLE
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from tests.comfyui.harness.find import PACK
from tests.comfyui.harness.graphs import H264, MODEL, Graph
from tests.comfyui.harness.workflow_to_prompt import workflow_to_prompt

START, SECONDS = 0.8, 2.4  # of the carried scene: she speaks on the left, and after a pause he does on the right
HERS, HIS = slice(3, 20), slice(40, 55)  # frames


@pytest.fixture(scope="module")
def server(dub):
    for source, target, encoder in (
        (TWO_PEOPLE, "turns.mp4", H264),
        (HER_VOICE, "her_turn.flac", ()),
        (HIS_VOICE, "his_turn.flac", ()),
    ):
        part = ["-ss", str(START), "-t", str(SECONDS), "-i", str(source)]
        run_ffmpeg(["-y", *part, *encoder, str(dub.input / target)], error=VideoError, what=f"making {target}")
    return dub


def speakers(server, **inputs: object) -> Graph:
    graph = Graph(server)
    graph.stages(clip=graph.clip("turns.mp4"))
    found = graph.add("LatentSyncDubSpeakersToFaces", "speakers", faces=["faces", 0], **inputs)
    graph.prompt["sampler"]["inputs"]["faces"] = found
    return graph


def changed(server, path, most: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Whether some samples of each frame differ by more than `most` levels, on the left and on the right."""
    with FrameReader(probe(server.input / "turns.mp4")) as before, FrameReader(probe(path)) as after:
        both = [np.abs(one.planes[0].astype(int) - other.planes[0]) for one, other in zip(before, after, strict=True)]
    left, right = (
        np.array([(frame[:, side] > most).sum() > (20 if most else 0) for frame in both])
        for side in (slice(0, 400), slice(400, 800))
    )
    return left, right


def test_each_mouth_is_drawn_in_its_turn_and_the_node_says_who_speaks(server):
    graph = speakers(server)
    graph.add("PreviewAny", "report", source=["speakers", 2])
    graph.add("PreviewAny", "names", source=["speakers", 3])
    graph.add("PreviewImage", "timeline", images=["speakers", 1])
    left, right = changed(server, graph.lossless())
    assert left[HERS].all()
    assert not right[HERS].any()
    assert right[HIS].all()
    assert not left[HIS].any()
    run = graph.run()
    assert run.outputs["names"]["text"][0] == "person A = A\nperson B = B"
    speech = [one["person"] for one in json.loads(run.outputs["report"]["text"][0])["speech"]]
    assert {0, 1} <= set(speech)
    assert any(line.startswith("speech: ") for line in run.outputs["speakers"]["text"])


def test_one_speaker_alone_is_drawn_and_corrections_swap_them(server):
    graph = speakers(server, speaker="person 1")
    left, right = changed(server, graph.lossless())
    alone = (left[HERS].all(), right[HIS].all())
    assert sorted(alone) == [False, True]
    graph.prompt["speakers"]["inputs"] |= {"speaker": "", "people": "person 0 = 1\nperson 1 = 0"}
    left, right = changed(server, graph.lossless())
    assert not left[HERS].any()
    assert right[HERS].all()
    assert left[HIS].all()


@pytest.mark.slow
def test_the_shipped_workflow_moves_each_mouth_in_its_turn(server):
    """With a part of its scene and voices; everything else as it is saved.

    Quick: test_each_mouth_is_drawn_in_its_turn_and_the_node_says_who_speaks on a graph of these nodes, and of the file
    test_it_agrees_with_the_server_and_the_recorded_packs.
    """
    (path,) = (PACK / "workflows").glob("12 *.json")
    prompt = workflow_to_prompt(json.loads(path.read_text("utf-8")), server.object_info())
    outputs = {4: ("LoadVideo", "file", "turns.mp4"), 5: ("LoadAudio", "audio", "her_turn.flac")}
    outputs |= {6: ("LoadAudio", "audio", "his_turn.flac")}
    scene = next(name for name, node in prompt.items() if node["class_type"] == "LatentSyncDubSampleScene")
    for node in list(prompt.values()):
        for name, value in node["inputs"].items():
            if isinstance(value, list) and value[0] == scene:
                kind, widget, file = outputs[value[1]]
                prompt[file] = {"class_type": kind, "inputs": {widget: file}}
                node["inputs"][name] = [file, 0]
        if node["class_type"] == "LatentSyncDubComposite":
            node["inputs"] |= {"codec": "ffv1", "filename_prefix": "shipped/12"}
    server.run(prompt, 300)
    (result,) = server.output.glob("shipped/12*.mkv")
    left, right = changed(server, result)
    assert left[HERS].all()
    assert not right[HERS].any()
    assert right[HIS].all()
    assert not left[HIS].any()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"people": "person 0: 1"}, "write lines such as Anna = B"),
        ({"speaker": "Anna"}, "there is no speaker 'Anna'; the clip has person A, person B"),
        ({"diarization": "Anna first"}, "the diarization begins with 'Anna first', which is no format of lines"),
    ],
)
def test_texts_that_fit_nothing_are_refused_in_a_sentence(server, inputs, message):
    run = server.wait(server.queue(speakers(server, **inputs).prompt))
    assert (run.status, run.failed_node) == ("error", "speakers")
    assert message in run.error


def test_frames_without_a_sound_ask_for_the_voices_as_filmed(server):
    graph = Graph(server)
    graph.add("LatentSyncDubPrepareFaces", "faces", clip=graph.images("turns.mp4"))
    graph.add("LatentSyncDubSpeakersToFaces", "speakers", faces=["faces", 0])
    run = server.wait(server.queue(graph.prompt))
    assert (run.status, run.failed_node) == ("error", "speakers")
    assert "connect the voices as filmed to `original_audio`" in run.error


def test_lip_sync_finds_who_speaks_by_itself(server):
    graph = Graph(server)
    sampling = {"model": MODEL, "steps": 1, "cfg": 1.0, "quality": "custom", "who_speaks": "auto"}
    graph.add("LatentSyncDubLipSync", "lips", clip=graph.clip("turns.mp4"), audio=graph.voice(), **sampling)
    graph.save(["lips", 0])
    run = graph.run()
    (film,) = server.files(run, "save")
    left, right = changed(server, film, most=60)  # more than H.264 does
    assert left[HERS].all()
    assert not right[HERS].any()
    assert right[HIS].all()
