"""Our inputs in ComfyUI's page: a new node's seed stays, the model list shows sizes, rare inputs are hidden."""

from __future__ import annotations

import pytest

KINDS = ("LatentSyncDubSampler", "LatentSyncDubLipSync")
_ADVANCED = """(id) => app.graph.getNodeById(id).widgets
    .filter(({options}) => options?.advanced).map(({name}) => name).sort()"""


def advanced(page, node: str) -> list[str]:
    return page.page.evaluate(_ADVANCED, int(node))


def test_a_new_nodes_seed_stays_as_it_is(page):
    page.open()  # afresh: the page would bring back the value of an earlier node of the same id
    for kind in KINDS:
        assert page.widgets(page.add(kind))["control_after_generate"] == "fixed", kind


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_nodes_seed_changes_as_it_was_saved(page, kind):
    page.add(kind, seed=5, control_after_generate="increment")
    saved = page.workflow()
    page.clear()
    page.load_workflow(saved)
    widgets = page.widgets(str(saved["nodes"][0]["id"]))
    assert (widgets["seed"], widgets["control_after_generate"]) == (5, "increment")


@pytest.mark.parametrize("vue", [False, True], ids=["classic", "vue"])
def test_the_model_list_shows_resolution_and_size_and_keeps_the_names(page, vue):
    page.use_vue_nodes(vue)
    node = page.add("LatentSyncDubLoadModel", model="latentsync-1.6")
    label = "latentsync-1.6 (512 px, 5 GB)"
    shown = page.page.evaluate(
        "(id) => app.graph.getNodeById(id).widgets.find(({name}) => name === 'model')._displayValue", int(node)
    )
    assert shown == label
    if vue:
        page.vue_node(node).get_by_text(label).first.wait_for()
    assert page.prompt()[node]["inputs"]["model"] == "latentsync-1.6"


def test_rare_inputs_are_advanced_and_new_nodes_hide_them_until_they_are_asked_for(page):
    rare = {
        "LatentSyncDubLoadModel": ["compile", "download_if_missing", "precision"],
        "LatentSyncDubSampler": [
            "cfg_end",
            "cfg_rescale",
            "cfg_start",
            "expression",
            "mask_grow",
            "pause_hangover",
            "pause_ramp",
            "pauses",
            "reference_mouth",
            "reuse_change",
            "reuse_interval",
            "scheduler",
            "speech_threshold",
            "window_batch",
        ],
        "LatentSyncDubLipSync": [
            "control_after_generate",
            "deinterlace",
            "expression",
            "fps",
            "keep_audio",
            "mask_grow",
            "pauses",
            "reference_mouth",
            "seed",
            "who_speaks",
        ],
        "LatentSyncDubTrepaSettings": ["noise_sharing", "window"],
        "LatentSyncDubComposite": [
            "crf",
            "filename_prefix",
            "grow",
            "keep_audio",
            "keep_occlusions",
            "match_color",
            "match_grain",
            "matte",
            "patch",
        ],
        "LatentSyncDubSelectFaces": ["frame", "point_x", "point_y", "tracks_off", "tracks_on"],
        "LatentSyncDubSpeakersToFaces": ["diarization"],
    }
    for kind, names in rare.items():
        assert advanced(page, page.add(kind)) == names, kind
    page.clear()
    page.use_vue_nodes(True)
    faces = page.add("LatentSyncDubPrepareFaces")
    node = page.vue_node(faces)
    node.get_by_text("detector_score").first.wait_for()
    assert node.get_by_text("max_yaw (degrees)").count() == 0
    node.get_by_text("Show advanced").first.click()
    node.get_by_text("max_yaw (degrees)").first.wait_for()
    node.get_by_text("fps (images only)").first.wait_for()


def test_whoever_looks_for_the_pack_by_name_finds_lip_sync_first(page):
    page.page.evaluate("() => app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
    page.page.get_by_role("combobox").first.fill("latentsync")
    found = page.page.get_by_test_id("result-item")
    found.filter(has_text="LatentSync Face Sampler").first.wait_for(timeout=30_000)
    assert "LatentSync Lip Sync" in found.first.inner_text()
    page.page.keyboard.press("Escape")
