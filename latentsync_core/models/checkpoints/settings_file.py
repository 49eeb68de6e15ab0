"""Reads the small JSON file that describes how a network is built, and refuses anything else."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from ...errors import ModelError
from ..names import check_name, first_line

MOST_BYTES = 2**20  # the longest in use has 2 KB


def read_settings(path: Path, remedy: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ModelError: ending with `remedy`. No such file, too long, not UTF-8, no JSON, nested too deep, no object, or a
            number in it that isn't finite.
    """
    check_name(path)
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ModelError(f"{path} has more than {MOST_BYTES} bytes, too many for a description; {remedy}.")
        content = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite)
    except OSError as problem:
        raise ModelError(f"{path} can't be read ({problem.strerror or first_line(problem)}); {remedy}.") from None
    except (ValueError, RecursionError) as problem:
        raise ModelError(f"{path} can't be read as JSON ({first_line(problem)}); {remedy}.") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__}, not a description; {remedy}.")
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} where a number is due")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number
