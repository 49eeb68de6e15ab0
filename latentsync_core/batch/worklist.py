"""Hands jobs to workers, the next one to whoever is free; a job whose worker dies goes back on the list."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from .job_list import Job

BUSY_SECONDS = 1.0  # between two attempts at a job that another batch is doing
MAX_ATTEMPTS = 3  # of a job whose worker dies under it, and of starting workers one after the other


class OutcomeKind(str, Enum):
    """What became of a job."""

    FINISHED = "finished"
    SKIPPED = "skipped"  # it was finished before
    FAILED = "failed"
    BUSY = "busy"  # another batch is doing it; it is tried again later


@dataclass(frozen=True)
class Outcome:
    """What a worker reports of a job."""

    kind: OutcomeKind
    text: str = ""  # of a failure: one sentence
    seconds: float = 0.0
    report: dict[str, Any] = field(default_factory=dict)


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
    """Yields every job with its outcome, in the order in which they end.

    Longer waits than for a job's own time come from other batches that are doing one of these jobs. Closing the
    iterator ends the workers.
    """
    todo = deque(jobs)
    attempts: dict[int, int] = {}
    failed_starts = 0  # of workers, since one last began with a job
    busy: dict[int, float] = {}  # job number → when to try again
    in_hand: dict[int, Job] = {}
    try:
        while todo or in_hand:
            for worker in range(workers.count):
                if worker not in in_hand and (job := _next_ready(todo, busy)):
                    in_hand[worker] = job
                    workers.submit(worker, job)
            for worker, event in workers.wait(BUSY_SECONDS if todo else None):
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
                    attempts[job.number] = attempts.get(job.number, 0) + event.has_begun
                    if max(attempts[job.number], failed_starts) < MAX_ATTEMPTS:
                        todo.appendleft(job)
                        continue
                    event = Outcome(
                        OutcomeKind.FAILED, f"Its worker {event.how}, {MAX_ATTEMPTS} times: see what it printed."
                    )
                if event.kind is OutcomeKind.BUSY:
                    busy[job.number] = time.monotonic() + BUSY_SECONDS
                    todo.append(job)
                    continue
                yield job, event
    finally:
        workers.close()


def _next_ready(todo: deque[Job], busy: dict[int, float]) -> Job | None:
    """Takes the first job off the list whose time has come."""
    for _ in range(len(todo)):
        if busy.get(todo[0].number, 0.0) <= time.monotonic():
            return todo.popleft()
        todo.rotate(-1)
    return None
