"""Prepare Faces' optional widgets in a real server: each acts, and left out or null it has its default."""

from __future__ import annotations

import json

import pytest

from tests.comfyui.harness.graphs import FRAMES, Graph

OPTIONAL = ["max_pitch", "min_sharpness", "fade_frames", "smoothing", "shot_threshold"]


@pytest.fixture
def graph(dub) -> Graph:
    return Graph(dub)


def faces_found(graph: Graph, **widgets: object) -> str:
    """What Prepare Faces reports of the small clip."""
    graph.prompt.clear()
    graph.add("LatentSyncDubPrepareFaces", "faces", clip=graph.clip())
    for name, value in widgets.items():
        graph.prompt["faces"]["inputs"][name] = graph.add("TestAnyValue", f"{name} value", text=json.dumps(value))
    return graph.run().outputs["faces"]["text"][0]


@pytest.mark.parametrize(
    ("widget", "strictest"), [("max_pitch", 0.0), ("min_sharpness", 1.0)], ids=["max_pitch", "min_sharpness"]
)
def test_a_limit_of_prepare_faces_excludes_frames(graph, widget, strictest):
    assert faces_found(graph).startswith(f"{FRAMES} of {FRAMES} frames synced")
    found = faces_found(graph, **{widget: strictest})
    assert not found.startswith(f"{FRAMES} of {FRAMES} frames synced")


@pytest.mark.parametrize("widget", OPTIONAL)
def test_a_limit_that_comes_as_null_has_its_default(graph, widget):
    assert faces_found(graph, **{widget: None}) == faces_found(graph)


@pytest.mark.parametrize("widget", OPTIONAL)
def test_a_limit_outside_of_its_range_is_refused(dub, graph, widget):
    graph.add("LatentSyncDubPrepareFaces", "faces", clip=graph.clip())
    graph.prompt["faces"]["inputs"][widget] = graph.add("TestAnyValue", "value", text="-1")
    run = dub.wait(dub.queue(graph.prompt))
    assert (run.status, run.failed_node) == ("error", "faces")
    assert run.error.startswith(widget)
