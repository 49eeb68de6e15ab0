"""Lines of dialogue from a file or a text of any format, which its content tells, and back to text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from pathlib import Path

from ...errors import DialogueError
from ...messages import Note
from .dialogue import DialogueLine, check_lines, in_order
from .recognised_speech import read_recognised, read_rttm, write_json
from .subtitles import ARROW, read_subtitles, write_subtitles
from .text_decoding import read_text
from .timed_text import read_timed_text

LINE_SUFFIXES = (".srt", ".vtt", ".ttml", ".dfxp", ".xml", ".json", ".rttm")
KNOWN = "SRT, WebVTT, TTML or EBU-TT, a speech recogniser's JSON, or RTTM"


class LineFormat(Enum):
    """A format of lines that can be read."""

    SRT = "srt"
    VTT = "vtt"
    TTML = "ttml"
    JSON = "json"
    RTTM = "rttm"


WRITABLE = (LineFormat.SRT, LineFormat.VTT, LineFormat.JSON)


@dataclass(frozen=True)
class Dialogue:
    """The lines of a clip, by their start, and what is to be said of how they were read."""

    lines: tuple[DialogueLine, ...]
    format: LineFormat
    name: str = "the lines"  # in messages
    notes: tuple[Note, ...] = ()

    @property
    def speakers(self) -> tuple[str, ...]:
        """The names, in the order of their first lines."""
        return tuple(dict.fromkeys(line.speaker for line in self.lines if line.speaker))


def load_lines(path: Path, clip_seconds: Fraction | float | None = None) -> Dialogue:
    """The lines of a file, checked as `check_lines` does.

    Raises:
        DialogueError: the file can't be read, is of no known format, or its lines don't pass.
        ToolError: the library that reads the format is missing.
    """
    text, notes = read_text(path)
    return parse_lines(text, path.name, clip_seconds, notes)


def parse_lines(
    text: str, name: str = "the text", clip_seconds: Fraction | float | None = None, notes: tuple[Note, ...] = ()
) -> Dialogue:
    """As `load_lines`, of a text."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    found = line_format(text, name)
    if found in (LineFormat.SRT, LineFormat.VTT):
        lines = read_subtitles(text, found.value, name)
    elif found is LineFormat.TTML:
        lines = read_timed_text(text, name)
    elif found is LineFormat.JSON:
        lines = read_recognised(text, name)
    else:
        lines = read_rttm(text, name)
    lines = in_order(lines)
    check_lines(lines, name, clip_seconds)
    return Dialogue(lines, found, name, notes)


def write_lines(lines: Sequence[DialogueLine], target: LineFormat = LineFormat.SRT) -> str:
    """The lines in one of `WRITABLE`; SRT and VTT round times to the millisecond and hold no line's settings.

    Raises:
        ToolError: pysubs2 is missing.
    """
    return write_json(lines) if target is LineFormat.JSON else write_subtitles(lines, target.value)


def line_format(text: str, name: str) -> LineFormat:
    """The format that a text's content tells, whatever its file is called.

    Raises:
        DialogueError: it is blank, or none of the known ones.
    """
    head = text.lstrip()
    if not head:
        raise DialogueError(f"{name} is empty: give {KNOWN}.")
    if head.startswith("WEBVTT"):
        return LineFormat.VTT
    if head.startswith("<"):
        return LineFormat.TTML
    if head.startswith(("{", "[{", "[[", "[\n")) or re.match(r"\[\s*[{\[\]]", head):
        return LineFormat.JSON
    if re.search(r"^(SPEAKER|SPKR-INFO|;;)\s", text, re.MULTILINE) and ARROW not in text:
        return LineFormat.RTTM
    if ARROW in text:
        return LineFormat.SRT
    raise DialogueError(f"{name} begins with {head[:30]!r}, which is no format of lines: give {KNOWN}.")
