"""Models in ComfyUI's care: shared, loaded in part, unloaded, from its folders, with a VAE of core's."""

from __future__ import annotations

import re

import numpy as np
import pytest

from latentsync_core.models.loading.bundle import save_bundle
from latentsync_core.models.loading.untrained import untrained_model
from tests.clips import raw_planes
from tests.comfyui.harness.graphs import MODEL, SIZE, Graph, shown_json
from tests.comfyui.harness.server import RunFailed

MEGABYTE = 1 << 20
FILES_OF_1_5 = {  # files and the folder that they go to, in the models folder
    "config.json and diffusion_pytorch_model.safetensors": "sd-vae-ft-mse",
    "tiny.pt": "latentsync-1.5/whisper",
    "latentsync_unet.pt": "latentsync-1.5",
}


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


def test_a_download_has_the_whole_bar_and_loading_begins_again(graph):
    graph.add("TestProgressOfADownload", "bar", steps=4)
    run = graph.run()
    states = [m.data["nodes"]["bar"] for m in run.messages if m.type == "progress_state" and "bar" in m.data["nodes"]]
    shown = [state["value"] for state in states if state["state"] == "running" and state["max"] > 1]
    assert shown == [250, 500, 750, 1000, 500]


def test_a_model_that_is_missing_names_its_files_and_folders_in_the_nodes_words(graph, dub):
    graph.add("PreviewAny", "shown", source=graph.model(model="latentsync-1.5", download_if_missing=False))
    with pytest.raises(RunFailed) as failed:
        graph.run()
    sentence, folder = failed.value.run.error, dub.models / "latentsync"
    assert sentence.startswith(f"latentsync-1.5 is not installed in {folder}; turn `download_if_missing` on, or put ")
    for names, place in FILES_OF_1_5.items():
        assert re.search(rf"{re.escape(names)} \(from [\w/.-]+\) into {re.escape(str(folder / place))}(,|$)", sentence)


def test_offline_every_missing_file_is_named_in_one_error(graph, dub):
    """The server runs with HF_HUB_OFFLINE."""
    graph.add("PreviewAny", "shown", source=graph.model(model="latentsync-1.5", download_if_missing=True))
    with pytest.raises(RunFailed) as failed:
        graph.run()
    sentence, folder = failed.value.run.error, dub.models / "latentsync"
    assert "HF_HUB_OFFLINE forbids fetching it; unset it, or put" in sentence
    for names, place in FILES_OF_1_5.items():
        assert re.search(
            rf"{re.escape(names)} \(from [\w/.-]+\) into {re.escape(str(folder / place))}(,|\.|$)", sentence
        )


def test_freed_memory_goes_back(dub, graph):
    graph.stages(sampler={"seed": 21})
    graph.run()
    dub.free()
    before = dub.rss()
    graph.stages(sampler={"seed": 22})
    graph.run()
    dub.free()
    assert dub.rss() - before < 150 * MEGABYTE
