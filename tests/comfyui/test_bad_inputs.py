"""Bad inputs in a real ComfyUI: the run ends at the right node with one sentence that says what to do."""

from __future__ import annotations

import pytest

from tests.comfyui.harness.graphs import Graph
from tests.comfyui.harness.server import PromptRefused, RunFailed


@pytest.fixture
def graph(dub) -> Graph:
    return Graph(dub)


@pytest.fixture
def refused(dub):
    """Runs a graph that must fail in a node; gives the sentence."""

    def run(graph: Graph, node: str) -> str:
        run = dub.wait(dub.queue(graph.prompt))
        assert (run.status, run.failed_node) == ("error", node), run.error
        sentence = run.error
        assert sentence
        assert "\n" not in sentence
        assert run.error_type.startswith("LatentSync.")
        return sentence

    return run


def test_a_string_does_not_fit_the_clip_socket(graph):
    graph.stages(clip=graph.add("PrimitiveString", value="clip.mp4"))
    with pytest.raises(PromptRefused, match=r"node faces .*clip"):
        graph.run()


@pytest.mark.parametrize(("kind", "seen"), [("a string", "str"), ("a latent", "dict")])
def test_something_else_under_a_free_type(graph, refused, kind, seen):
    graph.stages(clip=graph.add("TestAnything", kind=kind))
    sentence = refused(graph, "faces")
    assert seen in sentence
    assert "VIDEO" in sentence


def test_a_video_on_the_sound_socket(graph):
    graph.stages(voice=graph.clip())
    with pytest.raises(PromptRefused, match=r"node heard .*audio"):
        graph.run()


@pytest.mark.parametrize(
    ("kind", "said"), [("none", "No sound"), ("silent of no length", "no samples"), ("not a number", "number")]
)
def test_no_sound_at_all(graph, refused, kind, said):
    graph.stages(voice=graph.add("TestAwkwardAudio", audio=graph.voice(), kind=kind))
    assert said in refused(graph, "heard")


def test_the_sound_of_a_silent_clip(graph, refused):
    silent = graph.clip("silent.mp4")
    graph.stages(clip=silent, voice=graph.add("LatentSyncDubClipAudio", "own", video=silent))
    assert "silent.mp4" in refused(graph, "own")


def test_the_sound_of_a_clip_made_of_images_alone(graph, refused):
    video = graph.add("CreateVideo", images=graph.images(), fps=25.0)
    graph.stages(voice=graph.add("LatentSyncDubClipAudio", "own", video=video))
    assert "Create Video" in refused(graph, "own")


def test_no_images(graph, refused):
    graph.stages(clip=graph.add("TestFirstImages", image=graph.images(), count=0))
    assert "batch is empty" in refused(graph, "faces")


def test_a_clip_without_a_face(graph, refused):
    graph.stages(clip=graph.clip("no_face.mp4"))
    sentence = refused(graph, "faces")
    assert "no_face.mp4" in sentence
    assert "face" in sentence


def test_a_file_that_is_no_clip(dub, graph, refused):
    dub.put_files(dub.input, {"broken.mp4": b"no clip"})
    graph.stages(clip=graph.clip("broken.mp4"))
    assert "broken.mp4" in refused(graph, "faces")


def test_a_clip_that_changed_since_its_faces_were_prepared(dub, graph, refused):
    dub.put_files(dub.input, {"fresh.mp4": (dub.input / "clip.mp4").read_bytes()})
    graph.stages(clip=graph.clip("fresh.mp4"))
    changed = graph.add("TestOverwrite", faces=["faces", 0], file="fresh.mp4", by="mirrored.mp4")
    graph.prompt["sampler"]["inputs"]["faces"] = changed
    sentence = refused(graph, "sampler")
    assert "fresh.mp4" in sentence
    assert "Prepare Faces again" in sentence


def test_a_clip_in_batches(dub_classic):
    graph = Graph(dub_classic)
    manager = graph.add("VHS_BatchManager", frames_per_batch=16)
    graph.stages(clip=graph.add("TestLoadSlice", meta_batch=manager, file="clip.mp4"))
    run = dub_classic.wait(dub_classic.queue(graph.prompt))
    assert run.failed_node == "faces"
    assert "VHS_BatchManager" in run.error
    assert "remove the meta batch" in run.error


@pytest.mark.parametrize(
    ("kind", "inputs", "said"),
    [
        ("TestFirstImages", {"count": 3}, "3 face crops"),
        ("ImageScale", {"width": 96, "height": 128, "crop": "disabled"}, "96×128"),
    ],
)
def test_restored_faces_that_do_not_fit(graph, refused, kind, inputs, said):
    graph.stages()
    crops = graph.add("LatentSyncDubDecodeFaces", "decoded", synced=["sampler", 0])
    changed = graph.add(kind, "restored", image=crops, **inputs)
    synced = graph.add("LatentSyncDubReplaceFaces", "replaced", synced=["sampler", 0], crops=changed)
    graph.prompt["composite"]["inputs"]["synced"] = synced
    assert said in refused(graph, "replaced")


def test_a_model_that_is_not_in_the_list(graph):
    """Old ComfyUIs (0.3.64) don't look at lists; then the node says so."""
    graph.stages(model=graph.model(model="no_such_model"))
    with pytest.raises((PromptRefused, RunFailed), match=r"node model.*no_such_model"):
        graph.run()


def test_a_file_in_the_models_folder_that_is_no_model(dub, graph, refused):
    dub.put_files(dub.models / "latentsync", {"other.safetensors": b"\2\0\0\0\0\0\0\0{}"})
    graph.stages(model=graph.model(model="other.safetensors"))
    assert "other.safetensors" in refused(graph, "model")


def test_a_released_model_that_is_not_installed(dub, graph, refused):
    graph.stages(model=graph.model(model="latentsync-1.6", download_if_missing=False))
    sentence = refused(graph, "model")
    assert "latentsync-1.6" in sentence
    assert str(dub.models / "latentsync") in sentence


def test_an_overlap_of_more_than_half_a_window(graph, refused):
    graph.stages(trepa={"window": 8, "overlap": 5})
    sentence = refused(graph, "trepa")
    assert "overlap is 5" in sentence
    assert "0 to 4" in sentence


def test_steps_outside_of_their_range(graph):
    graph.stages(sampler={"steps": 0})
    with pytest.raises(PromptRefused, match="steps"):
        graph.run()


def test_a_prefix_that_leaves_the_output_folder(dub, graph):
    graph.stages(composite={"codec": "ffv1", "filename_prefix": "../../elsewhere/dub"})
    run = dub.wait(dub.queue(graph.prompt))
    assert (run.status, run.failed_node) == ("error", "composite")
    assert "output" in run.error
    assert not (dub.base.parent / "elsewhere").exists()
