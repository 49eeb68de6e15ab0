"""A choice of faces and marks as one text, for a node whose picker is its only place for them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from ...errors import OptionError
from ..selection import ChooseBy, FaceChoice, read_track_list

KEYS = {"person": int, "tracks_on": str, "tracks_off": str, "marks": list}  # and the types of their values
MAX_CHARACTERS = 1_000_000
WAY_OUT = "choose the faces again in the picker, or empty it"


@dataclass(frozen=True)
class FacePick:
    """Which faces are synced, and the faces that were marked by hand."""

    choice: FaceChoice = field(default_factory=FaceChoice)
    marks: str = ""  # as `keyframes.marks.read_marks` takes them


def read_pick(text: str) -> FacePick:
    """Reads a JSON object of any of "person" (a number), "tracks_on", "tracks_off" (lists such as "3, 5-7") and "marks"
    (a list of marks). Without a person the most prominent one is meant; an empty text chooses nothing.

    Raises:
        OptionError: the text is no such object.
    """
    if not text.strip():
        return FacePick()
    if len(text) > MAX_CHARACTERS:
        raise OptionError(f"the choice of faces has {len(text)} characters; use at most {MAX_CHARACTERS}")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):  # no JSON, a number of thousands of digits, or nested too deep
        raise OptionError(f"the choice of faces isn't JSON; {WAY_OUT}") from None
    if not isinstance(values, dict):
        raise OptionError(f"the choice of faces is no JSON object; {WAY_OUT}")
    for key, value in values.items():
        if key not in KEYS or not isinstance(value, KEYS[key]) or isinstance(value, bool):
            known = ", ".join(KEYS)
            raise OptionError(f"the choice of faces has a wrong {key[:40]!r}; it holds {known}: {WAY_OUT}")
    person = values.get("person")
    choice = FaceChoice(
        by=ChooseBy.LARGEST if person is None else ChooseBy.INDEX,
        person=person or 0,
        on=read_track_list(values.get("tracks_on", "")),
        off=read_track_list(values.get("tracks_off", "")),
    )
    marks = values.get("marks")
    return FacePick(choice, json.dumps(marks) if marks else "")
