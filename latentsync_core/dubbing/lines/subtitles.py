"""SRT and WebVTT, by pysubs2: lines of a text, and the text of lines.

A speaker stands before the words as "[Anna]: ", as recognisers of several speakers write it, in WebVTT in a voice tag.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from fractions import Fraction

from ...errors import DialogueError
from ...required_packages import importing
from .dialogue import DialogueLine

ARROW = "-->"
TIMES = {  # what a row with an arrow has to be; the hours are optional in WebVTT alone
    "srt": re.compile(r"\s*\d{1,2}:\d{1,2}:\d{1,2}[.,]\d{1,3}\s*-->\s*\d{1,2}:\d{1,2}:\d{1,2}[.,]\d{1,3}(\s|$)"),
    "vtt": re.compile(r"\s*(\d{1,4}:)?\d\d:\d\d\.\d{3}\s*-->\s*(\d{1,4}:)?\d\d:\d\d\.\d{3}(\s|$)"),
}
EXAMPLES = {"srt": "00:00:01,000 --> 00:00:02,500", "vtt": "00:00:01.000 --> 00:00:02.500"}
# Nothing here can take a time that grows with the square of a hostile text's length.
SPEAKER = re.compile(r"\[([^\[\]\n]{1,100})\]:[ \t]*")
VOICE_TAG = re.compile(r"<v(?:\.[^\s<>]*)?[ \t]+([^<>\n]{1,100})>")
TAG = re.compile(r"</?[a-zA-Z0-9][^<>\n]*>")
STYLING = re.compile(r"\{\\[^{}\n]*\}")  # of SubStation, "{\an8}", which SRT files borrow
BLANK_ROWS = re.compile(r"\n(?:[ \t]*\n)+")


def read_subtitles(text: str, kind: str, name: str) -> tuple[DialogueLine, ...]:
    """The lines of an SRT ("srt") or WebVTT ("vtt") text; rows without words are left out.

    Raises:
        DialogueError: a row of times can't be read, or a time is negative.
        ToolError: pysubs2 is missing.
    """
    with importing("pysubs2"):
        import pysubs2
        from pysubs2.exceptions import Pysubs2Error

    _check_times(text, kind, name)
    try:
        parsed = pysubs2.SSAFile.from_string(_cues_alone(text, kind), format_=kind, keep_html_tags=True)
    except (Pysubs2Error, ValueError) as problem:
        raise DialogueError(f"{name} can't be read as {kind.upper()} ({problem}): export it again.") from None
    lines = (_line(Fraction(event.start, 1000), Fraction(event.end, 1000), event.text, kind) for event in parsed)
    return tuple(line for line in lines if line.text)


def write_subtitles(lines: Sequence[DialogueLine], kind: str = "srt") -> str:
    """SRT ("srt") or WebVTT ("vtt"), times rounded to the millisecond.

    Raises:
        ToolError: pysubs2 is missing.
    """
    with importing("pysubs2"):
        import pysubs2

    subtitles = pysubs2.SSAFile()
    for line in lines:
        # Its writer reads backslashes and braces as SubStation's; keep_ssa_tags leaves all but three of them alone.
        event = pysubs2.SSAEvent(round(line.start * 1000), round(line.end * 1000), _written(line, kind))
        subtitles.append(event)
    return subtitles.to_string(kind, keep_ssa_tags=True)


def _check_times(text: str, kind: str, name: str) -> None:
    for number, row in enumerate(text.split("\n"), 1):
        if ARROW not in row or TIMES[kind].match(row):
            continue
        before, _, after = row.partition(ARROW)
        if not re.search(r"\d", before) or not re.search(r"\d", after):
            continue  # an arrow among words
        shown = row.strip()[:60]
        if re.search(r"(^|\s)[-−]\s*\d", f"{before} {after}"):
            raise DialogueError(
                f"Row {number} of {name}, {shown!r}, has a negative time: times count from the clip's first frame; "
                "shift the lines."
            )
        raise DialogueError(f"Row {number} of {name}, {shown!r}, has no two times: write {EXAMPLES[kind]}.")


def _cues_alone(text: str, kind: str) -> str:
    """What of a text pysubs2 shall see: in WebVTT no notes, styles and names of cues, which it takes for words."""
    text = BLANK_ROWS.sub("\n\n", text)
    if kind == "vtt":
        blocks = []
        for block in text.split("\n\n"):
            rows = block.split("\n")
            first = next((place for place, row in enumerate(rows) if TIMES["vtt"].match(row)), None)
            if first is not None:
                blocks.append("\n".join(["0", *rows[first:]]))
        text = "WEBVTT\n\n" + "\n\n".join(blocks)
    # Before each cue it takes a last row of digits for that cue's number: after the last one stands one, too.
    return text.rstrip() + "\n\n0\n"


def _line(start: Fraction, end: Fraction, text: str, kind: str) -> DialogueLine:
    text = STYLING.sub("", text.replace(r"\N", "\n"))
    speaker = ""
    if kind == "vtt" and (voice := VOICE_TAG.search(text)):
        speaker = html.unescape(voice[1]).strip()
    text = TAG.sub("", text)
    if kind == "vtt":
        text = html.unescape(text).replace("\xa0", " ")
    text = "\n".join(stripped for row in text.split("\n") if (stripped := row.strip()))
    if not speaker and (named := SPEAKER.match(text)):
        speaker, text = named[1].strip(), text[named.end() :]
    return DialogueLine(start, end, text.strip(), speaker)


def _written(line: DialogueLine, kind: str) -> str:
    text = "\n".join(row.strip() for row in line.text.split("\n") if row.strip()).replace(ARROW, "→")
    if kind == "vtt":
        text = html.escape(text, quote=False)
        return f"<v {html.escape(line.speaker, quote=False)}>{text}" if line.speaker else text
    return f"[{line.speaker}]: {text}" if line.speaker else text
