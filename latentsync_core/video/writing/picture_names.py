"""Where a sequence of pictures goes: its folder, and the pictures' names in it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ...errors import OptionError

NUMBER = re.compile(r"%0[1-9]d")  # the number of a picture in its name, as programs for film write it


def sequence_folder(path: str | Path, suffix: str) -> Path:
    """The folder of a sequence: `path` itself, or the one around the names of pictures, as in "dub/shot_%04d.png".

    Raises:
        OptionError: the folder is there already, or `path` names neither a folder nor numbered pictures.
    """
    path = Path(path)
    example = f"dub, or names in a new folder, such as dub{os.sep}shot_%04d{suffix}"
    is_numbered = len(NUMBER.findall(path.name)) == 1 and path.name.count("%") == 1
    folder = path.parent if is_numbered else path
    if not folder.name or (path.suffix.lower() != suffix if is_numbered else path.suffix or "%" in path.name):
        raise OptionError(f"A sequence of {suffix} pictures can't go to {path}: give a new folder, such as {example}.")
    if os.path.lexists(folder):
        raise OptionError(f"There is already {folder}: give a new folder for the pictures, such as {example}.")
    return folder


def picture_names(path: Path, suffix: str) -> str:
    """The pictures' names with a "%06d" for their number."""
    return path.name if NUMBER.search(path.name) else f"{path.name}_%06d{suffix}"
