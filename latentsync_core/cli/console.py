"""What the command line prints: progress bars, reports and errors."""

from __future__ import annotations

import dataclasses
import json
import sys

from ..messages import NoteLevel
from ..phases import phase_words
from ..remote.inputs import FetchedInput
from .wording import WORDS


class ProgressBars:
    """One tqdm bar per phase, on standard error."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bar = None
        self._phase = ""

    def __call__(self, phase: str, done: int, total: int) -> None:
        if self._quiet:
            return
        from tqdm import tqdm

        if self._bar is None or phase != self._phase:
            self.__exit__()
            self._phase, self._bar = phase, tqdm(desc=f"{phase_words(phase):19}", total=total, leave=True)
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> ProgressBars:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._bar is not None:
            self._bar.close()


def downloads_data(fetched: list[FetchedInput]) -> dict[str, list[dict]]:
    """What a JSON report says of fetched files: nothing where no URL was given."""
    return {"downloads": [one.data for one in fetched]} if fetched else {}


def print_fetched(fetched: list[FetchedInput]) -> None:
    for one in fetched:
        print(f"fetched {one}")


def print_report(report, as_json: bool, fetched: list[FetchedInput] | None = None) -> None:
    if as_json:
        notes = [note.worded(WORDS) for note in report.notes]
        print(json.dumps({**dataclasses.asdict(report), "notes": notes, **downloads_data(fetched or [])}, default=str))
        return
    print_fetched(fetched or [])
    print(f"{report.output}: {report.frames} frames at {report.fps} fps, {report.synced_frames} synced")
    for number, speaker in enumerate(report.faces, 1):
        who = f"speaker {number}: " if len(report.faces) > 1 else ""
        for frame_range in speaker["frame_ranges"]:
            if frame_range["outcome"] not in ("synced", "fading"):
                first, stop = frame_range["frames"]
                print(f"  {who}frames {first} to {stop - 1} passed through: {frame_range['outcome']}")
    for start, stop in report.occluded:
        print(f"  frames {start} to {stop - 1}: an object in front of a mouth was left unchanged")
    for note in report.notes:
        print(f"  {'warning' if note.level is NoteLevel.WARNING else 'note'}: {note.worded(WORDS)}")


def print_error(sentence: str, as_json: bool) -> None:
    print(json.dumps({"error": sentence}) if as_json else f"error: {sentence}", file=sys.stderr)
