"""The quality widget in ComfyUI's page: fresh nodes take the model's recommendation, old workflows keep their own."""

from __future__ import annotations

import pytest

BOTH = pytest.mark.parametrize("vue", [False, True], ids=["classic", "vue"])
DECIDED = {
    "LatentSyncDubSampler": [
        "cfg",
        "cfg_end",
        "cfg_rescale",
        "cfg_start",
        "reuse_change",
        "reuse_interval",
        "scheduler",
        "steps",
    ],
    "LatentSyncDubLipSync": ["cfg", "steps"],
}
NODES = pytest.mark.parametrize(("kind", "decided"), DECIDED.items())
_DISABLED = "(id) => app.graph.getNodeById(id).widgets.filter((it) => it.disabled).map(({name}) => name).sort()"


def disabled(page, node: str) -> list[str]:
    return page.page.evaluate(_DISABLED, int(node))


def reopened(page, saved: dict) -> str:
    """The id of the only node of a saved workflow, opened again."""
    page.clear()
    page.load_workflow(saved)
    return str(saved["nodes"][0]["id"])


def test_a_fresh_node_takes_the_recommendation_and_disables_what_does_not_count(page):
    page.open()  # afresh: the page would bring back the value of an earlier node of the same id
    for kind, decided in DECIDED.items():
        node = page.add(kind)
        assert page.widgets(node)["quality"] == "recommended"
        assert disabled(page, node) == decided
        page.set_widget(node, "quality", "custom")
        assert disabled(page, node) == []
        page.set_widget(node, "quality", "recommended")
        assert disabled(page, node) == decided
    assert page.problems() == []


@NODES
def test_a_workflow_from_before_there_were_qualities_keeps_its_own_settings(page, kind, decided):
    page.add(kind, quality="recommended", steps=33, cfg=2.0, seed=5, control_after_generate="fixed")
    saved = page.workflow()
    values = saved["nodes"][0]["widgets_values"]
    del values[values.index("recommended") :]  # and what came later
    saved["nodes"][0]["inputs"] = [
        one for one in saved["nodes"][0]["inputs"] if one["name"] not in ("quality", "region")
    ]
    node = reopened(page, saved)
    widgets = page.widgets(node)
    assert (widgets["quality"], widgets["steps"], widgets["cfg"], widgets["seed"]) == ("custom", 33, 2.0, 5)
    assert disabled(page, node) == []
    inputs = page.prompt()[node]["inputs"]
    assert (inputs["quality"], inputs["steps"]) == ("custom", 33)


@NODES
def test_a_value_that_is_null_counts_as_none(page, kind, decided):
    page.add(kind)
    saved = page.workflow()
    values = saved["nodes"][0]["widgets_values"]
    values[values.index("recommended")] = None
    assert page.widgets(reopened(page, saved))["quality"] == "custom"


@NODES
@pytest.mark.parametrize("quality", ["recommended", "custom"])
def test_a_saved_quality_comes_back(page, kind, decided, quality):
    page.add(kind, quality=quality, steps=7)
    node = reopened(page, page.workflow())
    assert (page.widgets(node)["quality"], page.widgets(node)["steps"]) == (quality, 7)
    assert disabled(page, node) == (decided if quality == "recommended" else [])
    assert page.prompt()[node]["inputs"] | {"quality": quality, "steps": 7} == page.prompt()[node]["inputs"]


def test_a_quality_over_a_link_leaves_every_setting_open(page):
    node = page.add("LatentSyncDubSampler", quality="recommended")
    text = page.add("PrimitiveString", at=(-300, 0), value="custom")
    assert disabled(page, node)
    page.page.evaluate(
        """([from, to]) => {
            const [source, target] = [from, to].map((id) => app.graph.getNodeById(id));
            source.outputs[0].type = "*";
            source.connect(0, target, target.findInputSlot("quality"));
        }""",
        [int(text), int(node)],
    )
    assert page.prompt()[node]["inputs"]["quality"] == [text, 0]
    assert disabled(page, node) == []


@BOTH
def test_disabled_settings_look_disabled_in_both_kinds_of_nodes(page, vue):
    node = page.add("LatentSyncDubSampler", quality="recommended")
    page.use_vue_nodes(vue)
    assert disabled(page, node) == DECIDED["LatentSyncDubSampler"]
    if vue:
        numbers = page.vue_node(node).locator("input[role=spinbutton]:disabled")
        assert numbers.count() == 2  # steps and cfg, not the seed
    assert page.problems() == []
