"""Nodes of shipped workflows have room in the page itself: as they open, and with what they show after a run."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from dev.workflows import WORKFLOWS
from dev.workflows.displays import show, write_stand_ins

FOLDER = Path(__file__).parents[2] / "workflows"
RECIPES = {workflow.name[:2]: workflow for workflow in WORKFLOWS}
BOTH = pytest.mark.parametrize("vue", [False, True], ids=["classic", "vue"])
# As the page draws them: {id: [left, top, right, bottom]} on the canvas, with the titles.
_BOXES = """() => Object.fromEntries(app.graph.nodes.map((node) => {
    const element = document.querySelector(`[data-node-id="${node.id}"]`), title = LiteGraph.NODE_TITLE_HEIGHT;
    const [width, height] = element ? [element.offsetWidth, element.offsetHeight]
        : [node.size[0], node.size[1] + title];
    const [x, y] = node.pos;
    return [node.id, [x, y - title, x + width, y - title + height]];
}))"""
_GROUPS = "() => app.graph.groups.map(({pos, size}) => [pos[0], pos[1], pos[0] + size[0], pos[1] + size[1]])"


def misplaced(page) -> list[str]:
    """What is wrong with where the page draws the graph's nodes."""
    boxes, groups = page.page.evaluate(_BOXES), page.page.evaluate(_GROUPS)
    kinds = {str(node["id"]): node["type"] for node in page.workflow()["nodes"]}
    problems = []
    for (one, a), (other, b) in combinations(boxes.items(), 2):
        if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]:
            problems.append(f"{kinds[one]} {a} overlaps {kinds[other]} {b}")
    for node, (left, top, right, bottom) in boxes.items():
        inside = [g for g in groups if g[0] <= left and g[1] <= top and right <= g[2] and bottom <= g[3]]
        if len(inside) != (kinds[node] != "MarkdownNote"):
            problems.append(f"{kinds[node]} {boxes[node]} isn't inside one of {groups}")
    return problems


@BOTH
@pytest.mark.parametrize("number", ["01", "07"])
def test_nodes_neither_overlap_nor_leave_their_groups(page, number, vue):
    recipe = RECIPES[number]
    write_stand_ins(page.server.output)
    page.load_workflow(FOLDER / f"{recipe.name}.json")
    page.use_vue_nodes(vue)
    page.show_all()
    assert misplaced(page) == []
    show(page, dict(enumerate(recipe.nodes, 1)))
    assert page.page.evaluate("() => app.nodeOutputs") != {}
    assert misplaced(page) == []
