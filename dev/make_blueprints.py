"""Writes subgraphs/*.json, ComfyUI blueprints: the page makes the nodes, this script puts them into one.

    python -m dev.make_blueprints [NAME ...]

It needs ComfyUI and chromium, as dev.make_workflows does.
"""

from __future__ import annotations

import argparse
import json
import uuid
from pathlib import Path
from typing import Any

from dev.make_workflows import PACK_PROPERTIES, PLACE, SAVED, build_graph, layout, open_comfy_page
from dev.workflows.blueprints import BLUEPRINTS, Blueprint, Port
from dev.workflows.heights import TITLE
from tests.browser.page import ComfyPage

FOLDER = Path(__file__).parents[1] / "subgraphs"
INPUT, OUTPUT = -10, -20  # ids of a subgraph's own ends
GAP = 120  # pixels between its ends and its nodes
END_WIDTH, SLOT, END_EDGE = 140, 20, 20  # pixels of an end: its width, of each slot, above and below them
NODE_WIDTH = 360  # pixels of the one node
CATEGORY = "LatentSync Dub"


def build(page: ComfyPage, blueprint: Blueprint) -> dict[str, Any]:
    """Makes the nodes in the page and returns the blueprint's file."""
    nodes = blueprint.nodes
    sizes = build_graph(page, nodes, [node.key for node in nodes])
    ids = {key: int(size[0]) for key, size in sizes.items()}
    places, groups = layout(blueprint.graph, {**sizes, blueprint.graph.note.key: [0, 0, 0]})
    page.page.evaluate(PLACE, [[place for place in places if place[0]], groups])
    page.page.wait_for_timeout(500)
    return as_blueprint(blueprint, ids, json.loads(page.page.evaluate(SAVED)))


def as_blueprint(blueprint: Blueprint, ids: dict[str, int], saved: dict[str, Any]) -> dict[str, Any]:
    """A saved graph as a subgraph with the blueprint's ports, in a file with one node that is it."""
    inner = {node["id"]: node for node in saved["nodes"]}
    for node in inner.values():
        node["pos"], node["size"] = ([round(side) for side in list(node[name])] for name in ("pos", "size"))
    links = [
        {"id": link, "origin_id": source, "origin_slot": out, "target_id": target, "target_slot": slot, "type": kind}
        for link, source, out, target, slot, kind in saved["links"]
    ]
    last = max((link["id"] for link in links), default=0)
    left, top = (min(node["pos"][side] for node in inner.values()) for side in (0, 1))
    right = max(node["pos"][0] + node["size"][0] for node in inner.values())
    ends = [left - GAP - END_WIDTH, top], [right + GAP, top]
    inputs, outputs = [], []
    outer_inputs: list[dict[str, Any]] = []
    values = []
    for place, port in enumerate(blueprint.inputs):
        link_ids, first = [], None
        for key, name in (slot.split(".", 1) for slot in port.slots):
            node = inner[ids[key]]
            slot, own = next((at, one) for at, one in enumerate(node["inputs"]) if one["name"] == name)
            last += 1
            own["link"] = last
            link_ids.append(last)
            first = first or (node, own)
            links.append(_link(last, INPUT, place, node["id"], slot, own["type"]))
        assert first is not None
        node, own = first
        inputs.append(_port(blueprint, port, own["type"], link_ids, ends[0], place, "in"))
        outer: dict[str, Any] = {"name": port.name, "type": own["type"], "link": None}
        if "widget" in own:
            outer["widget"] = {"name": port.name}
            values.append(_widget_value(node, own["name"]))
        outer_inputs.append(outer)
    for place, port in enumerate(blueprint.outputs):
        ((key, name),) = (slot.split(".", 1) for slot in port.slots)
        node = inner[ids[key]]
        slot, own = next((at, one) for at, one in enumerate(node["outputs"]) if one["name"] == name)
        last += 1
        own["links"] = [*(own["links"] or []), last]
        links.append(_link(last, node["id"], slot, OUTPUT, place, own["type"]))
        outputs.append(_port(blueprint, port, own["type"], [last], ends[1], place, "out"))
    subgraph = {
        "id": _uuid(blueprint, "subgraph"),
        "version": 1,
        "state": {
            "lastGroupId": len(saved["groups"]),
            "lastNodeId": max(inner),
            "lastLinkId": last,
            "lastRerouteId": 0,
        },
        "revision": 0,
        "config": {},
        "name": blueprint.name,
        "category": CATEGORY,
        "description": blueprint.description,
        "inputNode": {"id": INPUT, "bounding": [*ends[0], END_WIDTH, _end_height(inputs)]},
        "outputNode": {"id": OUTPUT, "bounding": [*ends[1], END_WIDTH, _end_height(outputs)]},
        "inputs": inputs,
        "outputs": outputs,
        "widgets": [],
        "nodes": list(inner.values()),
        "groups": [{**group, "bounding": [round(side) for side in group["bounding"]]} for group in saved["groups"]],
        "links": links,
        "extra": {},
    }
    widgets = [one["name"] for one in outer_inputs if "widget" in one]
    node = {
        "id": max(inner) + 1,
        "type": subgraph["id"],
        "pos": [0, 0],
        "size": [NODE_WIDTH, TITLE + 26 * len(outer_inputs)],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": outer_inputs,
        "outputs": [{"name": one["name"], "type": one["type"], "links": None} for one in outputs],
        "title": blueprint.name,
        "properties": {**PACK_PROPERTIES, "proxyWidgets": [["-1", name] for name in widgets]},
        "widgets_values": values,
    }
    return {
        "revision": 0, "last_node_id": node["id"], "last_link_id": 0, "nodes": [node], "links": [], "version": 0.4,
        "definitions": {"subgraphs": [subgraph]}, "extra": {},
    }  # fmt: skip


def _widget_value(node: dict[str, Any], name: str) -> Any:
    """A widget's saved value; a seed is followed by what happens to it after a run, which is no input."""
    place = 0
    for one in node["inputs"]:
        if "widget" not in one:
            continue
        if one["name"] == name:
            return node["widgets_values"][place]
        place += 2 if one["name"] == "seed" else 1
    raise KeyError(name)


def _link(number: int, source: int, out: int, target: int, slot: int, kind: str) -> dict[str, Any]:
    return {
        "id": number, "origin_id": source, "origin_slot": out, "target_id": target, "target_slot": slot, "type": kind
    }  # fmt: skip


def _port(
    blueprint: Blueprint, port: Port, kind: str, links: list[int], end: list[int], place: int, side: str
) -> dict[str, Any]:
    return {
        "id": _uuid(blueprint, f"{side} {port.name}"),
        "name": port.name,
        "type": kind,
        "linkIds": links,
        "pos": [end[0] + END_EDGE, end[1] + END_EDGE + SLOT * place],
    }


def _end_height(ports: list) -> int:
    return 2 * END_EDGE + SLOT * len(ports)


def _uuid(blueprint: Blueprint, what: str) -> str:
    """An id that is the same whenever the blueprint is written."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"comfyui-latentsync-dub/{blueprint.name}/{what}"))


def blueprint_json(data: dict[str, Any]) -> str:
    """JSON with a line for each node and link inside, so that a change shows as what it is."""
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="beginnings of the blueprints' names; all where none is given")
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    with open_comfy_page() as page:
        for blueprint in BLUEPRINTS:
            if not options.names or blueprint.name.startswith(tuple(options.names)):
                path = FOLDER / f"{blueprint.name}.json"
                path.write_text(blueprint_json(build(page, blueprint)), encoding="utf-8")
                print(path.name)


if __name__ == "__main__":
    main()
