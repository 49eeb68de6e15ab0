"""Turns a saved workflow into the prompt that ComfyUI's page would queue for it, so that no page is needed to run one.

A workflow (UI format, version 0.4) keeps a node's widget values by position; which widget is where follows from the
node's inputs in /object_info. Written from watching what the page exports; tests/browser compares the two. Widgets that
a node's own JavaScript adds (an editor, a camera, a recorder) are beyond it, and so are subgraphs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

MUTED, BYPASS = 2, 4  # a node's mode; 0 is always, 1 and 3 (on event, on trigger) run like 0
NOTES = {"Note", "MarkdownNote"}
VIRTUAL = {"Reroute", "PrimitiveNode"} | NOTES  # live in the page only
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COLOR"}
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
SEEDS = {"seed", "noise_seed"}  # an INT of this name has a control widget unasked
UPLOADS = {"image_upload", "video_upload", "audio_upload", "animated_image_upload"}
_NO_VALUE = object()


class WorkflowUnusable(Exception):
    """The workflow is in another format, or has nodes that the server doesn't know."""


def workflow_to_prompt(workflow: Mapping, object_info: Mapping[str, dict]) -> dict[str, dict]:
    """The API prompt of a workflow: {node id: {"class_type", "inputs"}}, muted, bypassed and virtual nodes resolved.

    Raises WorkflowUnusable, naming the node types that `object_info` lacks.
    """
    if workflow.get("version") != 0.4 or "links" not in workflow:
        raise WorkflowUnusable(f"expected UI format, version 0.4; found version {workflow.get('version')!r}")
    nodes = {node["id"]: node for node in workflow["nodes"]}
    links = {link[0]: link for link in workflow["links"]}
    active = [n for n in nodes.values() if n["type"] not in VIRTUAL and n.get("mode", 0) not in (MUTED, BYPASS)]
    unknown = sorted({node["type"] for node in active} - set(object_info))
    if unknown:
        raise WorkflowUnusable(f"the server doesn't know these nodes: {', '.join(unknown)}")

    prompt = {}
    for node in active:
        inputs = widget_values(node, object_info[node["type"]])
        for slot in node.get("inputs") or ():
            found = _source(slot.get("link"), nodes, links)
            if found is not _NO_VALUE:
                inputs[slot["name"]] = found
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def widget_values(node: Mapping, info: Mapping) -> dict[str, object]:
    """A saved node's widget values by the name of their input; what wasn't saved has its default."""
    saved = node.get("widgets_values") or []
    if isinstance(saved, Mapping):  # some packs save them by name
        names = {name for name, _, _ in _declared(info["input"], info.get("input_order"))}
        return {name: value for name, value in saved.items() if name in names}
    values = iter(saved)
    found: dict[str, object] = {}
    for section in ("required", "optional"):
        specs = list(_declared(info["input"], info.get("input_order"), (section,)))
        for name, kind, options in specs:
            _consume_values(name, kind, options, values, found)
        if section == "required" and any(options.get(upload) for _, _, options in specs for upload in UPLOADS):
            next(values, None)  # the upload button comes after the last required input
    return {name: {"__value__": value} if isinstance(value, list) else value for name, value in found.items()}


def _declared(
    inputs: Mapping, order: Mapping | None, sections: tuple[str, ...] = ("required", "optional")
) -> Iterator[tuple[str, str, dict]]:
    """Each input's name, type and options, in the order of the page."""
    for section in sections:
        declared = inputs.get(section) or {}
        for name in (order or {}).get(section) or declared:
            kind, *options = declared[name]
            options = options[0] if options else {}
            if isinstance(kind, list):  # the older way to write a choice
                kind, options = "COMBO", {"options": kind, **options}
            yield name, options.get("widgetType", kind), options


def _consume_values(name: str, kind: str, options: Mapping, values: Iterator, found: dict[str, object]) -> None:
    """Takes from the saved values what belongs to one input: nothing for a socket, several for a dynamic choice."""
    if kind == DYNAMIC_COMBO:
        choices = {choice["key"]: choice["inputs"] for choice in options["options"]}
        found[name] = next(values, next(iter(choices)))
        if found[name] not in choices:
            raise WorkflowUnusable(f"{name} is {found[name]!r}; the server knows {', '.join(map(str, choices))}")
        for inner, inner_kind, inner_options in _declared(choices[found[name]], None):
            _consume_values(f"{name}.{inner}", inner_kind, inner_options, values, found)
        return
    if kind not in WIDGETS or options.get("forceInput"):
        return
    found[name] = next(values, _default(kind, options))
    controlled = options.get("control_after_generate", kind == "INT" and name in SEEDS)
    if controlled:
        next(values, None)  # "fixed", "randomize", ...
    if controlled and kind == "COMBO":
        next(values, None)  # the words that narrow the random choice


def _default(kind: str, options: Mapping) -> object:
    if "default" in options:
        return options["default"]
    if kind == "COMBO":
        return next(iter(options.get("options") or ()), None)
    return {"INT": 0, "FLOAT": 0, "STRING": "", "BOOLEAN": False}.get(kind)


def _source(link_id: int | None, nodes: Mapping, links: Mapping) -> object:
    """What comes through a link: [node id, slot] of the node that makes it, a primitive's value, or nothing."""
    if link_id is None or link_id not in links:
        return _NO_VALUE
    _, origin_id, origin_slot, *_, kind = links[link_id]
    origin = nodes[origin_id]
    if origin["type"] == "PrimitiveNode":
        return origin["widgets_values"][0]
    if origin["type"] == "Reroute":
        return _source(origin["inputs"][0].get("link"), nodes, links)
    if origin.get("mode", 0) == MUTED:
        return _NO_VALUE
    if origin.get("mode", 0) == BYPASS:
        passed = _bypass(origin, origin_slot, kind)
        return _source(passed.get("link"), nodes, links) if passed else _NO_VALUE
    return [str(origin_id), origin_slot]


def _bypass(node: Mapping, slot: int, kind: str) -> Mapping | None:
    """The input that a bypassed node hands on at an output: the one in the same place, else the first of its type."""
    inputs = node.get("inputs") or []
    opposite = inputs[slot : slot + 1]
    return next((each for each in [*opposite, *inputs] if each["type"] in (kind, node["outputs"][slot]["type"])), None)
