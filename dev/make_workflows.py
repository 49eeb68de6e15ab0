"""Writes workflows/*.json and their pictures: ComfyUI's own page builds and saves what dev/workflows says.

    python -m dev.make_workflows [--pictures | --only-pictures] [NAME ...]

The files need ComfyUI and chromium, as the tests in tests/browser do, and the nodes' measured heights
(dev.measure_nodes). `--pictures` generates the pictures again, and `--only-pictures` nothing else. Each is of a real
run of the engine alone, with the bundled model on the bundled scene: a face before and after.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from dev.workflows import WORKFLOWS
from dev.workflows.cards import CARDS, write_card
from dev.workflows.cloned_voice import CHAT_MODEL
from dev.workflows.heights import TITLE, load_heights, room
from dev.workflows.parts import Group, Node, Workflow
from tests.browser.page import ComfyPage, launch
from tests.comfyui.harness.server import ComfyServer
from tests.comfyui.third_party.node_facts import FACTS_FOLDER

FOLDER = Path(__file__).parents[1] / "workflows"
STAND_INS = FACTS_FOLDER / "stand_in_pack"  # other packs' nodes by their outward shape, for 06
PACK_PROPERTIES = {"cnr_id": "comfyui-latentsync-dub", "ver": "0.2.0"}
CORE_PROPERTIES = {"cnr_id": "comfy-core", "ver": "0.33.0"}
PAGE_ONLY = {"MarkdownNote"}
GAP = 40  # pixels on the canvas, as all below
NODE_SPACING = 25  # from a node to the next one's title
GROUP_TITLE, GROUP_EDGE = 44, 20
RUN_SECONDS = 3600
SCREEN = {"width": 2400, "height": 1400}
OPENED = {"width": 1920, "height": 1080}  # the page of a screen of usual size
MARGINS = (70, 95, 30, 30)  # pixels that the page's own bars cover there: left, top, right, bottom
VIEW = {  # for pictures: text however small, nothing over the nodes
    "LiteGraph.Canvas.MinFontSizeForLOD": 0,
    "Comfy.Minimap.Visible": False,
    "Comfy.NodeBadge.NodeSourceBadgeMode": "None",
}

_BUILD = """([nodes, links]) => {
    app.graph.clear();
    const made = {};
    for (const {key, kind, title, mode, widgets, properties} of nodes) {
        const node = LiteGraph.createNode(kind);
        if (!node) throw new Error("no such node: " + kind);
        app.graph.add(node);
        for (const [name, value] of Object.entries(widgets)) {
            const widget = node.widgets?.find((each) => each.name === name);
            if (!widget) throw new Error(`${kind} has only these widgets: ` + node.widgets?.map((each) => each.name));
            widget.value = value;
            widget.callback?.(value, app.canvas, node);
        }
        if (title) node.title = title;
        node.mode = mode;
        for (const name of ["cnr_id", "aux_id", "ver"]) delete node.properties[name];
        Object.assign(node.properties, properties);
        made[key] = node;
    }
    for (const [from, output, to, input] of links) {
        const [source, target] = [made[from], made[to]];
        const slots = [source.findOutputSlot(output), target.findInputSlot(input)];
        if (Math.min(...slots) < 0 || !source.connect(slots[0], target, slots[1]))
            throw new Error(`can't connect ${from}.${output} with ${to}.${input}`);
    }
    return Object.fromEntries(Object.entries(made).map(([key, node]) => [key, [node.id, ...node.computeSize()]]));
}"""
PLACE = """([nodes, groups]) => {
    for (const [id, box] of nodes) {
        const node = app.graph.getNodeById(id);
        node.pos = box.slice(0, 2);
        node.setSize(box.slice(2));
    }
    for (const [title, color, box] of groups) {
        const group = new LiteGraph.LGraphGroup(title);
        group.pos = box.slice(0, 2);
        group.size = box.slice(2);
        group.color = color;
        app.graph.add(group);
    }
    app.canvas.setDirty(true, true);
}"""
SAVED = "() => JSON.stringify(app.graph.serialize())"  # undefined values are gone from it, as from a saved file
_GROUPS_ON_SCREEN = """() => {
    const boxes = app.graph.groups.map(({pos, size}) => [pos[0], pos[1], pos[0] + size[0], pos[1] + size[1]]);
    const [left, top] = [0, 1].map((side) => Math.min(...boxes.map((box) => box[side])));
    const [right, bottom] = [2, 3].map((side) => Math.max(...boxes.map((box) => box[side])));
    const {scale, offset} = app.canvas.ds;
    const frame = app.canvas.canvas.getBoundingClientRect();
    return [(left + offset[0]) * scale + frame.left, (top + offset[1]) * scale + frame.top,
            (right - left) * scale, (bottom - top) * scale];
}"""


def registry() -> dict[str, dict[str, str]]:
    """Where ComfyUI's manager finds the pack of each recorded third-party node."""
    found = {}
    for path in FACTS_FOLDER.glob("*.json"):
        pack = json.loads(path.read_text(encoding="utf-8"))
        place = {name: pack[name] for name in ("cnr_id", "aux_id") if name in pack}
        found |= {name: {**place, "ver": pack["version"]} for name in pack["nodes"]}
    return found


