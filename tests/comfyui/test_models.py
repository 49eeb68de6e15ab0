"""Models in ComfyUI's care: shared, loaded in part, unloaded, from its folders, with a VAE of core's."""

from __future__ import annotations

import numpy as np
import pytest

from latentsync_core.models.loading.bundle import save_bundle
from latentsync_core.models.loading.untrained import untrained_model
from tests.clips import raw_planes
from tests.comfyui.harness.graphs import MODEL, SIZE, Graph, shown_json

MEGABYTE = 1 << 20


@pytest.fixture
def graph(dub) -> Graph:
    return Graph(dub)


def pictures(path) -> np.ndarray:
    """(frames, samples) of all planes."""
    return np.stack(
        [np.concatenate([plane.ravel() for plane in planes]) for planes in raw_planes(path, "yuv420p", *SIZE)]
    )


def listed(server) -> list[str]:
    """The models that Load Model offers now."""
    kind, *options = server.node_info("LatentSyncDubLoadModel")["input"]["required"]["model"]
    return kind if isinstance(kind, list) else options[0]["options"]


@pytest.fixture(scope="module")
def expected(dub) -> np.ndarray:
    """What the demonstration model draws."""
    graph = Graph(dub)
    graph.stages()
    return pictures(graph.lossless())


def test_loaded_in_part_it_draws_the_same(graph, expected):
    for in_part in (True, False):
        model = graph.add("TestLoadInPart", "loaded", model=graph.model(), in_part=in_part)
        graph.stages(model=model, sampler={"seed": 5 if in_part else 6})
        drawn = pictures(graph.lossless())
        graph.add("TestLayersThatFetch", "layers", model=model, after=["composite", 0])
        layers = shown_json(graph.run(), "layers")
        del graph.prompt["layers"]
        if in_part:
            assert np.array_equal(drawn, expected)
            assert layers["fetch"] > 20
            assert layers["hold"] > 5
        else:
            assert not np.array_equal(drawn, expected), "another seed: it was drawn anew"
            assert layers["fetch"] == 0


def test_two_loaders_share_one_copy(graph):
    graph.add("TestSameNetworks", "same", first=graph.model("one"), second=graph.model("other"))
    assert shown_json(graph.run(), "same") == {"U-Net": True, "others": True}


def test_a_vae_of_cores_takes_the_place_of_the_models_own(graph, expected):
    own = graph.model("own")
    vae = graph.add("TestCoreVae", "vae", model=own, brightness=0.0)
    graph.stages(model=graph.model(vae=vae))
    difference = np.abs(pictures(graph.lossless()).astype(int) - expected)
    assert np.percentile(difference, 99.9) <= 3, "the same weights through core's VAE"

    graph.prompt["vae"]["inputs"]["brightness"] = 0.5
    brighter = pictures(graph.lossless()).astype(int) - expected
    assert brighter.max() > 20


def test_a_bundle_in_a_sub_folder_is_listed_and_runs(dub, graph, expected):
    save_bundle(untrained_model(device="cpu"), dub.models / "latentsync" / "mine" / "listed")
    assert "mine/listed" in listed(dub)
    graph.stages(model=graph.model(model="mine/listed"))
    assert np.array_equal(pictures(graph.lossless()), expected)


def test_a_bundle_that_extra_model_paths_names_is_listed_and_runs(dub_classic, expected):
    """Its folder is named in the server's extra_model_paths.yaml."""
    assert "elsewhere" in listed(dub_classic)
    graph = Graph(dub_classic)
    graph.stages(model=graph.model(model="elsewhere"))
    assert np.array_equal(pictures(graph.lossless()), expected)


def test_released_and_carried_models_are_listed(dub):
    names = listed(dub)
    assert {"latentsync-1.6", "latentsync-1.5", "nano (demonstration)", MODEL} <= set(names)


def test_freed_memory_goes_back(dub, graph):
    graph.stages(sampler={"seed": 21})
    graph.run()
    dub.free()
    before = dub.rss()
    graph.stages(sampler={"seed": 22})
    graph.run()
    dub.free()
    assert dub.rss() - before < 150 * MEGABYTE
