"""What runs again when something changes, on a server that keeps the last prompt's outputs: no more than must."""

from __future__ import annotations

import pytest

from tests.comfyui.harness.graphs import FRAMES, SIZE, Graph, shown_json

ALL = {"model", "clip", "voice", "faces", "heard", "trepa", "sampler", "composite"}


@pytest.fixture
def graph(dub_classic) -> Graph:
    """The five stages, just run: everything is in the cache."""
    graph = Graph(dub_classic)
    graph.stages()
    graph.run()
    return graph


def test_everything_runs_once_and_then_nothing(dub_classic):
    graph = Graph(dub_classic)
    graph.stages(sampler={"seed": 11})
    assert set(graph.run().nodes_run) <= ALL
    assert graph.run().nodes_run == []


def test_a_new_voice_repeats_nothing_of_the_faces(graph):
    graph.voice("other_voice.flac")
    assert graph.run().nodes_run == ["voice", "heard", "sampler", "composite"]


def test_a_new_clip_repeats_nothing_of_the_voice(graph):
    graph.clip("mirrored.mp4")
    assert graph.run().nodes_run == ["clip", "faces", "sampler", "composite"]


@pytest.mark.parametrize("changed", [{"feather": 0.5}, {"crf": 20}, {"sound": "none"}, {"region": "face"}])
def test_another_edge_or_format_only_composites_again(graph, changed):
    graph.prompt["composite"]["inputs"] |= changed
    assert graph.run().nodes_run == ["composite"]


def test_another_seed_repeats_drawing_alone(graph):
    graph.prompt["sampler"]["inputs"]["seed"] += 1
    assert graph.run().nodes_run == ["sampler", "composite"]


def test_images_are_made_once_they_are_wanted(graph):
    graph.add("TestImageFacts", "facts", images=["composite", 2])
    run = graph.run()
    assert run.nodes_run == ["composite", "facts"]
    assert shown_json(run, "facts")["shape"] == [FRAMES, SIZE[1], SIZE[0], 3]


def test_a_mask_is_made_once_it_is_wanted(graph):
    graph.add("MaskToImage", "mask", mask=["composite", 1])
    graph.add("TestImageFacts", "facts", images=["mask", 0])
    run = graph.run()
    assert run.nodes_run[0] == "composite"
    assert shown_json(run, "facts")["range"][1] == 1.0
