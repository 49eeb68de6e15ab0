"""The frame rate that a node is given, against the one that the clip says, in a real ComfyUI."""

from __future__ import annotations

import pytest

from tests.comfyui.harness.graphs import FRAMES, MODEL, Graph

WARNED = "⚠ These frames have a frame rate of {}, and clip.mp4, from which they come, has 25: connect its VIDEO"


@pytest.fixture
def graph(dub) -> Graph:
    return Graph(dub)


def shown(graph: Graph, clip: list, **widgets: object) -> list[str]:
    """What Prepare Faces shows of a clip."""
    graph.add("LatentSyncDubPrepareFaces", "faces", clip=clip, **widgets)
    return graph.run().outputs["faces"]["text"]


def test_frames_at_the_rate_of_their_file_are_fine(graph):
    assert shown(graph, graph.images(), fps=25.0)[0].startswith(f"{FRAMES} of {FRAMES} frames synced")


def test_frames_at_another_rate_than_their_files_are_reported(graph):
    first, *others = shown(graph, graph.images(), fps=23.976)
    assert first.startswith(WARNED.format("23.976"))
    assert others[0].startswith(f"{FRAMES} of {FRAMES} frames synced")


def test_nodes_between_do_not_hide_the_file(graph):
    image = graph.add("TestAddAlpha", image=graph.images())
    assert shown(graph, graph.add("TestBeyondWhite", image=image), fps=30.0)[0].startswith(WARNED.format("30"))


def test_a_video_that_was_made_of_frames_at_another_rate_is_reported(graph):
    assert shown(graph, graph.add("CreateVideo", images=graph.images(), fps=24.0))[0].startswith(WARNED.format("24"))


def test_frames_of_which_some_were_left_out_are_not_compared(graph):
    some = graph.add("TestFirstImages", image=graph.images(), count=FRAMES // 2)
    assert shown(graph, some, fps=12.5)[0].startswith(f"{FRAMES // 2} of")


@pytest.mark.parametrize(
    ("fps", "first"), [(25.0, "12 of 12 frames"), (30.0, "⚠ A frame rate of 30 was stated, but the")]
)
def test_a_videos_own_rate_counts(graph, fps, first):
    assert shown(graph, graph.clip(), fps=fps)[0].startswith(first)


@pytest.mark.parametrize("name", ["../clip.mp4", "/etc/clip.mp4", "x" * 5000 + ".mp4", "a\0b.mp4", "none.mp4"])
def test_a_name_that_is_no_input_file_is_passed_over(dub, graph, name):
    (dub.base / "clip.mp4").write_bytes((dub.input / "clip.mp4").read_bytes())
    scene = graph.add("LatentSyncDubSampleScene", "scene")
    portraits = graph.add("RepeatImageBatch", image=[scene[0], 3], amount=FRAMES)  # these come from no file
    named = graph.add("TestNamedImages", image=portraits, file=name)
    assert not shown(graph, named, fps=24.0)[0].startswith("⚠")


def test_lip_sync_reports_it_too(graph):
    sampling = {"model": MODEL, "quality": "custom", "steps": 1, "cfg": 1.0}
    graph.add("LatentSyncDubLipSync", "lips", clip=graph.images(), audio=graph.voice(), fps=24.0, **sampling)
    assert any(line.startswith(WARNED.format("24")) for line in graph.run().outputs["lips"]["text"])
