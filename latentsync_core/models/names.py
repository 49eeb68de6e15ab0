"""Validates names of models and files, and quotes untrusted text in messages."""

from __future__ import annotations

from pathlib import Path

from ..errors import ModelError

MAX_PATH_LENGTH, MAX_NAME_LENGTH = 4096, 255  # characters, of any file system
MAX_SHOWN_CHARACTERS = 80  # characters that a message repeats


def check_path(path: Path) -> None:
    """ModelError for a name that no file can have, or that PyTorch can't open. Nothing is looked up."""
    text = str(path)
    if len(text) > MAX_PATH_LENGTH or any(len(part) > MAX_NAME_LENGTH for part in path.parts):
        raise ModelError(
            f"{one_line(repr(text))} has {len(text)} characters, more than a file's name can; give another."
        )
    if "\0" in text:
        raise ModelError(
            f"{text[:MAX_SHOWN_CHARACTERS]!r} has a null character in it, which no file name can have; give another."
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ModelError(
            f"The name {text[-MAX_SHOWN_CHARACTERS:]!r} has bytes that are no text in UTF-8; rename the file or folder."
        ) from None


def one_line(text: object) -> str:
    """A name or value out of a file as a message may repeat it: on one line, and not too long."""
    line = "".join(letter if letter.isprintable() else "?" for letter in str(text)[: MAX_SHOWN_CHARACTERS + 1])
    return line if len(line) <= MAX_SHOWN_CHARACTERS else f"{line[: MAX_SHOWN_CHARACTERS - 3]}..."


def first_line(problem: BaseException) -> str:
    """The first line of an error's text, or its kind."""
    return one_line((str(problem).strip().splitlines() or [type(problem).__name__])[0].rstrip("."))