def properties(kind: str, others: dict[str, dict[str, str]]) -> dict[str, str]:
    """What a saved node says about the pack that it comes from."""
    if kind in PAGE_ONLY:
        return {}
    pack = PACK_PROPERTIES if kind.startswith("LatentSyncDub") else others.get(kind, CORE_PROPERTIES)
    return {**pack, "Node name for S&R": kind}


def build(page: ComfyPage, workflow: Workflow) -> dict:
    """Makes the graph in the page and returns it as the page saves it."""
    sizes = build_graph(page, workflow.nodes, [node.key for node in workflow.nodes])
    page.page.evaluate(PLACE, layout(workflow, sizes))
    page.page.wait_for_timeout(500)
    return normalize_workflow(json.loads(page.page.evaluate(SAVED)), workflow)


def build_graph(page: ComfyPage, nodes: list[Node], keys: list[str], *, linked: bool = True) -> dict[str, list[float]]:
    """Makes nodes, and their links if wanted, in the page: {key: [id, least width, least height]}."""
    page.open()  # afresh: a cleared graph's widget values would come back in nodes of the same ids
    others = registry()
    links, made = [], []
    for key, node in zip(keys, nodes, strict=True):
        if linked:
            links += [[*source.split(".", 1), key, name] for name, source in node.inputs.items()]
        made.append(
            {
                "key": key,
                "kind": node.kind,
                "title": node.title,
                "mode": node.mode,
                "widgets": node.widgets,
                "properties": properties(node.kind, others),
            }
        )
    return page.page.evaluate(_BUILD, [made, links])


def layout(workflow: Workflow, sizes: dict[str, list[float]]) -> tuple[list, list]:
    """Boxes of nodes, by id, and of groups: groups in rows, in them columns of nodes, the note on the left."""
    places, boxes = [], []
    note = workflow.note
    places.append([sizes[note.key][0], [0, TITLE, note.width, note.display_height]])
    top = 0
    for row in workflow.rows:
        left, lowest = note.width + 2 * GAP, top
        for group in row:
            right, bottom = _place_group(group, sizes, left, top, places)
            boxes.append([group.title, group.color, [left, top, right - left, bottom - top]])
            left, lowest = right + GAP, max(lowest, bottom)
        for box in boxes[-len(row) :]:  # all of a row equally high
            box[2][3] = lowest - top
        top = lowest + GAP
    return places, boxes


def _place_group(group: Group, sizes: dict[str, list[float]], left: int, top: int, places: list) -> tuple[int, int]:
    x, lowest, heights = left + GROUP_EDGE, 0, load_heights()
    for column in group.columns:
        y = top + GROUP_TITLE + TITLE
        width = max(node.width for node in column)
        for node in column:
            ident, _, least = sizes[node.key]
            measured = heights.get(node.height_key)
            height = (room(measured) if measured else round(least)) + node.display_height
            places.append([ident, [x, y, width, height]])
            y += height + NODE_SPACING + TITLE
        lowest = max(lowest, y - NODE_SPACING - TITLE)
        x += width + GAP
    return x - GAP + GROUP_EDGE, lowest + GROUP_EDGE


