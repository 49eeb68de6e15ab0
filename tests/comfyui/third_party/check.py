"""Checks a workflow in ComfyUI's page format against recorded facts of other packs' nodes, and against /object_info."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.comfyui.third_party.node_facts import CORE_PACK, FACTS_FOLDER, OUR_PREFIX, Input, Node, nodes_of_server

BYPASSED, MUTED = 4, 2  # values of a node's `mode`; 0 runs
PAGE_ONLY = frozenset({"MarkdownNote", "Note", "Reroute", "PrimitiveNode"})  # the page knows them, the server doesn't
PAGE_SOCKETS = ("UPLOAD", "_UI")  # ends of the types that the page gives its own players and upload buttons
MODEL_FILES = (".safetensors", ".pth", ".pt", ".onnx")
MEDIA_FILES = (".mp4", ".mov", ".mkv", ".wav", ".flac", ".mp3", ".png", ".jpg")


def check_workflow(
    workflow: Mapping[str, Any], facts: Mapping[str, Node], object_info: Mapping[str, Any] | None = None
) -> list[str]:
    """What is wrong with the workflow, a sentence each; an empty list when nothing is.

    Nodes that `facts` doesn't hold are checked when a server's `object_info` is given; without it only their links are.
    """
    known = {**(nodes_of_server(object_info) if object_info is not None else {}), **facts}
    nodes = {node["id"]: node for node in workflow["nodes"]}
    links = {link[0]: link for link in workflow["links"]}
    active = {link[0] for link in links.values() if nodes.get(link[3], {}).get("mode", 0) not in (BYPASSED, MUTED)}
    problems = list(_link_problems(workflow, nodes, links, known))
    for node in nodes.values():
        label = f"{node['type']} (node {node['id']})"
        if node["type"] in PAGE_ONLY:
            continue
        pack = node.get("properties", {}).get("cnr_id", node.get("properties", {}).get("aux_id"))
        if node["type"] in known:
            problems += [f"{label}: {text}" for text in _node_problems(node, known[node["type"]], active)]
        elif object_info is not None:
            problems.append(f"{label}: neither the server nor the recorded packs have this node.")
        elif pack != CORE_PACK and not node["type"].startswith(OUR_PREFIX):
            problems.append(f"{label}: its pack {pack!r} is recorded nowhere in {FACTS_FOLDER.name}.")
    return problems


def _node_problems(node: Mapping[str, Any], facts: Node, active: set[int]) -> Iterator[str]:
    properties = node.get("properties", {})
    if facts.registry and properties.get(facts.registry[0]) != facts.registry[1]:
        found = properties.get(facts.registry[0])
        yield f"{facts.registry[0]} is {found!r}; the manager finds its pack by {facts.registry[1]!r}."
    if facts.versions and properties.get("ver") not in facts.versions:
        yield f"ver is {properties.get('ver')!r}; the facts were recorded at {' or '.join(sorted(facts.versions))}."
    if properties.get("Node name for S&R", node["type"]) != node["type"]:
        yield f"Node name for S&R is {properties['Node name for S&R']!r}."

    values, widget_problems = _widget_values(node, facts)
    yield from widget_problems

    inputs = {entry.name: entry for entry in _all_inputs(facts.inputs, values)}
    linked = set()
    for socket in node.get("inputs", []):
        name, entry = socket["name"], inputs.get(socket["name"])
        if socket.get("link") is not None:
            linked.add(name)
        if entry is None:
            of_page = socket.get("link") is None and str(socket["type"]).endswith(PAGE_SOCKETS)
            if not facts.loose and not of_page:
                yield f"it has no input {name!r}; its inputs are {', '.join(inputs)}."
        elif not _fits(socket["type"], entry.accepts):
            yield f"input {name!r} is of type {_either(entry.accepts)}, not {socket['type']}."
        elif socket.get("link") is not None and entry.widget != ("widget" in socket):
            yield f"input {name!r} {'is' if entry.widget else 'is not'} a widget; its socket says otherwise."
    if node.get("mode", 0) not in (BYPASSED, MUTED):
        for entry in inputs.values():
            if entry.required and not entry.widget and entry.name not in linked and not facts.loose:
                yield f"its input {entry.name!r} needs a link."

    found = [(output["name"], output["type"]) for output in node.get("outputs", [])]
    outputs = facts.outputs[: len(found)] if facts.may_grow else facts.outputs
    same = [saved[0] == known[0] and known[1] in (saved[1], "*") for saved, known in zip(found, outputs, strict=False)]
    if len(found) != len(outputs) or not all(same):
        yield f"its outputs are {_listed(facts.outputs)}, not {_listed(found)}."
    if node.get("mode", 0) == BYPASSED:
        for index, output in enumerate(node.get("outputs", [])):
            used = not active.isdisjoint(output.get("links") or [])
            if used and not _passes_on(node, index, output["type"]):
                yield f"it is bypassed, and no linked input passes on to its output {output['name']!r}."


def _widget_values(node: Mapping[str, Any], facts: Node) -> tuple[dict[str, Any], list[str]]:
    """Each widget's value by its input's name, and what is wrong with them."""
    saved = node.get("widgets_values") or []
    linked = {entry["name"] for entry in node.get("inputs", []) if entry.get("link") is not None}
    if isinstance(saved, Mapping) or facts.widgets_by_name:
        if not isinstance(saved, Mapping) and saved:
            return {}, ["its widgets_values are a list; this pack's page script reads a mapping by name."]
        values = dict(saved)
        expected = [entry for entry in _all_inputs(facts.inputs, values) if entry.widget]
        missing = [entry.name for entry in expected if entry.required and entry.name not in values]
        problems = [f"its widgets_values lack {name!r}." for name in missing]
        return values, problems + _value_problems(expected, values, linked)

    values, expected, queue = {}, [], list(facts.inputs)
    position, problems = 0, []
    while queue:
        entry = queue.pop(0)
        if not entry.widget:
            continue
        expected.append(entry)
        if position < len(saved):
            values[entry.name] = saved[position]
            queue = list(entry.by_choice.get(_key(saved[position]), ())) + queue
        position += 1
        if entry.has_control:
            control = saved[position] if position < len(saved) else "fixed"
            if control not in ("fixed", "increment", "decrement", "randomize"):
                problems.append(f"{entry.name!r} is followed by {control!r}; fixed or randomize belongs there.")
            position += 1
    if len(saved) > position + facts.spare_widgets or (len(saved) < position and not facts.may_grow):
        return values, [*problems, f"it has {len(saved)} widgets_values; {position} belong there."]
    return values, problems + _value_problems(expected, values, linked)


def _value_problems(expected: list[Input], values: Mapping[str, Any], linked: set[str]) -> list[str]:
    problems = []
    for entry in expected:
        if entry.name not in values or entry.name in linked:  # a linked widget's saved value is never used
            continue
        value, where = values[entry.name], f"{entry.name} = {values[entry.name]!r}"
        if "COMBO" in entry.accepts:
            of_a_file = isinstance(value, str) and value.lower().endswith(MODEL_FILES + MEDIA_FILES)
            if value not in entry.choices and not entry.open_list and not of_a_file:
                problems.append(f"{where}; the choices are {', '.join(map(str, entry.choices))}.")
        elif "BOOLEAN" in entry.accepts:
            if not isinstance(value, bool):
                problems.append(f"{where}; true or false belongs there.")
        elif entry.accepts & {"INT", "FLOAT"}:
            whole = "FLOAT" not in entry.accepts
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                problems.append(f"{where}; a{' whole' if whole else ''} number belongs there.")
            elif entry.minimum is not None and value < entry.minimum:
                problems.append(f"{where}; the least is {entry.minimum}.")
            elif entry.maximum is not None and value > entry.maximum:
                problems.append(f"{where}; the most is {entry.maximum}.")
        elif "STRING" in entry.accepts and not isinstance(value, str):
            problems.append(f"{where}; text belongs there.")
    return problems


def _link_problems(
    workflow: Mapping[str, Any], nodes: Mapping[int, Any], links: Mapping[int, list], known: Mapping[str, Node]
) -> Iterator[str]:
    if len(nodes) != len(workflow["nodes"]) or len(links) != len(workflow["links"]):
        yield "Two nodes or two links share an id."
    if max(nodes, default=0) > workflow["last_node_id"] or max(links, default=0) > workflow["last_link_id"]:
        yield "last_node_id or last_link_id is lower than an id in use."
    for link_id, origin_id, origin_slot, target_id, target_slot, _ in links.values():
        label = f"Link {link_id}"
        if origin_id not in nodes or target_id not in nodes:
            yield f"{label} joins a node that isn't there."
            continue
        origin, target = nodes[origin_id], nodes[target_id]
        outputs, inputs = origin.get("outputs", []), target.get("inputs", [])
        if origin_slot >= len(outputs) or link_id not in (outputs[origin_slot].get("links") or []):
            yield f"{label} isn't among the links of output {origin_slot} of {origin['type']} (node {origin_id})."
            continue
        if target_slot >= len(inputs) or inputs[target_slot].get("link") != link_id:
            yield f"{label} isn't the link of input {target_slot} of {target['type']} (node {target_id})."
            continue
        entry = (
            next((e for e in known[target["type"]].inputs if e.name == inputs[target_slot]["name"]), None)
            if (target["type"] in known)
            else None
        )
        accepts = entry.accepts if entry else frozenset(str(inputs[target_slot]["type"]).split(","))
        if not _fits(outputs[origin_slot]["type"], accepts):
            yield (
                f"{label} takes {outputs[origin_slot]['type']} from {origin['type']} to input "
                f"{inputs[target_slot]['name']!r} of {target['type']}, which takes {_either(accepts)}."
            )
    for node in nodes.values():
        ends = [entry["link"] for entry in node.get("inputs", []) if entry.get("link") is not None]
        ends += [link for output in node.get("outputs", []) for link in output.get("links") or []]
        for link_id in ends:
            if link_id not in links or node["id"] not in (links[link_id][1], links[link_id][3]):
                yield f"{node['type']} (node {node['id']}) names link {link_id}, which doesn't end at it."


def _all_inputs(inputs: tuple[Input, ...], values: Mapping[str, Any]) -> list[Input]:
    found = []
    for entry in inputs:
        found.append(entry)
        found += _all_inputs(entry.by_choice.get(_key(values.get(entry.name)), ()), values)
    return found


def _passes_on(node: Mapping[str, Any], index: int, kind: str) -> bool:
    """Whether a bypassed node's output gets a linked input: the same slot's if it fits, else the first that does."""
    inputs = node.get("inputs", [])
    same = [inputs[index]] if index < len(inputs) and inputs[index]["type"] in (kind, "*") else []
    first = [entry for entry in inputs if entry["type"] == kind][:1]
    return any(entry.get("link") is not None for entry in (same or first))


def _fits(kind: str, accepts: frozenset[str]) -> bool:
    return kind == "*" or "*" in accepts or not accepts.isdisjoint(str(kind).split(","))


def _key(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool)) else None


def _either(kinds: frozenset[str]) -> str:
    return " or ".join(sorted(kinds))


def _listed(outputs: Any) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in outputs) or "none"
