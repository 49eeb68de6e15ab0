"""Reads a diarization, who speaks from when to when: RTTM, or JSON as speech recognisers write it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, cast

from ..errors import OptionError

MAX_CHARACTERS = 20_000_000
MAX_LINES = 200_000
MAX_NAME = 100  # characters
FORMATS = (
    'write RTTM lines ("SPEAKER clip 1 12.5 3.2 <NA> <NA> Anna <NA> <NA>"), or JSON: '
    '[{"start": 12.5, "end": 15.7, "speaker": "Anna"}]'
)


@dataclass(frozen=True)
class DiarizedLine:
    """Somebody speaks, from `start` to `end` seconds after the clip's first frame."""

    start: float
    end: float
    speaker: str


def read_diarization(text: str) -> tuple[DiarizedLine, ...]:
    """Parses RTTM or JSON into lines in order of time; text without any gives none.

    JSON is a list of objects with "start", "end" and "speaker", or an object that holds one under "segments". Those
    without a speaker are left out.

    Raises:
        OptionError: the text is neither, or a time or name in it is out of range.
    """
    if len(text) > MAX_CHARACTERS:
        raise OptionError(f"the diarization has {len(text)} characters; use at most {MAX_CHARACTERS}")
    stripped = text.lstrip("\ufeff \t\r\n")
    lines = _json_lines(stripped) if stripped[:1] in ("[", "{") else _rttm_lines(stripped)
    if len(lines) > MAX_LINES:
        raise OptionError(f"the diarization has {len(lines)} lines; use at most {MAX_LINES}")
    return tuple(sorted(lines, key=lambda line: (line.start, line.end)))


def _rttm_lines(text: str) -> list[DiarizedLine]:
    lines = []
    for number, row in enumerate(text.splitlines(), 1):
        fields = row.split()
        if not fields or fields[0].startswith(";") or fields[0] != "SPEAKER":
            if fields and not fields[0].startswith(";") and not fields[0].isupper():
                raise OptionError(f"line {number} of the diarization, {row[:60]!r}, is no RTTM; {FORMATS}")
            continue  # comments, and RTTM's lines of other types
        try:
            start, duration = float(fields[3]), float(fields[4])
            name = fields[7]
        except (IndexError, ValueError):
            raise OptionError(f"line {number} of the diarization, {row[:60]!r}, is no RTTM; {FORMATS}") from None
        lines.append(_line(start, start + duration, name, f"line {number}"))
    return lines


def _json_lines(text: str) -> list[DiarizedLine]:
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise OptionError(f"the diarization is no valid JSON; {FORMATS}") from None
    rows = found.get("segments") if isinstance(found, dict) else found
    if not isinstance(rows, list):
        raise OptionError(f"the diarization's JSON holds no list of segments; {FORMATS}")
    lines = []
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise OptionError(f"segment {number} of the diarization is no object; {FORMATS}")
        if row.get("speaker") is None:
            continue
        start, end = row.get("start"), row.get("end")
        if not all(isinstance(time, (int, float)) and not isinstance(time, bool) for time in (start, end)):
            raise OptionError(f"segment {number} of the diarization has no start and end in seconds; {FORMATS}")
        lines.append(_line(cast(float, start), cast(float, end), str(row["speaker"]), f"segment {number}"))
    return lines


def _line(start: float, end: float, name: str, place: str) -> DiarizedLine:
    try:
        start, end = float(start), float(end)
    except OverflowError:
        start = end = math.inf
    if not (math.isfinite(start) and math.isfinite(end) and 0 <= start < end):
        raise OptionError(
            f"{place} of the diarization lasts from {start:g} to {end:g} s; give a start of 0 or more and a later end"
        )
    name = " ".join(name.split())
    if not name or len(name) > MAX_NAME or "=" in name:
        raise OptionError(
            f"{place} of the diarization names the speaker {name[:40]!r}; use 1 to {MAX_NAME} characters without ="
        )
    return DiarizedLine(start, end, name)
