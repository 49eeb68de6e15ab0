"""Two people and two voices in one graph: who is chosen, what is drawn, what runs again, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from latentsync_core.errors import VideoError
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.sample_scene import HER_VOICE, HIS_VOICE, TWO_PEOPLE
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from tests.comfyui.harness.graphs import Graph, shown_json

START, FRAMES, CUT = 4.76, 7, 4  # of the carried scene: four frames of both, three of her


@pytest.fixture(scope="module")
def two(dub):
    """The server, with the scene cut short and each voice in its input folder."""
    window = ("-ss", str(START), "-t", str(FRAMES / 25))
    lossless = ("-c:v", "ffv1", "-frames:v", str(FRAMES), "-an")
    files = {"two.mkv": (TWO_PEOPLE, lossless), "her.flac": (HER_VOICE, ()), "his.flac": (HIS_VOICE, ())}
    for name, (source, encoding) in files.items():
        arguments = ["-y", *window, "-i", str(source), *encoding, str(dub.input / name)]
        run_ffmpeg(arguments, error=VideoError, what=f"making {name}")
    return dub


def speakers(server, her: dict, him: dict) -> Graph:
    """The graph of workflow 07, what each Select Faces is told being given."""
    graph = Graph(server)
    model = graph.model()
    found = graph.add("LatentSyncDubPrepareFaces", "faces", clip=graph.clip("two.mkv"))
    for who, choice in (("her", her), ("his", him)):
        chosen = graph.add("LatentSyncDubSelectFaces", f"{who} face", faces=found, **choice)
        voice = graph.voice(f"{who}.flac", f"{who} voice")
        heard = graph.add("LatentSyncDubEmbedAudio", f"{who} heard", model=model, audio=voice)
        graph.add(
            "LatentSyncDubSampler",
            f"{who} mouth",
            model=model,
            faces=chosen,
            audio=heard,
            seed=5,
            steps=1,
            cfg=1.0,
            quality="custom",
        )
    graph.add("LatentSyncDubComposite", "composite", synced=["her mouth", 0], synced_2=["his mouth", 0])
    return graph


HER, HIM = {"by": "left-most"}, {"by": "point", "point_x": 590.0, "point_y": 200.0}


def luma(path) -> np.ndarray:
    with FrameReader(probe(path)) as frames:
        return np.stack([frame.planes[0] for frame in frames])


def test_both_mouths_are_drawn_and_the_picture_between_them_stays(two):
    graph = speakers(two, HER, HIM)
    before, after = luma(two.input / "two.mkv"), luma(graph.lossless())
    changed = before != after
    assert changed[:CUT, :, :400].any((1, 2)).all()
    assert changed[:CUT, :, 400:].any((1, 2)).all()
    assert changed[CUT:].any((1, 2)).all()
    assert not changed[:CUT, :, 380:420].any()
    assert not changed[:, :100].any()


def test_select_faces_shows_everybody_and_gives_timeline_and_report(two):
    graph = speakers(two, HER, HIM)
    graph.add("TestImageFacts", "facts", images=["his face", 1])
    graph.add("PreviewAny", "report", source=["his face", 2])
    run = graph.run()
    (sheet,) = two.files(run, "his face")
    with Image.open(sheet) as picture:
        assert picture.width == 3 * 144
    assert run.outputs["his face"]["text"][0] == f"{CUT} of {FRAMES} frames synced; 2 shots, 3 tracks, 2 people"
    shape = shown_json(run, "facts")["shape"]
    assert shape[0] == 1
    assert shape[2:] == [1200, 3]
    report = json.loads(run.outputs["report"]["text"][0])
    assert report["shots"] == [[0, CUT], [CUT, FRAMES]]
    assert report["counts"] == {"synced": CUT, "no chosen face": FRAMES - CUT}


@pytest.mark.parametrize("him", [HER, {"by": "person", "person": 0, "tracks_on": "0, 1, 2"}])
def test_two_voices_for_one_face_are_refused(two, him):
    run = two.wait(two.queue(speakers(two, HER, him).prompt))
    assert (run.status, run.failed_node) == ("error", "composite")
    assert "two voices drive the same face" in run.error


def test_nobody_there_is_said_with_who_there_is(two):
    graph = speakers(two, HER, {"by": "person", "person": 5})
    run = two.wait(two.queue(graph.prompt))
    assert (run.status, run.failed_node) == ("error", "his face")
    assert "there is no person F (5); the clip has persons A to B (0 to 1)" in run.error


def test_another_choice_for_one_repeats_nothing_of_the_other(dub_classic, two):
    for name in ("two.mkv", "her.flac", "his.flac"):
        (dub_classic.input / name).write_bytes((two.input / name).read_bytes())
    graph = speakers(dub_classic, HER, HIM)
    graph.run()
    graph.prompt["his face"]["inputs"] |= {"point_x": 600.0}
    assert graph.run().nodes_run == ["his face", "his mouth", "composite"]


def test_a_mask_of_the_foreground_keeps_its_pixels(two):
    graph = speakers(two, HER, HIM)
    everything = graph.add("SolidMask", "mask", value=1.0, width=800, height=450)
    graph.prompt["composite"]["inputs"]["foreground"] = everything
    assert np.array_equal(luma(two.input / "two.mkv"), luma(graph.lossless()))
