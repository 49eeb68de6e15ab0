"""Texts that go into a video file's container, in the format that ffmpeg reads them from."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...errors import OptionError

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
SPECIAL = re.compile(r"[=;#\\\n]")


def ffmetadata(texts: Mapping[str, str]) -> str:
    """The content of an ffmetadata file with `texts` as the file's own tags.

    Raises:
        OptionError: a name that isn't letters, digits and underscores, or a NUL character, which ends texts in C.
    """
    for name, text in texts.items():
        if not NAME.fullmatch(name) or "\0" in text:
            raise OptionError(
                f"The metadata {name!r} can't be written: names have letters, digits and _, texts no NUL."
            )
    # ffmpeg takes a line's end after any backslash, an escaped one too, for one of the text.
    texts = {name: f"{text} " if text.endswith("\\") else text for name, text in texts.items()}
    lines = [f"{name}={SPECIAL.sub(lambda match: chr(92) + match[0], text)}\n" for name, text in texts.items()]
    return ";FFMETADATA1\n" + "".join(lines)
