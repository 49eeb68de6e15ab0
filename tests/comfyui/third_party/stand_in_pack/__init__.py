"""A custom_nodes folder for test servers: the recorded nodes by outward shape, to validate workflows that use them.

Link or copy this folder into a test server's custom_nodes; the nodes can't run and say so.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FACTS = Path(__file__).resolve().parents[1].glob("*.json")
INSTALLED = {  # what a user would have installed, for lists that are empty or short without it
    "MelBandRoFormerModelLoader": {"model_name": ["MelBandRoformer_fp16.safetensors"]},
    "SignalProcessingConvolutionReverb": {"impulse_response": [""]},
}


class Anything(str):
    """The type "*" as these packs make it: it differs from no other type."""

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


def stand_in(name: str, facts: dict[str, Any]) -> type:
    """A node class of this outward shape."""

    def input_types(cls: type) -> dict[str, dict]:
        groups: dict[str, dict] = {"required": {}, "optional": {}}
        for entry in facts["inputs"]:
            options = {key: entry[key] for key in ("default", "min", "max") if key in entry}
            if entry["type"] == "STRING" and not entry["widget"]:
                options["forceInput"] = True
            kind = Anything(entry["type"]) if entry["type"] == "*" else entry["type"]
            if kind == "COMBO":
                kind = [*entry.get("choices", []), *INSTALLED.get(name, {}).get(entry["name"], [])]
            groups["required" if entry["required"] else "optional"][entry["name"]] = (kind, options)
        return groups

    def run(self: object, **inputs: object) -> None:
        raise RuntimeError(f"This is a stand-in for {name}, for validation only; install its pack to run it.")

    body = {
        "INPUT_TYPES": classmethod(input_types),
        "RETURN_TYPES": tuple(entry["type"] for entry in facts["outputs"]),
        "RETURN_NAMES": tuple(entry["name"] for entry in facts["outputs"]),
        "FUNCTION": "run",
        "CATEGORY": "stand-ins",
        "run": run,
    }
    return type("".join(filter(str.isalnum, name)), (), body)


_NODES = {
    name: facts
    for path in sorted(FACTS)
    for name, facts in json.loads(path.read_text(encoding="utf-8"))["nodes"].items()
}
NODE_CLASS_MAPPINGS = {name: stand_in(name, facts) for name, facts in _NODES.items()}
NODE_DISPLAY_NAME_MAPPINGS = {name: facts["display_name"] for name, facts in _NODES.items()}
