"""Progress of a job: the callback, its parts, and the phases with the time that each took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int], None]
"""Called as ``on_progress(done, total)``; whatever it raises cancels the stage at once."""

PhaseProgress = Callable[[str, int, int], None]
"""Called as ``on_progress(phase, done, total)``, phase being model, faces, voice, sampling, compositing or, where the
result is signed, signing; speakers after faces where it is found who speaks, and before all of them clip where a file
has to be decoded to know its frames. Whatever it raises cancels the job and leaves no output file."""

SPAN_TOTAL = 1000  # the total that a span of a stage's progress is reported against


def span(on_progress: Progress, start: float, stop: float) -> Progress:
    """Progress of one part of a stage, reported as that of the whole stage, of which it takes `start` to `stop`."""

    def report(done: int, total: int) -> None:
        on_progress(round(SPAN_TOTAL * (start + (stop - start) * done / max(total, 1))), SPAN_TOTAL)

    return report


def share_of(on_progress: Progress, number: int, parts: int) -> Progress:
    """The span of part `number`, from 0, of `parts` that take equally long; of a single part its own counts."""
    return on_progress if parts == 1 else span(on_progress, number / parts, (number + 1) / parts)


class PhaseClock:
    """Adds the phase's name to progress and measures the seconds of every phase."""

    def __init__(self, on_progress: PhaseProgress | None) -> None:
        self._on_progress = on_progress
        self.seconds: dict[str, float] = {}

    def progress_of(self, name: str) -> Progress:
        """The progress of a phase whose time isn't measured."""

        def report(done: int, total: int) -> None:
            if self._on_progress:
                self._on_progress(name, done, total)

        return report

    @contextmanager
    def phase(self, name: str) -> Iterator[Progress]:
        started = time.perf_counter()
        yield self.progress_of(name)
        self.seconds[name] = time.perf_counter() - started
