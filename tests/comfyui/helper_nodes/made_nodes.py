"""Makes a function a node, so that each helper is a few lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

NODE_CLASS_MAPPINGS: dict[str, type] = {}


class Anything(str):
    """A type that fits every socket: it differs from no other."""

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


ANYTHING = Anything("*")


def node(*returns: str, **inputs: Any) -> Callable:
    """Registers a function as a node called Test and its name: `add_alpha` is TestAddAlpha.

    `inputs` are types (a list is a choice, a tuple a type with options). Without `returns` the node is an output node
    and shows what the function returns, as JSON; it then runs at every prompt.
    """

    def register(function: Callable) -> Callable:
        def run(_self: object, **values: Any) -> Any:
            made = function(**values)
            return (made,) if returns else {"ui": {"text": [json.dumps(made)]}}

        declared = {name: kind if isinstance(kind, tuple) else (kind,) for name, kind in inputs.items()}
        body = {
            "INPUT_TYPES": classmethod(lambda cls: {"required": declared}),
            "RETURN_TYPES": returns,
            "FUNCTION": "run",
            "CATEGORY": "tests",
            "OUTPUT_NODE": not returns,
            "run": run,
        }
        if not returns:
            body["IS_CHANGED"] = classmethod(lambda cls, **values: float("nan"))
        name = "Test" + "".join(part.capitalize() for part in function.__name__.split("_"))
        NODE_CLASS_MAPPINGS[name] = type(name, (), body)
        return function

    return register
