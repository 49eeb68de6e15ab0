"""The options of dubbing by lines; every default is that of the engine's own options, read without PyTorch."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from ..dubbing.fit_options import FitOptions
from ..dubbing.line_formats import WRITABLE
from ..remote.inputs import local_path

FIT = FitOptions()


def add_dub_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds the commands by `add(name, command, text)`."""
    _add_lines(add("lines", _lines, "check lines of dialogue, and convert them to SRT, WebVTT or JSON"))
    _add_place(add("place", _place, "lay a spoken sound for each line on a clip's times, fitted to the lines"))


def _lines(options: argparse.Namespace) -> None:
    from .dub_commands import run_lines

    run_lines(options)


def _place(options: argparse.Namespace) -> None:
    from .dub_commands import run_place

    run_place(options)


def _add_lines(lines: argparse.ArgumentParser) -> None:
    lines.add_argument(
        "file", type=local_path, help="subtitles (SRT, VTT, TTML, EBU-TT), a speech recogniser's JSON, or RTTM"
    )
    lines.add_argument("--video", type=local_path, help="the clip: no line may end after it")
    lines.add_argument(
        "--out", type=local_path,
        help="write the lines there, as the suffix says: " + ", ".join(f".{kind.value}" for kind in WRITABLE),
    )  # fmt: skip


def _add_place(place: argparse.ArgumentParser) -> None:
    place.add_argument("lines", type=local_path, help="the lines, with the clip's times, as `lines` reads them")
    place.add_argument(
        "sounds", type=local_path, nargs="+",
        help="a sound for each line, in the lines' order; or a folder with them, in the order of the numbers in their "
        "names; or one long dub, with --dub-lines",
    )  # fmt: skip
    place.add_argument("--video", type=local_path, required=True, help="the clip: the result is as long, to the sample")
    place.add_argument("--out", type=local_path, required=True, help="the voice for the whole clip, a .wav file")
    place.add_argument("--dub-lines", type=local_path, help="when each line is spoken in one long dub")
    place.add_argument(
        "--min-tempo", type=float, default=FIT.min_tempo,
        help="speech that is too short is slowed to this at most; 1 never slows it (default %(default)g)",
    )  # fmt: skip
    place.add_argument(
        "--max-tempo", type=float, default=FIT.max_tempo,
        help="speech that is too long is sped up to this at most; 1 never speeds it up (default %(default)g)",
    )  # fmt: skip
    place.add_argument("--rate", type=int, help="sample rate of the result in Hz (default: the sounds' highest)")
