"""Reads a network's JSON config file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from ...errors import ModelError
from ...messages import Remedy
from ..names import check_path, first_line

MAX_CONFIG_BYTES = 2**20  # the longest in use has 2 KB


def read_json_object(path: Path, remedy: Remedy | str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ModelError: ending with `remedy`. No such file, too long, not UTF-8, no JSON, nested too deep, no object, or a
            number in it that isn't finite.
    """
    check_path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
        if len(data) > MAX_CONFIG_BYTES:
            raise ModelError(f"{path} has more than {MAX_CONFIG_BYTES} bytes, too many for a description.", remedy)
        content = json.loads(data.decode("utf-8"), parse_constant=_reject_constant, parse_float=_parse_finite_float)
    except OSError as problem:
        raise ModelError(f"{path} can't be read ({problem.strerror or first_line(problem)}).", remedy) from None
    except (ValueError, RecursionError) as problem:
        raise ModelError(f"{path} can't be read as JSON ({first_line(problem)}).", remedy) from None
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__}, not a description.", remedy)
    return content


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} where a number is due")


def _parse_finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number
