"""Checks of output paths before long work begins: the place, the disk space, and that no input is overwritten."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from ..errors import OptionError, OutputError
from ..messages import Remedy

WINDOWS_FORBIDDEN = '<>:"|?*'  # in names; a colon would even write into another file's hidden stream


def check_target(path: Path) -> None:
    """Raises unless `path` is a place that a file could be written to.

    Raises:
        OptionError: `path` names standard output or a folder.
        OutputError: the folder is missing or can't be written to, or the name can't be a file's.
    """
    if path.stem == "-":
        raise OptionError("The result can't go to standard output (-): name a file for it.")
    try:
        if not path.parent.is_dir():
            raise OutputError(f"There is no folder {path.parent} to write {path.name} to: make it first.")
        if path.is_dir():
            raise OutputError(f"Can't write {path}: a folder has that name.")
        if not stat.S_ISREG(path.stat().st_mode):
            raise OutputError(f"Can't write {path}: it is a device or a pipe, not a file.")
    except FileNotFoundError:
        pass  # as it mostly is
    except (OSError, ValueError) as problem:  # ValueError: a NUL character in the name
        reason = problem.strerror if isinstance(problem, OSError) else problem
        raise OutputError(f"Can't write {str(path)!r} ({reason}): choose another name.") from None
    if os.name == "nt" and any(character in path.name for character in WINDOWS_FORBIDDEN):
        raise OutputError(f"Can't write {path}: Windows allows none of {WINDOWS_FORBIDDEN} in a name.")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"Can't write into {path.parent}: you have no right to; choose another folder.")


def check_no_overwrite(outputs: Iterable[Path | None], inputs: Iterable[tuple[str, str | Path | None]]) -> None:
    """Raises OptionError where writing one of the outputs would replace an input.

    Links, hard ones too, and names that differ in case alone on a file system that ignores it are the same file.

    Args:
        outputs: files or folders to be written; None is passed over.
        inputs: what each is ("the voice") and where it lies; None is passed over.
    """
    known = [(what, Path(path)) for what, path in inputs if path is not None]
    targets = [path for path in outputs if path is not None]
    for number, output in enumerate(targets):
        for what, path in known:
            if _is_same_file(output, path):
                raise OptionError(f"{output} is {what}, which the result would overwrite: choose another name for it.")
        for other in targets[:number]:
            if _is_same_file(output, other):
                raise OptionError(f"Two results would be written to {output}: choose another name for one of them.")


def check_disk_space(folder: Path, needed: float, what: str, way_out: Remedy = Remedy.MOVE_RESULT) -> None:
    """OutputError where `folder`, or the nearest one above it that exists, has less than `needed` bytes free."""
    place = next((place for place in (folder, *folder.absolute().parents) if place.is_dir()), None)
    try:
        free = shutil.disk_usage(place or Path.cwd()).free
    except OSError:
        return  # a file system that doesn't say: writing will
    if free < needed:
        raise OutputError(
            f"There is no room for {what} in {folder}: it needs {_human_size(needed)} or more, {_human_size(free)} are "
            "free.",
            "free some",
            way_out,
        )


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):  # one of them isn't there yet
        return os.path.normcase(os.path.realpath(one)) == os.path.normcase(os.path.realpath(other))


def _human_size(count: float) -> str:
    """Bytes as people read them."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
