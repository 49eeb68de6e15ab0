"""Types of command-line arguments: speakers, times, sizes, marks."""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
from fractions import Fraction
from pathlib import Path

from ..errors import OptionError
from ..faces.speaking import WhoSpeaks
from ..remote.inputs import UrlArgument, media_argument
from ..remote.url import redact_url


def face_argument(text: str):
    """Reads "left", "person:B", "point:640,210@48" or "picture:anna.png" as a Speaker without a voice."""
    from ..faces.identity.person_names import read_person
    from ..faces.selection import ChooseBy, FaceChoice
    from ..sync_options import Speaker

    kind, _, rest = text.partition(":")
    plain = {"largest": ChooseBy.LARGEST, "frontal": ChooseBy.FRONTAL, "left": ChooseBy.LEFT}
    place = re.fullmatch(r"(\d{1,9}(?:\.\d*)?),(\d{1,9}(?:\.\d*)?)(?:@(\d{1,9}))?", rest)
    if kind in plain and not rest:
        return Speaker("", FaceChoice(plain[kind]))
    if kind == "person" and (person := read_person(rest)) is not None:
        return Speaker("", FaceChoice(ChooseBy.INDEX, person=person))
    if kind == "point" and place:
        at = (float(place[1]), float(place[2]))
        return Speaker("", FaceChoice(ChooseBy.POINT, point=at, frame=int(place[3] or 0)))
    if kind == "picture" and rest:
        # A URL takes the picture's place until it is fetched, as it does the voice's below (see remote/inputs.py).
        return dataclasses.replace(Speaker("", FaceChoice(ChooseBy.PICTURE)), picture=media_argument(rest))
    raise argparse.ArgumentTypeError(
        f"{redact_url(text)!r} names no face; write largest, frontal, left, person:B, point:640,210@48 or "
        "picture:anna.png"
    )


def speaker_argument(text: str):
    """Reads "person:B=anna.wav" as a Speaker, and "auto" as WhoSpeaks.AUTO.

    In "picture:URL=anna.wav" the URL may hold equals signs of its own.
    """
    if text == WhoSpeaks.AUTO.value:
        return WhoSpeaks.AUTO
    who, equals, audio = text.partition("=")
    if isinstance(media_argument(who.partition(":")[2]), UrlArgument):
        voice = re.search(r"=(?=[a-z]+://)", text, re.IGNORECASE)
        place = voice.start() if voice else text.rfind("=")
        who, audio = text[:place], text[place + 1 :]
    if not equals or not audio:
        raise argparse.ArgumentTypeError(f"{redact_url(text)!r} has no voice; write person:B=anna.wav, or auto")
    return dataclasses.replace(face_argument(who), audio=media_argument(audio))


def positive_number(text: str) -> float:
    """Reads a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write gigabytes, as 50 or 0.5")
    return number


def minutes_argument(text: str) -> float:
    """Reads a number of minutes, 0 or more."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write minutes, as 5 or 0.5")
    return number


def whole_number(text: str) -> int:
    """Reads a count of 1 or more."""
    if not re.fullmatch(r"[0-9]{1,6}", text) or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no count; write 1 or more")
    return int(text)


def seconds_argument(text: str) -> float:
    """Reads "90.5", "1:30.5" or "00:01:30.5"."""
    parts = text.split(":")
    if len(parts) > 3 or not all(re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,9})?", part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write seconds (90.5) or HH:MM:SS.s (00:01:30.5)")
    return float(sum(Fraction(part) * 60**place for place, part in enumerate(reversed(parts))))


def fps_argument(text: str) -> Fraction:
    """Reads "24", "23.976" or "24000/1001"."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,9}|/0*[1-9][0-9]{0,8})?", text) or not Fraction(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no frame rate; write 24, 23.976 or 24000/1001")
    return Fraction(text)


def marks_text(path: Path | None) -> str:
    """The text of a file of marks; none gives none."""
    if path is None:
        return ""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise OptionError(f"the marks in {path} can't be read ({problem}); give a JSON file") from None
