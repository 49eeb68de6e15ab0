"""Reads who speaks from when to when: the lines of a diarization, or of any dialogue, that name a speaker."""

from __future__ import annotations

from ..dubbing.lines.dialogue import DialogueLine
from ..dubbing.lines.line_formats import parse_lines
from ..errors import OptionError

MAX_CHARACTERS = 20_000_000
MAX_NAME = 100  # characters
NAME = "the diarization"


def read_diarization(text: str) -> tuple[DialogueLine, ...]:
    """The lines of RTTM, of JSON as recognisers write it or of subtitles, by their start; blank text has none.

    Lines that name no speaker are left out.

    Raises:
        OptionError: the text is too long, or a name can't stand in a correction ("name = person").
        DialogueError: the text is of no known format, or its times don't pass.
    """
    if len(text) > MAX_CHARACTERS:
        raise OptionError(f"{NAME} has {len(text)} characters; use at most {MAX_CHARACTERS}")
    if not text.strip("\ufeff \t\r\n"):
        return ()
    lines = tuple(line for line in parse_lines(text, NAME).lines if line.speaker)
    for line in lines:
        if len(line.speaker) > MAX_NAME or "=" in line.speaker:
            raise OptionError(
                f"{NAME} names the speaker {line.speaker[:40]!r}; use at most {MAX_NAME} characters without ="
            )
    return lines
