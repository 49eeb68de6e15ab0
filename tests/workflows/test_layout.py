"""In every shipped workflow nodes have room, before and after a run, in both of the page's node styles."""

from __future__ import annotations

import json
from itertools import combinations, product
from pathlib import Path

import pytest

from dev.workflows import WORKFLOWS
from dev.workflows.heights import STYLES, TITLE, load_heights
from dev.workflows.parts import Node

FOLDER = Path(__file__).parents[2] / "workflows"
SHIPPED = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
HEIGHTS = load_heights()
RECIPES = {workflow.name: workflow for workflow in WORKFLOWS}
SCREEN = (1920, 1080)  # pixels of a page that shows a whole workflow
MARGINS = (60, 90, 20, 20)  # pixels that the page's own bars cover there: left, top, right, bottom
MOMENTS = {"before a run": 0, "after a run": 1}
VUE_EDGE = 2  # pixels by which a Vue node's frame may be wider and higher than the size that it is given

VIEWS = {f"{style}, {name}": (style, moment) for style, (name, moment) in product(STYLES, MOMENTS.items())}

each_view = pytest.mark.parametrize(("style", "moment"), VIEWS.values(), ids=VIEWS)
each_name = pytest.mark.parametrize("name", SHIPPED)


def drawn_boxes(name: str, style: str, moment: int) -> list[tuple[float, float, float, float]]:
    """(left, top, right, bottom) of a workflow's nodes with their titles, in the file's order."""
    boxes = []
    for saved, node in zip(SHIPPED[name]["nodes"], RECIPES[name].nodes, strict=True):
        (x, y), (width, height) = saved["pos"], saved["size"]
        edge = VUE_EDGE if style == "vue" else 0
        needed = HEIGHTS[node.height_key][style][moment] if node.height_key in HEIGHTS else 0
        boxes.append((x, y - TITLE, x + width + edge, y + max(height + edge, needed)))
    return boxes


@each_name
def test_the_file_has_the_nodes_of_its_recipe_in_its_order(name):
    assert [node["type"] for node in SHIPPED[name]["nodes"]] == [node.kind for node in RECIPES[name].nodes]
    assert [node["id"] for node in SHIPPED[name]["nodes"]] == [*range(1, len(RECIPES[name].nodes) + 1)]


@pytest.mark.parametrize("name", [name for name in SHIPPED if name.startswith("07 ")])
def test_each_of_two_speakers_nodes_says_whose_it_is(name):
    titles = [node.get("title") or "" for node in SHIPPED[name]["nodes"]]
    for kind in ("Select Faces", "Embed Audio", "Sampler"):
        assert {f"{kind}: her", f"{kind}: him"} <= set(titles)


def test_every_node_but_the_note_is_measured():
    nodes: list[Node] = [node for workflow in WORKFLOWS for node in workflow.nodes]
    assert {node.height_key for node in nodes} - set(HEIGHTS) == {"MarkdownNote"}


def test_nodes_with_pictures_and_players_grow_in_a_run():
    for kind in ("LatentSyncDubPrepareFaces", "LatentSyncDubLipSync", "LatentSyncDubComposite", "SaveVideo"):
        for style in STYLES:
            before, after = HEIGHTS[kind][style]
            assert after > before + 40, (kind, style)


@each_view
@each_name
def test_no_two_nodes_overlap(name, style, moment):
    for first, second in combinations(drawn_boxes(name, style, moment), 2):
        beside = first[2] <= second[0] or second[2] <= first[0]
        above = first[3] <= second[1] or second[3] <= first[1]
        assert beside or above, (first, second)


@each_view
@each_name
def test_every_node_stays_in_one_group(name, style, moment):
    groups = [(x, y, x + width, y + height) for x, y, width, height in (g["bounding"] for g in SHIPPED[name]["groups"])]
    for saved, box in zip(SHIPPED[name]["nodes"], drawn_boxes(name, style, moment), strict=True):
        homes = [g for g in groups if g[0] <= box[0] and g[1] <= box[1] and box[2] <= g[2] and box[3] <= g[3]]
        assert len(homes) == (saved["type"] != "MarkdownNote"), saved["type"]


@each_name
def test_a_workflow_opens_whole(name):
    boxes = drawn_boxes(name, "vue", 1) + [
        (x, y, x + width, y + height) for x, y, width, height in (g["bounding"] for g in SHIPPED[name]["groups"])
    ]
    view = SHIPPED[name]["extra"]["ds"]
    left, top, right, bottom = MARGINS
    for x0, y0, x1, y1 in boxes:
        (dx, dy), scale = view["offset"], view["scale"]
        assert (x0 + dx) * scale >= left
        assert (y0 + dy) * scale >= top
        assert (x1 + dx) * scale <= SCREEN[0] - right
        assert (y1 + dy) * scale <= SCREEN[1] - bottom
