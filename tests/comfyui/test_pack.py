"""How the pack appears in a real ComfyUI: quick to import, and every node explained."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

NODES = """
LatentSyncDubLoadModel LatentSyncDubEmbedAudio LatentSyncDubPrepareFaces LatentSyncDubTrepaSettings LatentSyncDubSampler
LatentSyncDubSelectFaces LatentSyncDubSpeakersToFaces
LatentSyncDubComposite LatentSyncDubDecodeFaces LatentSyncDubReplaceFaces LatentSyncDubLipSync LatentSyncDubClipAudio
LatentSyncDubSampleScene LatentSyncDubDialogueLines LatentSyncDubPlaceLines LatentSyncDubMixDub
LatentSyncDubVoiceCheck LatentSyncDubEnhanceVoice LatentSyncDubReport LatentSyncDubBatchOfClips
"""


@pytest.fixture(scope="module")
def ours(comfy) -> dict[str, dict]:
    """The pack's nodes in /object_info."""
    return {node: info for node, info in comfy.object_info().items() if node.startswith("LatentSyncDub")}


def inputs(sections: dict) -> Iterator[tuple[str, dict]]:
    """Every visible input's name and options, those inside dynamic choices too."""
    for section in ("required", "optional"):
        for name, (_, *options) in sections.get(section, {}).items():
            options = options[0] if options else {}
            yield name, options
            for choice in options.get("options", ()):
                if isinstance(choice, dict):
                    yield from ((f"{name}.{inner}", of) for inner, of in inputs(choice.get("inputs", {})))


def test_importing_the_pack_is_a_small_part_of_comfyuis_start(comfy):
    # On an idle machine less than a second of eight; both grow with whatever else runs, and with a first compilation.
    assert comfy.pack_import_seconds() < comfy.start_seconds / 6


def test_the_pack_imports_without_a_warning(comfy):
    log = comfy.log()
    assert "Traceback" not in log[: log.index("Starting server")]


def test_every_node_is_there(ours):
    assert set(ours) == set(NODES.split())


def test_every_node_is_explained(ours):
    for node, info in ours.items():
        assert info["category"] == "LatentSync Dub", node
        assert info["display_name"].startswith("LatentSync "), node
        assert len(info["description"]) > 40, node


def test_every_input_has_a_tooltip(ours):
    bare = [
        f"{node}.{name}" for node, info in ours.items() for name, o in inputs(info["input"]) if not o.get("tooltip")
    ]
    assert not bare


def test_every_output_has_a_tooltip(ours):
    for node, info in ours.items():
        assert len(list(filter(None, info.get("output_tooltips") or ()))) == len(info["output"]), node


def test_nodes_are_found_by_other_words_too(comfy, ours):
    if "search_aliases" not in comfy.object_info()["LoadImage"]:
        pytest.skip(f"ComfyUI {comfy.comfy.version} has no search aliases")
    assert not [node for node, info in ours.items() if not info["search_aliases"]]


def test_comfyui_has_every_flag_that_the_nodes_words_name(comfy):
    words = (Path(__file__).parents[2] / "nodes" / "_wording.py").read_text("utf-8")
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", words))
    assert flags
    known = (comfy.comfy.root / "comfy" / "cli_args.py").read_text("utf-8")
    assert [flag for flag in flags if f'"{flag}"' not in known] == []
