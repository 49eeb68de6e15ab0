"""Workflows from before patches followed the face and were matched to it open with what was done then."""

from __future__ import annotations

import pytest

COMPOSITE = {"match_color": (1, 0), "match_grain": (1, 0)}  # a fresh node's value, and an earlier workflow's
LIP_SYNC = {"region": ("model", "mouth")}
NODES = pytest.mark.parametrize(
    ("kind", "values"), [("LatentSyncDubComposite", COMPOSITE), ("LatentSyncDubLipSync", LIP_SYNC)]
)


@NODES
def test_a_fresh_node_has_todays_values_and_keeps_them(page, kind, values):
    page.clear()
    node = page.add(kind)
    widgets = page.widgets(node)
    assert {name: widgets[name] for name in values} == {name: fresh for name, (fresh, _) in values.items()}
    saved = page.workflow()
    page.clear()
    page.load_workflow(saved)
    again = page.widgets(node)
    assert {name: again[name] for name in values} == {name: fresh for name, (fresh, _) in values.items()}


@NODES
def test_an_earlier_workflow_keeps_its_result(page, kind, values):
    page.clear()
    names = list(page.widgets(page.add(kind)))
    saved = page.workflow()
    (node,) = saved["nodes"]
    first_new = min(names.index(name) for name in values)
    del node["widgets_values"][first_new:]
    node["inputs"] = [one for one in node["inputs"] if one["name"] not in names[first_new:]]
    page.clear()
    page.load_workflow(saved)
    widgets = page.widgets(str(node["id"]))
    assert {name: widgets[name] for name in values} == {name: earlier for name, (_, earlier) in values.items()}
