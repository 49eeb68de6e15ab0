"""Validates the prefix of file names below an output folder, which any workflow may contain."""

from __future__ import annotations

import os
import re

from ..errors import OptionError
from .output_checks import WINDOWS_FORBIDDEN

MAX_CHARACTERS = 200  # characters, sub-folders included: a number and a suffix must still fit
MAX_NAME_BYTES = 180  # bytes of one name, of the 255 that file systems take
WINDOWS_DRIVE = re.compile(r"[A-Za-z]:")
WINDOWS_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.IGNORECASE)  # no names on Windows
EXAMPLE_HINT = "write a name such as LatentSync/dub"


def file_prefix(prefix: str, windows: bool = os.name == "nt", name: str = "filename_prefix") -> str:
    """`prefix` with forward slashes. It stays below its folder, and each of its parts can be a file's name.

    Messages call it `name`.

    Raises:
        OptionError: it is absolute, names a drive or a device, leads upwards, is too long, or has characters in it
            that names can't have.
    """
    shown = repr(prefix if len(prefix) <= 60 else f"{prefix[:57]}...")
    if len(prefix) > MAX_CHARACTERS:
        raise OptionError(f"{name} has {len(prefix)} characters, more than {MAX_CHARACTERS}; {EXAMPLE_HINT}")
    if not all(letter.isprintable() for letter in prefix):
        raise OptionError(f"{name} is {shown}, with characters that no file name should have; {EXAMPLE_HINT}")
    path = prefix.replace("\\", "/")
    if path.startswith("/") or WINDOWS_DRIVE.match(path):
        raise OptionError(f"{name} is {shown}, which doesn't lie below the output folder; {EXAMPLE_HINT}")
    for part in path.split("/"):
        if part.strip() == ".." or (part != ".." and part.strip(". ") == "" and len(part) > 1):
            raise OptionError(f"{name} is {shown}, which leads out of the output folder; {EXAMPLE_HINT}")
        if WINDOWS_DEVICES.match(part.strip()):
            raise OptionError(f"{name} is {shown}, but {part!r} is a device on Windows; {EXAMPLE_HINT}")
        if len(part.encode("utf-8")) > MAX_NAME_BYTES:
            raise OptionError(f"{name} is {shown}, a part of which is longer than a file name; {EXAMPLE_HINT}")
        if windows and (set(part) & set(WINDOWS_FORBIDDEN) or part != part.rstrip(". ")):
            raise OptionError(f"{name} is {shown}, but Windows knows no name like {part!r}; {EXAMPLE_HINT}")
    return path