def normalize_workflow(saved: dict, workflow: Workflow) -> dict:
    """Without what belongs to this page alone: where it looked, and its ids of itself."""
    saved["extra"] = {"ds": opening_view(saved)}
    saved["config"] = {"links_ontop": True}  # in classic nodes; Vue nodes lie over the canvas with the links
    saved["id"] = f"latentsync-dub-{workflow.name[:2]}"
    saved["groups"] = [{**group, "bounding": [round(side) for side in group["bounding"]]} for group in saved["groups"]]
    for node in saved["nodes"]:
        node["pos"], node["size"] = ([round(side) for side in list(node[name])] for name in ("pos", "size"))
    return saved


def opening_view(saved: dict) -> dict[str, object]:
    """Where the page looks when the file opens: at all of the graph, on a screen of usual size."""
    boxes = [
        (x, y - TITLE, x + w, y + h) for (x, y), (w, h) in ((node["pos"], node["size"]) for node in saved["nodes"])
    ]
    boxes += [(x, y, x + w, y + h) for x, y, w, h in (group["bounding"] for group in saved["groups"])]
    left, top = (min(box[side] for box in boxes) for side in (0, 1))
    right, bottom = (max(box[side] for box in boxes) for side in (2, 3))
    margin_left, margin_top, margin_right, margin_bottom = MARGINS
    wide, high = OPENED["width"] - margin_left - margin_right, OPENED["height"] - margin_top - margin_bottom
    scale = round(min(1.0, wide / (right - left), high / (bottom - top)) - 0.0005, 3)
    offset = [round(margin_left / scale - left) + 1, round(margin_top / scale - top) + 1]
    return {"scale": scale, "offset": offset}


def workflow_json(saved: dict) -> str:
    """JSON with a line for each node, link and group, so that a change shows as what it is."""
    lines = []
    for key, value in saved.items():
        if key in ("nodes", "links", "groups") and value:
            inner = ",\n".join("  " + json.dumps(each, ensure_ascii=False) for each in value)
            lines.append(f'"{key}": [\n{inner}\n ]')
        else:
            lines.append(f'"{key}": {json.dumps(value, ensure_ascii=False)}')
    return "{\n " + ",\n ".join(lines) + "\n}\n"


def graph_screenshot(page: ComfyPage) -> Image.Image:
    """All of the graph's groups, with what their nodes show on the page now."""
    page.page.set_viewport_size(SCREEN)
    for name, value in VIEW.items():
        page.page.evaluate("([name, value]) => app.extensionManager.setting.set(name, value)", [name, value])
    with tempfile.TemporaryDirectory() as folder:
        shot = page.screenshot(Path(folder) / "page.png")
        picture = Image.open(shot).convert("RGB")
    left, top, width, height = page.page.evaluate(_GROUPS_ON_SCREEN)
    return picture.crop((left - 10, top - 10, left + width + 10, top + height + 10))


@contextmanager
def open_comfy_page():
    """A page of a server that has the stand-ins beside this pack."""
    chat = {f"text_encoders/{CHAT_MODEL}": b""}  # or the page would warn over the picture
    with ComfyServer(packs=[STAND_INS], models=chat, partners=True) as server, sync_playwright() as playwright:
        page = ComfyPage(launch(playwright, shutil.which("chromium") or "chromium"), server)
        page.open()
        yield page
        page.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", action="store_true")
    parser.add_argument("--only-pictures", action="store_true")
    parser.add_argument("names", nargs="*", help="beginnings of the workflows' names; all where none is given")
    options = parser.parse_args()
    chosen = [one for one in WORKFLOWS if not options.names or one.name.startswith(tuple(options.names))]
    if not options.only_pictures:
        with open_comfy_page() as page:
            for workflow in chosen:
                path = FOLDER / f"{workflow.name}.json"
                path.write_text(workflow_json(build(page, workflow)), encoding="utf-8")
                print(path.name)
    for workflow in chosen:
        picture = FOLDER / f"{workflow.name}.jpg"
        if options.pictures or options.only_pictures or not picture.exists():
            write_card(CARDS[workflow.name[:2]], picture)
            print(picture.name)


if __name__ == "__main__":
    main()
