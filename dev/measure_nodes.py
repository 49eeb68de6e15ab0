"""Writes dev/workflows/node_heights.json: how high ComfyUI's page draws each node of the workflows.

    python -m dev.measure_nodes

Both of the page's node styles are measured, before a run and with what nodes show after one. It needs ComfyUI and
chromium, as the tests in tests/browser do, and runs no model. Repeat it when inputs or outputs of a node have changed,
then run dev.make_workflows.
"""

from __future__ import annotations

import json

from dev.make_workflows import build_graph, open_comfy_page
from dev.workflows import WORKFLOWS
from dev.workflows.displays import settle, show, write_stand_ins
from dev.workflows.heights import HEIGHTS_FILE, STYLES, TITLE
from dev.workflows.parts import Node
from tests.browser.page import ComfyPage

COLUMNS = 9  # of nodes, while they are measured
CELL = (700, 1300)  # pixels on the canvas

# Nodes as small as the page lets them be: only then does it show how much room they need.
_SHRINK = """(nodes) => {
    for (const [id, width, x, y] of nodes) {
        const node = app.graph.getNodeById(id);
        node.pos = [x, y];
        node.setSize([width, node.computeSize()[1]]);
    }
    app.canvas.setDirty(true, true);
}"""
NODE_HEIGHTS = """() => Object.fromEntries(app.graph.nodes.map((node) => {
    const element = document.querySelector(`[data-node-id="${node.id}"]`);
    const height = element ? element.getBoundingClientRect().height / app.canvas.ds.scale - LiteGraph.NODE_TITLE_HEIGHT
        : node.size[1];
    return [node.id, Math.ceil(height)];
}))"""


def measured_nodes() -> dict[str, Node]:
    """One node of each kind that the workflows have, by its name in the table."""
    return {node.height_key: node for workflow in WORKFLOWS for node in workflow.nodes if node.kind != "MarkdownNote"}


def main() -> None:
    with open_comfy_page() as page:
        write_stand_ins(page.server.output)
        heights: dict[str, dict[str, list[int]]] = {}
        for style in STYLES:
            for name, both in measure(page, measured_nodes(), vue=style == "vue").items():
                heights.setdefault(name, {})[style] = both
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(both)}" for name, both in sorted(heights.items()))
    HEIGHTS_FILE.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    print(f"{HEIGHTS_FILE.name}: {len(heights)} nodes")


def measure(page: ComfyPage, nodes: dict[str, Node], *, vue: bool) -> dict[str, list[int]]:
    """By name: heights below the title before and after a run, in pixels on the canvas."""
    page.use_vue_nodes(False)
    ids = {key: made[0] for key, made in build_graph(page, [*nodes.values()], [*nodes], linked=False).items()}
    page.use_vue_nodes(vue)
    places = [
        [ids[key], node.width, n % COLUMNS * CELL[0], n // COLUMNS * CELL[1] + TITLE]
        for n, (key, node) in enumerate(nodes.items())
    ]
    page.page.evaluate(_SHRINK, places)
    page.show_all()
    settle(page)
    before = page.page.evaluate(NODE_HEIGHTS)
    show(page, {ids[key]: node for key, node in nodes.items()})
    after = page.page.evaluate(NODE_HEIGHTS)
    return {key: [before[str(ids[key])], after[str(ids[key])]] for key in nodes}


if __name__ == "__main__":
    main()
