"""What the command line prints: progress bars, reports and errors."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from typing import TYPE_CHECKING

from ..messages import NoteLevel
from ..phases import phase_words, rounded_time, time_left
from ..remote.inputs import FetchedInput
from .wording import WORDS

if TYPE_CHECKING:
    from ..estimates.job_plan import JobPlan
    from ..video.clip import Clip


class ProgressBars:
    """One tqdm bar per phase, on standard error, with the time that the whole job is expected to take still."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bar = None
        self._phase = ""
        self._expected: dict[str, float] = {}  # seconds of each phase that is still to come, and of the one at hand
        self._began = 0.0

    def __call__(self, phase: str, done: int, total: int) -> None:
        if self._quiet:
            return
        from tqdm import tqdm

        if self._bar is None or phase != self._phase:
            self.__exit__()
            self._expected.pop(self._phase, None)
            self._phase, self._bar = phase, tqdm(desc=f"{phase_words(phase):19}", total=total, leave=True)
            self._began = time.monotonic()
        self._bar.total = total
        if left := self._job_left(done / max(total, 1)):
            self._bar.set_postfix_str(f"whole job: {rounded_time(left)} left", refresh=False)
        self._bar.update(done - self._bar.n)

    def show_plan(self, plan: JobPlan) -> None:
        """Prints what is to be done, and takes its times for the time left."""
        if self._quiet:
            return
        self._expected = {} if plan.total_seconds is None else {name: one or 0.0 for name, one in plan.seconds.items()}
        phases = f" ({plan.phases_text})" if plan.phases_text else ""
        self.__exit__()
        print(f"To do: {plan.text}{phases}", file=sys.stderr)

    def _job_left(self, share: float) -> float | None:
        """Seconds until the job's end, of which the phase at hand has done `share`; None where nothing tells."""
        if self._phase not in self._expected:
            return None
        elapsed, expected = time.monotonic() - self._began, self._expected[self._phase]
        later = sum(seconds for name, seconds in self._expected.items() if name != self._phase)
        return (time_left(share, share, elapsed, expected) or 0.0) + later

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


def print_plan(plan: JobPlan, clip: Clip, as_json: bool, fetched: list[FetchedInput]) -> None:
    """What `sync --plan` says."""
    facts = {"frames": clip.frame_count, "fps": str(clip.fps), "size": f"{clip.width}x{clip.height}"}
    if as_json:
        print(json.dumps({**facts, **plan.data, **downloads_data(fetched)}))
        return
    print_fetched(fetched)
    print(f"{clip.name}: {facts['frames']} frames at {facts['fps']} fps, {clip.width}×{clip.height}")
    print(f"To do: {plan.text}")
    if plan.phases_text:
        print(f"  {plan.phases_text}")


def print_error(sentence: str, as_json: bool) -> None:
    print(json.dumps({"error": sentence}) if as_json else f"error: {sentence}", file=sys.stderr)
