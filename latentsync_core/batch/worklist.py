"""Hands jobs to workers, the next one to whoever is free; a job whose worker dies goes back on the list.

A worker may find that a job is long and answer with parts of it. These go on the list in its place, to whoever is free,
and the job itself comes after them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Protocol

from .job_list import Job, JobPart

BUSY_SECONDS = 1.0  # between two attempts at a job that another batch is doing
MAX_ATTEMPTS = 3  # of a job whose worker dies under it, and of starting workers one after the other


class OutcomeKind(str, Enum):
    """What became of a job."""

    FINISHED = "finished"
    SKIPPED = "skipped"  # it was finished before
    FAILED = "failed"
    BUSY = "busy"  # another batch is doing it; it is tried again later
    PARTS = "parts"  # parts of it come first, and then it itself again


@dataclass(frozen=True)
class Outcome:
    """What a worker reports of a job."""

    kind: OutcomeKind
    text: str = ""  # of a failure: one sentence
    seconds: float = 0.0
    report: dict[str, Any] = field(default_factory=dict)
    parts: tuple[JobPart, ...] = ()  # with PARTS


@dataclass(frozen=True)
class JobProgress:
    """How far a worker is with its job."""

    phase: str
    done: int
    total: int


@dataclass(frozen=True)
class WorkerDied:
    """A worker ended on its own, and with it the job that it had."""

    how: str  # "was killed by signal 9"
    has_begun: bool = True  # False: it died while it started, before it began with its job


WorkerEvent = Outcome | JobProgress | WorkerDied


class Workers(Protocol):
    """Who does jobs: processes, or actors of a cluster. Each does one job at a time."""

    count: int

    def has_room(self, worker: int) -> bool:
        """Whether a worker without a job could begin with one: False where a cluster has lost its place for now."""
        ...

    def submit(self, worker: int, job: Job) -> None:
        """Gives a worker without a job a job; starts the worker where it isn't running."""

    def wait(self, timeout: float | None) -> Iterable[tuple[int, WorkerEvent]]:
        """What workers report next, waiting for it `timeout` seconds at most; after an outcome a worker is free."""
        ...

    def close(self) -> None:
        """Ends all workers; jobs in hand are cancelled and leave nothing half written."""


def run_jobs(
    jobs: Iterable[Job], workers: Workers, on_progress: Callable[[Job, JobProgress], None] | None = None
) -> Iterator[tuple[Job, Outcome]]:
    """Yields every job with its outcome, in the order in which they end; the seconds are those of all its parts.

    Longer waits than for a job's own time come from other batches that are doing one of these jobs. Closing the
    iterator ends the workers. `on_progress` may get a part of a job.
    """
    worklist = _Worklist(jobs)
    failed_starts = 0  # of workers, since one last began with a job
    in_hand: dict[int, Job] = {}
    try:
        while worklist.todo or in_hand:
            for worker in range(workers.count):
                if worker not in in_hand and workers.has_room(worker) and (job := worklist.next_ready()):
                    in_hand[worker] = job
                    workers.submit(worker, job)
            for worker, event in workers.wait(BUSY_SECONDS if worklist.todo else None):
                if worker not in in_hand:
                    continue  # it died without a job, and starts again with its next one
                job = in_hand[worker]
                if isinstance(event, JobProgress):
                    failed_starts = 0
                    if on_progress:
                        on_progress(job, event)
                    continue
                del in_hand[worker]
                if isinstance(event, WorkerDied):
                    failed_starts += not event.has_begun
                    attempts = worklist.count_attempt(job) if event.has_begun else 0
                    if max(attempts, failed_starts) < MAX_ATTEMPTS:
                        worklist.todo.appendleft(job)
                        continue
                    event = Outcome(
                        OutcomeKind.FAILED, f"Its worker {event.how}, {MAX_ATTEMPTS} times: see what it printed."
                    )
                yield from worklist.settle(job, event)
    finally:
        workers.close()


@dataclass
class _Parts:
    """A job whose parts come first."""

    job: Job
    left: int  # parts that haven't ended


class _Worklist:
    """The jobs and parts that are to be done."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self.todo = deque(jobs)
        self._busy: dict[Job, float] = {}  # when to try again
        self._attempts: dict[Job, int] = {}  # of jobs whose worker died, and of parts that were done
        self._waiting: dict[int, _Parts] = {}  # job number → what waits for its parts
        self._seconds: dict[int, float] = {}  # job number → of its parts so far

    def next_ready(self) -> Job | None:
        """Takes the first job off the list whose time has come."""
        for _ in range(len(self.todo)):
            if self._busy.get(self.todo[0], 0.0) <= time.monotonic():
                return self.todo.popleft()
            self.todo.rotate(-1)
        return None

    def count_attempt(self, job: Job) -> int:
        self._attempts[job] = self._attempts.get(job, 0) + 1
        return self._attempts[job]

    def settle(self, job: Job, outcome: Outcome) -> Iterator[tuple[Job, Outcome]]:
        """Takes note of how a job or part ended; yields the job that ended with it, if any."""
        number = job.number
        if job.part is not None and number not in self._waiting:
            return  # another part failed, and with it the job
        if outcome.kind is OutcomeKind.BUSY:
            self._busy[job] = time.monotonic() + BUSY_SECONDS
            self.todo.append(job)
            return
        seconds = self._seconds.pop(number, 0.0) + outcome.seconds
        if outcome.kind is OutcomeKind.PARTS and outcome.parts:
            parts = [replace(job, part=part) for part in outcome.parts]
            self._seconds[number] = seconds
            if max(map(self.count_attempt, parts)) <= MAX_ATTEMPTS:
                self._waiting[number] = _Parts(job, len(parts))
                self.todo.extendleft(reversed(parts))
                return
            outcome = Outcome(OutcomeKind.FAILED, "What is done of it in parts is lost again and again.")
        elif job.part is not None and outcome.kind is not OutcomeKind.FAILED:
            self._seconds[number] = seconds
            waiting = self._waiting[number]
            waiting.left -= 1
            if not waiting.left:
                self.todo.appendleft(self._waiting.pop(number).job)
            return
        if job.part is not None:
            self.todo = deque(one for one in self.todo if one.number != number)
            job = self._waiting.pop(number).job
        yield job, replace(outcome, seconds=seconds)
