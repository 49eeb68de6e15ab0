"""What is known of node classes: other packs' from the recorded JSON files, core's and ours from /object_info."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FACTS_FOLDER = Path(__file__).parent
WIDGET_TYPES = frozenset({"COMBO", "INT", "FLOAT", "STRING", "BOOLEAN"})
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
PAGE_TYPES = {"AUDIO_UI", "AUDIO_RECORD"}  # of inputs for which the page makes players and buttons
SPARE_OF_PAGE = 3  # players and upload buttons that the page adds to core nodes save values too
OUR_PREFIX, OUR_PACK, CORE_PACK = "LatentSyncDub", "comfyui-latentsync-dub", "comfy-core"


@dataclass(frozen=True)
class Input:
    """One input: `accepts` are the types it takes, `choices` its list, which `open_list` says is not the whole."""

    name: str
    accepts: frozenset[str]
    required: bool = True
    widget: bool = False
    choices: tuple[Any, ...] = ()
    open_list: bool = False
    minimum: float | None = None
    maximum: float | None = None
    has_control: bool = False  # a fixed/randomize value follows it in widgets_values
    by_choice: Mapping[Any, tuple["Input", ...]] = field(default_factory=dict)  # a dynamic list's own inputs


@dataclass(frozen=True)
class Node:
    """What is known of a node class; `registry` is the property that lets the manager find its pack."""

    inputs: tuple[Input, ...]
    outputs: tuple[tuple[str, str], ...]
    registry: tuple[str, str] | None = None
    versions: frozenset[str] = frozenset()
    spare_widgets: int = 0  # values that the page's own widgets may add at the end
    widgets_by_name: bool = False  # this pack's page script saves widgets_values as a mapping
    loose: bool = False  # takes inputs that no list names beforehand
    may_grow: bool = False  # later versions add outputs and widgets at the end: a saved node may have fewer


def load_facts(folder: Path = FACTS_FOLDER) -> dict[str, Node]:
    """Read every recorded pack in `folder`: node class id to facts."""
    nodes: dict[str, Node] = {}
    for path in sorted(folder.glob("*.json")):
        pack = json.loads(path.read_text(encoding="utf-8"))
        key = "cnr_id" if "cnr_id" in pack else "aux_id"
        for name, facts in pack["nodes"].items():
            if name in nodes:
                raise ValueError(f"{path.name} records {name} a second time.")
            nodes[name] = Node(
                inputs=tuple(_recorded_input(entry) for entry in facts["inputs"]),
                outputs=tuple((entry["name"], entry["type"]) for entry in facts["outputs"]),
                registry=(key, pack[key]),
                versions=frozenset({pack["commit"], pack["version"]}),
                spare_widgets=len(facts.get("page_widgets", [])),
                widgets_by_name=facts.get("widgets_by_name", False),
            )
    return nodes


def nodes_of_server(object_info: Mapping[str, Any]) -> dict[str, Node]:
    """The same facts from a server's /object_info, for core's nodes and ours."""
    nodes = {}
    for name, entry in object_info.items():
        specs = [
            (input_name, spec, group == "required")
            for group in ("required", "optional")
            for input_name, spec in entry["input"].get(group, {}).items()
        ]
        kinds = [_type_name(spec[0]) for _, spec, _ in specs]
        uploads = any("upload" in key for _, spec, _ in specs for key in _options(spec))
        nodes[name] = Node(
            inputs=tuple(_served_input(*entry) for entry in specs),
            outputs=tuple(zip(entry["output_name"], map(_type_name, entry["output"]), strict=True)),
            registry=_registry_of(name, entry.get("python_module", "")),
            spare_widgets=SPARE_OF_PAGE if uploads or entry.get("output_node") or PAGE_TYPES & set(kinds) else 0,
            loose=any(kind.startswith("COMFY_AUTOGROW") for kind in kinds),
            may_grow=True,
        )
    return nodes


def _registry_of(name: str, module: str) -> tuple[str, str] | None:
    if name.startswith(OUR_PREFIX):
        return "cnr_id", OUR_PACK
    return None if module.startswith("custom_nodes") else ("cnr_id", CORE_PACK)


def _recorded_input(entry: Mapping[str, Any]) -> Input:
    return Input(
        name=entry["name"],
        accepts=frozenset(entry.get("accepts", [entry["type"]])),
        required=entry["required"],
        widget=entry["widget"],
        choices=tuple(entry.get("choices", ())),
        open_list=entry.get("open", False),
        minimum=entry.get("min"),
        maximum=entry.get("max"),
        has_control=entry.get("control_after_generate", False),
    )


def _served_input(name: str, spec: list, required: bool, prefix: str = "") -> Input:
    options, kind = _options(spec), _type_name(spec[0])
    choices = spec[0] if isinstance(spec[0], list) else options.get("options", [])
    by_choice: dict[Any, tuple[Input, ...]] = {}
    if kind == DYNAMIC_COMBO:
        for option in choices:
            parts = option.get("inputs", {})
            by_choice[option["key"]] = tuple(
                _served_input(part, part_spec, group == "required", f"{prefix}{name}.")
                for group in ("required", "optional")
                for part, part_spec in parts.get(group, {}).items()
            )
        choices, kind = list(by_choice), "COMBO"
    remote = bool(options.get("remote")) or any("upload" in key for key in options)
    return Input(
        name=prefix + name,
        accepts=frozenset(kind.split(",")) | ({DYNAMIC_COMBO} if by_choice else frozenset()),
        required=required,
        widget=kind in WIDGET_TYPES and not options.get("forceInput"),
        choices=tuple(choices),
        open_list=remote or (kind == "COMBO" and not choices),
        minimum=options.get("min"),
        maximum=options.get("max"),
        has_control=bool(options.get("control_after_generate"))
        or (kind == "INT" and prefix + name in ("seed", "noise_seed")),
        by_choice=by_choice,
    )


def _options(spec: list) -> Mapping[str, Any]:
    return spec[1] if len(spec) > 1 and isinstance(spec[1], Mapping) else {}


def _type_name(kind: Any) -> str:
    if isinstance(kind, list):
        return "COMBO"
    return "*" if str(kind).startswith("COMFY_MATCHTYPE") else str(kind)
