"""Prompts that a page would never send: values over links, in sockets, and names that lead elsewhere, in a real server.

Whoever can reach a ComfyUI can send it any prompt. Each of these ends at our node with one sentence, or is refused by
ComfyUI itself, and nothing outside of ComfyUI's own folders is read or written.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from latentsync_core.models.loading.bundle import save_bundle
from latentsync_core.models.loading.untrained import untrained_model
from tests.comfyui.harness.graphs import Graph
from tests.comfyui.harness.server import PromptRefused

UNENDING = int("9" * 400)


@pytest.fixture
def graph(dub) -> Graph:
    graph = Graph(dub)
    graph.stages()
    return graph


@pytest.fixture
def refused(dub):
    """Runs a graph that must fail in a node; gives the sentence."""

    def run(graph: Graph, node: str) -> str:
        run = dub.wait(dub.queue(graph.prompt))
        assert (run.status, run.failed_node) == ("error", node), run.error
        assert run.error_type.startswith("LatentSync."), run.traceback
        assert run.error.isprintable(), "one line"
        assert len(run.error) < 600
        assert "Traceback" not in run.error
        return run.error

    return run


def linked(graph: Graph, node: str, name: str, value: object) -> Graph:
    """The graph with a value on an input, come over a link from a socket of any type."""
    graph.prompt[node]["inputs"][name] = graph.add("TestAnyValue", f"{name}_value", text=json.dumps(value))
    return graph


# --- which model


PATHS = ["/etc/passwd", "../../outside", "mine/../../../outside", "..", ".", "", "/", "nul\0", "x" * 5000, "\ud800"]


@pytest.fixture
def outside(dub) -> Path:
    """A bundle beside the models folder, which only a path that leads upwards reaches."""
    folder = dub.base / "outside"
    if not folder.exists():
        save_bundle(untrained_model(device="cpu"), folder)
    listed = dub.models / "latentsync" / "mine" / "small"
    if not listed.exists():
        save_bundle(untrained_model(device="cpu"), listed)
    return folder


def names(dub, outside: Path) -> list[str]:
    """Names that are not in the list, most of which would reach a model as paths."""
    near = ["MINE/small", "mine//small", "mine\\small", "./mine/small", "mine/small/", "mine/small/../small", "mine"]
    return [*PATHS, str(outside), str(dub.models / "latentsync/mine/small"), *near]


def test_load_model_takes_no_path_over_a_link(dub, graph, refused, outside):
    for name in names(dub, outside):
        assert "choose one of" in refused(linked(graph, "model", "model", name), "model")


def test_load_model_takes_no_path_from_its_widget(dub, graph, outside):
    for name in names(dub, outside):
        graph.prompt["model"]["inputs"]["model"] = name
        with pytest.raises(PromptRefused, match="model"):
            graph.run()


def test_lip_sync_takes_no_path_over_a_link_either(dub, refused, outside):
    graph = Graph(dub)
    graph.add("LatentSyncDubLipSync", "all", clip=graph.clip(), audio=graph.voice())
    assert "choose one of" in refused(linked(graph, "all", "model", str(outside)), "all")


def test_a_model_by_its_name_in_the_list_comes_over_a_link_too(dub, outside):
    graph = Graph(dub)
    graph.model()
    linked(graph, "model", "model", "mine/small")
    graph.add("TestSameNetworks", "same", first=["model", 0], second=["model", 0])
    graph.run()


def test_a_model_on_another_disk_that_a_link_leads_to_is_listed_and_loads(dub, outside):
    links = {"linked": outside, "circle": dub.models}
    for name, target in links.items():
        (dub.models / "latentsync" / name).symlink_to(target, target_is_directory=True)
    try:
        graph = Graph(dub)
        graph.add("TestSameNetworks", "same", first=graph.model(model="linked"), second=["model", 0])
        graph.run()
    finally:
        for name in links:
            (dub.models / "latentsync" / name).unlink()


# --- numbers, choices and texts


# Inputs that a prompt may lack, and for which null counts as absent.
OPTIONAL = {
    "compile",
    "expression",
    "grow",
    "mask_grow",
    "match_color",
    "match_grain",
    "pause_hangover",
    "pause_ramp",
    "speech_threshold",
}
NUMBERS = [float("nan"), float("inf"), -float("inf"), -1e9, UNENDING, "5", "", None, True, [], [1], {}]


@pytest.mark.parametrize(
    ("node", "name"),
    [
        ("sampler", "seed"),
        ("sampler", "steps"),
        ("sampler", "cfg"),
        ("trepa", "window"),
        ("trepa", "overlap"),
        ("trepa", "noise_sharing"),
        ("faces", "fps"),
        ("faces", "detector_score"),
        ("faces", "face_scale"),
        ("faces", "face_shift"),
        ("faces", "max_yaw"),
        ("faces", "smallest_face"),
        ("composite", "feather"),
        ("composite", "crf"),
        ("composite", "grow"),
        ("composite", "match_color"),
        ("composite", "match_grain"),
        ("sampler", "pause_hangover"),
        ("sampler", "pause_ramp"),
        ("sampler", "speech_threshold"),
        ("sampler", "mask_grow"),
        ("sampler", "expression"),
    ],
)
def test_a_number_over_a_link_is_in_its_range_or_refused(graph, refused, node, name):
    for value in NUMBERS:
        if value is None and name in OPTIONAL:
            continue
        sentence = refused(linked(graph, node, name, value), node)
        assert sentence.startswith(name)
        assert "from" in sentence


@pytest.mark.parametrize(
    ("node", "name"),
    [
        ("sampler", "scheduler"),
        ("sampler", "length"),
        ("composite", "sound"),
        ("composite", "region"),
        ("composite", "codec"),
        ("composite", "patch"),
        ("model", "precision"),
    ],
)
def test_a_choice_over_a_link_is_one_of_the_list_or_refused(graph, refused, node, name):
    for value in ["other", "", "DDIM ", "x" * 5000, None, 5, True, [], {}]:
        sentence = refused(linked(graph, node, name, value), node)
        assert sentence.startswith(name)
        assert "choose one of" in sentence


@pytest.mark.parametrize(
    ("node", "name"),
    [
        ("composite", "matte"),
        ("composite", "keep_occlusions"),
        ("model", "download_if_missing"),
        ("model", "compile"),
    ],
)
def test_a_switch_over_a_link_is_true_or_false(graph, refused, node, name):
    for value in ["yes", 2, [], float("nan"), *([] if name in OPTIONAL else [None])]:
        assert "use true or false" in refused(linked(graph, node, name, value), node)


CHOICES = [
    {"tracks_on": "0-99999999999"},
    {"tracks_on": "0-99999, 0-99999"},
    {"tracks_on": "1-"},
    {"tracks_off": "9-3"},
    {"tracks_off": "x" * 5000},
    {"tracks_off": "1 " * 6000},
    {"tracks_on": "99999"},
    {"tracks_on": "-1"},
    {"tracks_on": None},
    {"tracks_on": [1, 2]},
    {"tracks_on": "1\0"},
    {"by": "nobody"},
    {"by": "person", "person": 9999},
    {"by": "point", "point_x": float("nan")},
    {"by": "point", "frame": 2**31 - 1},
    {"by": "picture"},
    {"by": "mask"},
    {"picture": "portrait.png"},
    {"mask": 0.5},
]


def test_awkward_values_choose_nobody(dub, refused):
    for values in CHOICES:
        graph = Graph(dub)
        graph.stages()
        graph.add("LatentSyncDubSelectFaces", "chosen", faces=["faces", 0])
        for name, value in values.items():
            linked(graph, "chosen", name, value)
        refused(graph, "chosen")


MARKS = [None, 5, [], {"frame": 0}, "{", "[" * 100_000, "\0", "[NaN]", '"/etc/passwd"', "\ud800"]


def test_awkward_marks_are_refused(graph, refused):
    for marks in MARKS:
        refused(linked(graph, "faces", "marks", marks), "faces")


# --- where results go


PREFIXES = [
    "/tmp/elsewhere/dub", "../elsewhere/dub", "a/../../elsewhere", "..\\elsewhere", "C:\\elsewhere",
    "\\\\server\\share", "%width%/../../elsewhere", "nul\0", "x" * 5000, "CON", "aux.txt/dub", "line\nbreak", "\ud800",
    None, 5, [],
]  # fmt: skip


@pytest.mark.parametrize("codec", ["ffv1", "h264"])
def test_a_result_stays_in_the_output_folder(dub, graph, refused, codec):
    graph.prompt["composite"]["inputs"]["codec"] = codec
    for prefix in PREFIXES:
        assert "filename_prefix" in refused(linked(graph, "composite", "filename_prefix", prefix), "composite")
        if isinstance(prefix, str):
            graph.prompt["composite"]["inputs"]["filename_prefix"] = prefix
            assert "filename_prefix" in refused(graph, "composite")
    assert not (dub.base / "elsewhere").exists()
    assert not (dub.base.parent / "elsewhere").exists()


def test_a_file_in_the_way_of_a_folder_is_a_sentence(dub, graph, refused):
    (dub.output / "in_the_way").write_text("mine")
    graph.prompt["composite"]["inputs"] |= {"codec": "ffv1", "filename_prefix": "in_the_way/dub"}
    assert "output folder" in refused(graph, "composite")
    assert (dub.output / "in_the_way").read_text() == "mine"


# --- what sockets bring


SECRETS = ["/etc/hostname", "voice.flac", "https://example.com/voice.wav", "concat:/etc/passwd"]
OTHER_VALUES = [*SECRETS, 5, True, {}, {"waveform": [1, 2], "sample_rate": 16000}, {"value": None}]


@pytest.mark.parametrize(
    ("node", "name"),
    [
        ("heard", "audio"),
        ("composite", "mux_audio"),
        ("heard", "model"),
        ("sampler", "model"),
        ("sampler", "faces"),
        ("sampler", "audio"),
        ("sampler", "trepa"),
        ("composite", "synced"),
        ("composite", "synced_2"),
        ("composite", "foreground"),
        ("faces", "clip"),
        ("model", "vae"),
    ],
)
def test_a_socket_takes_nothing_else(graph, refused, node, name):
    """Above all no path: ComfyUI would hand the content of any file on to the next node."""
    for value in OTHER_VALUES:
        refused(linked(graph, node, name, value), node)
        graph.prompt[node]["inputs"][name] = {"__value__": value}  # a value where a link is meant
        refused(graph, node)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("LatentSyncDubClipAudio", "video"),
        ("LatentSyncDubDecodeFaces", "synced"),
        ("LatentSyncDubReplaceFaces", "synced"),
        ("LatentSyncDubReplaceFaces", "crops"),
        ("LatentSyncDubLipSync", "clip"),
        ("LatentSyncDubLipSync", "audio"),
        ("LatentSyncDubLipSync", "mux_audio"),
    ],
)
def test_a_socket_of_the_other_nodes_takes_nothing_else(dub, graph, refused, kind, name):
    fitting = {"synced": ["sampler", 0], "crops": graph.images(), "clip": graph.clip(), "audio": graph.voice()}
    wanted = {one: fitting[one] for one in dub.object_info()[kind]["input"]["required"] if one in fitting}
    del graph.prompt["composite"]
    graph.add(kind, "tried", **wanted | {name: None})
    graph.add("PreviewAny", "shown", source=["tried", 0])
    for value in SECRETS:
        refused(linked(graph, "tried", name, value), "tried")


def test_a_literal_path_in_a_sound_socket_is_not_opened(dub, graph, refused):
    """Without any helper: ComfyUI looks at the type of links only."""
    for node, name in (("heard", "audio"), ("composite", "mux_audio")):
        graph.stages()
        graph.prompt[node]["inputs"][name] = str(dub.input / "voice.flac")
        assert "connect an AUDIO" in refused(graph, node)
