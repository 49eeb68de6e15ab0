"""The sampling nodes' quality in a real server: recommended, custom, left out, null, or none of them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from latentsync_core.models.loading.bundle import save_bundle
from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.models.recommended_settings import RecommendedSettings
from tests.clips import raw_planes
from tests.comfyui.harness.graphs import SIZE, Graph
from tests.comfyui.harness.server import PromptRefused

RECOMMENDED = RecommendedSettings(steps=2, cfg=1.0, scheduler="dpm++ 2m", noise_sharing=0.25)
OTHER = {"steps": 1, "cfg": 1.5, "scheduler": "ddim"}  # what the widgets say
NAME = "mine/recommends"


@pytest.fixture
def graph(dub) -> Graph:
    return Graph(dub)


@pytest.fixture(scope="module")
def own_model(dub) -> str:
    """The name of a model in the models folder that recommends settings of its own."""
    folder = dub.models / "latentsync" / NAME
    if not folder.exists():
        save_bundle(dataclasses.replace(untrained_model(device="cpu"), recommended=RECOMMENDED), folder)
    return NAME


def frames(graph: Graph) -> np.ndarray:
    """(frames, height, width) of what the stages of a graph come to."""
    return np.stack([planes[0] for planes in raw_planes(graph.lossless(), "yuv420p", *SIZE)])


def sampled(dub, model: str, quality: object = "custom", trepa: dict | None = None, **widgets: object) -> np.ndarray:
    graph = Graph(dub)
    graph.stages(model=graph.model(model=model), trepa=trepa, sampler={**OTHER, **widgets, "quality": quality})
    if quality is None:
        del graph.prompt["sampler"]["inputs"]["quality"]
    return frames(graph)


@pytest.fixture(scope="module")
def with_widgets(dub, own_model) -> np.ndarray:
    """What the widgets' own values come to."""
    return sampled(dub, own_model, "custom")


def test_recommended_is_what_the_model_recommends_whatever_the_widgets_say(dub, own_model, with_widgets):
    by_hand = {"steps": RECOMMENDED.steps, "cfg": RECOMMENDED.cfg, "scheduler": RECOMMENDED.scheduler}
    expected = sampled(dub, own_model, "custom", {"noise_sharing": RECOMMENDED.noise_sharing}, **by_hand)
    found = sampled(dub, own_model, "recommended")
    assert np.array_equal(found, expected)
    assert not np.array_equal(found, with_widgets)


def test_the_overlap_of_trepa_settings_counts_with_any_quality(dub, own_model):
    by_hand = {"steps": RECOMMENDED.steps, "cfg": RECOMMENDED.cfg, "scheduler": RECOMMENDED.scheduler}
    windows = {"window": 4, "overlap": 1}
    expected = sampled(dub, own_model, "custom", windows | {"noise_sharing": RECOMMENDED.noise_sharing}, **by_hand)
    found = sampled(dub, own_model, "recommended", windows)
    assert np.array_equal(found, expected)
    assert not np.array_equal(found, sampled(dub, own_model, "recommended", windows | {"overlap": 2}))


def test_a_prompt_without_a_quality_is_sampled_with_its_own_settings(dub, own_model, with_widgets):
    assert np.array_equal(sampled(dub, own_model, None), with_widgets)


def test_a_quality_that_comes_as_null_is_none(dub, graph, own_model, with_widgets):
    graph.stages(model=graph.model(model=own_model), sampler=OTHER)
    graph.prompt["sampler"]["inputs"]["quality"] = graph.add("TestAnyValue", "nothing", text="null")
    assert np.array_equal(frames(graph), with_widgets)


def test_the_one_node_takes_the_recommendation_too(dub, graph, own_model):
    def made(**inputs: object) -> bytes:
        graph.prompt.clear()
        graph.add(
            "LatentSyncDubLipSync", "one", clip=graph.clip(), audio=graph.voice(), model=own_model, seed=5, **inputs
        )
        (path,) = dub.files(graph.run(), "one")
        return path.read_bytes()

    widgets = {"steps": 1, "cfg": 1.5}
    assert made(quality="recommended", **widgets) == made(quality="recommended", steps=33, cfg=2.0)
    graph.prompt.clear()
    custom = made(quality="custom", **widgets)
    assert custom != made(quality="recommended", **widgets)


@pytest.mark.parametrize("value", ["best", "", "RECOMMENDED", 5, True, [], {}])
def test_another_quality_is_refused(dub, graph, value):
    graph.stages()
    graph.prompt["sampler"]["inputs"]["quality"] = graph.add("TestAnyValue", "value", text=json.dumps(value))
    run = dub.wait(dub.queue(graph.prompt))
    assert (run.status, run.failed_node) == ("error", "sampler")
    assert run.error.startswith("quality")
    assert "choose one of recommended, custom" in run.error


def test_another_quality_in_the_widget_is_refused_by_comfyui(graph):
    graph.stages(sampler={"quality": "best"})
    with pytest.raises(PromptRefused, match="quality"):
        graph.run()


def test_widgets_are_appended_in_the_order_in_which_they_came_and_optional(dub):
    since = {
        "LatentSyncDubSampler": [
            "quality",
            "pauses",
            "pause_hangover",
            "pause_ramp",
            "speech_threshold",
            "reference_mouth",
            "mask_grow",
            "cfg_start",
            "cfg_end",
            "cfg_rescale",
            "reuse_interval",
            "reuse_change",
            "window_batch",
            "expression",
            "lines",
        ],
        "LatentSyncDubLipSync": [
            "quality",
            "region",
            "pauses",
            "keep_audio",
            "deinterlace",
            "reference_mouth",
            "mask_grow",
            "expression",
            "who_speaks",
            "lines",
            "face_choice",
        ],
    }
    for kind, names in since.items():
        inputs = dub.object_info()[kind]["input"]
        assert list(inputs["optional"])[-len(names) :] == names
        assert "quality" not in inputs["required"]
        assert inputs["optional"]["quality"][1]["default"] == "recommended"
