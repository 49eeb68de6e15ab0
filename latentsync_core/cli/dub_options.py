"""The options of dubbing by lines; every default is that of the engine's own options, read without PyTorch."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from ..dubbing.line_formats import WRITABLE
from ..remote.inputs import local_path


def add_dub_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds the commands by `add(name, command, text)`."""
    _add_lines(add("lines", _lines, "check lines of dialogue, and convert them to SRT, WebVTT or JSON"))


def _lines(options: argparse.Namespace) -> None:
    from .dub_commands import run_lines

    run_lines(options)


def _add_lines(lines: argparse.ArgumentParser) -> None:
    lines.add_argument(
        "file", type=local_path, help="subtitles (SRT, VTT, TTML, EBU-TT), a speech recogniser's JSON, or RTTM"
    )
    lines.add_argument("--video", type=local_path, help="the clip: no line may end after it")
    lines.add_argument(
        "--out", type=local_path,
        help="write the lines there, as the suffix says: " + ", ".join(f".{kind.value}" for kind in WRITABLE),
    )  # fmt: skip
