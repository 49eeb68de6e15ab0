"""Progress of a job: the callback, its parts, and what its phases and kinds of work took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

Item = TypeVar("Item")

Progress = Callable[[int, int], None]
"""Called as ``on_progress(done, total)``; whatever it raises cancels the stage at once."""

PhaseProgress = Callable[[str, int, int], None]
"""Called as ``on_progress(phase, done, total)``, phase being model, faces, voice, sampling, compositing or, where the
result is signed, signing; speakers after faces where it is found who speaks, and before all of them clip where a file
has to be decoded to know its frames. Whatever it raises cancels the job and leaves no output file."""

_END = object()  # of an iterator
SPAN_TOTAL = 1000  # the total that a span of a stage's progress is reported against


def span(on_progress: Progress, start: float, stop: float) -> Progress:
    """Progress of one part of a stage, reported as that of the whole stage, of which it takes `start` to `stop`."""

    def report(done: int, total: int) -> None:
        on_progress(round(SPAN_TOTAL * (start + (stop - start) * done / max(total, 1))), SPAN_TOTAL)

    return report


def share_of(on_progress: Progress, number: int, parts: int) -> Progress:
    """The span of part `number`, from 0, of `parts` that take equally long; of a single part its own counts."""
    return on_progress if parts == 1 else span(on_progress, number / parts, (number + 1) / parts)


class WorkMeter:
    """The seconds that kinds of work took, and how much of each was done: what later jobs are estimated from.

    Of work within other work, the inner's time doesn't count as the outer's. Only one thread may measure.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = {}
        self.amounts: dict[str, float] = {}
        self._clock = clock
        self._inner = [0.0]  # seconds of the work within that which is being measured, and within that, ...

    @contextmanager
    def measure(self, kind: str, amount: float) -> Iterator[None]:
        """Adds the block's time and `amount` to `kind`; neither where the block raises."""
        self._inner.append(0.0)
        started, is_done = self._clock(), False
        try:
            yield
            is_done = True
        finally:
            inner, elapsed = self._inner.pop(), self._clock() - started
            self._inner[-1] += elapsed
        if is_done:
            self.seconds[kind] = self.seconds.get(kind, 0.0) + elapsed - inner
            self.count(kind, amount)

    def each(self, kind: str, items: Iterable[Item], amount: float = 1) -> Iterator[Item]:
        """`items`, with the time that each takes to come, and an `amount` each."""
        iterator = iter(items)
        while True:
            with self.measure(kind, 0):
                item = next(iterator, _END)
            if item is _END:
                return
            self.count(kind, amount)
            yield cast(Item, item)

    def count(self, kind: str, amount: float) -> None:
        """Adds `amount` to `kind`, and no time: for what is known only once it is done."""
        self.amounts[kind] = self.amounts.get(kind, 0.0) + amount


class PhaseClock:
    """Adds the phase's name to progress and measures the seconds of every phase."""

    def __init__(self, on_progress: PhaseProgress | None, clock: Callable[[], float] = time.perf_counter) -> None:
        self._on_progress, self._clock = on_progress, clock
        self.seconds: dict[str, float] = {}
        self.reported: set[str] = set()  # phases that had something to do: what is read from a cache reports nothing
        self.work = WorkMeter(clock)

    def progress_of(self, name: str) -> Progress:
        """The progress of a phase whose time isn't measured."""

        def report(done: int, total: int) -> None:
            self.reported.add(name)
            if self._on_progress:
                self._on_progress(name, done, total)

        return report

    @contextmanager
    def phase(self, name: str) -> Iterator[Progress]:
        started = self._clock()
        yield self.progress_of(name)
        self.seconds[name] = self._clock() - started
