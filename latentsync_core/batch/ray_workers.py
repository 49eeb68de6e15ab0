"""Workers that are Ray actors, here or over a cluster whose machines have the pack installed and share the folders."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import OptionError
from ..required_packages import importing
from .job_list import Job
from .local_workers import FIRST_PHASE, DoJob
from .worklist import JobProgress, Outcome, WorkerDied, WorkerEvent

LOCAL = "local"  # starts a cluster of this machine alone, which ends with the batch
POLL_SECONDS = 1.0  # between two looks at what the actors are at
CANCEL_SECONDS = 20.0  # that a cancelled job has for clearing away what it began


class RayWorkers:
    """One actor per worker, with a GPU each where the cluster has any; a dead one is made again with its next job.

    Args:
        maker: called once in each actor, gives what does the jobs there. It is pickled.
        address: LOCAL, "auto" for the cluster that this machine belongs to, or a cluster's address.
        count: of the actors; None: one for each GPU of the cluster, or a single one.
        threads: processor cores that an actor is given; None: one.

    Raises:
        ToolError: Ray isn't installed, or too old.
        OptionError: there is no cluster at the address, or fewer GPUs in it than workers.
    """

    def __init__(self, maker: Callable[[], DoJob], address: str, count: int | None = None, threads: int | None = None):
        with importing("ray"):
            import ray  # pyright: ignore[reportMissingImports]
        self._ray, self._maker = ray, maker
        try:
            # Its dashboard is a server that nobody here needs.
            local = {"include_dashboard": False} if address == LOCAL else {}
            ray.init(address=address, log_to_driver=True, logging_level="WARNING", **local)
        except (ConnectionError, ValueError) as problem:
            raise OptionError(
                f"There is no Ray cluster at {address!r} ({problem}): start one with `ray start`."
            ) from None
        gpus = int(ray.cluster_resources().get("GPU", 0))
        self.count = count or max(gpus, 1)
        if gpus and self.count > gpus:
            ray.shutdown()
            raise OptionError(
                f"The Ray cluster has {gpus} GPUs, fewer than {self.count} workers: ask for {gpus} workers."
            )
        self._needs = ("GPU", 1) if gpus else ("CPU", threads or 1)  # what an actor takes of the cluster
        self._make_actor = ray.remote(num_cpus=threads or 1, num_gpus=min(gpus, 1), max_concurrency=2)(_Actor).remote
        self._actors: dict[int, Any] = {}
        self._outcomes: dict[Any, int] = {}  # what will hold an outcome → whose
        self._looks: dict[Any, int] = {}  # what will hold a progress → whose
        self._begun: set[int] = set()  # workers whose actor is known to run

    def has_room(self, worker: int) -> bool:
        """Machines may leave the cluster: an actor without a place would keep its job waiting while others are free."""
        return worker in self._actors or len(self._actors) < self._places()

    def submit(self, worker: int, job: Job) -> None:
        if worker not in self._actors:
            self._actors[worker] = self._make_actor(self._maker)
        self._outcomes[self._actors[worker].do.remote(job)] = worker

    def wait(self, timeout: float | None) -> Iterable[tuple[int, WorkerEvent]]:
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            for worker in set(self._outcomes.values()) - set(self._looks.values()):
                self._looks[self._actors[worker].progress.remote()] = worker
            waiting = [*self._outcomes, *self._looks]
            if not waiting:
                time.sleep(timeout or 0)
                return
            done, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=POLL_SECONDS)
            events = [event for one in done if (event := self._event(one)) is not None]
            events += self._displaced()
            if events or (until is not None and time.monotonic() >= until):
                yield from events
                return

    def close(self) -> None:
        for actor in self._actors.values():
            actor.cancel.remote()
        if self._outcomes:
            self._ray.wait(list(self._outcomes), num_returns=len(self._outcomes), timeout=CANCEL_SECONDS)
        self._ray.shutdown()  # which ends the actors
        self._actors.clear()

    def _places(self) -> int:
        """How many actors the machines of the cluster have room for at present."""
        kind, each = self._needs
        return int(self._ray.cluster_resources().get(kind, 0)) // each

    def _displaced(self) -> list[tuple[int, WorkerEvent]]:
        """Actors that wait for a place on a machine that was lost; they are given up, so that their jobs go on."""
        waiting = [worker for worker in set(self._outcomes.values()) if worker not in self._begun]
        events: list[tuple[int, WorkerEvent]] = []
        if waiting and len(self._actors) > max(self._places(), 0):
            for worker in waiting[: len(self._actors) - self._places()]:
                self._ray.kill(self._actors.pop(worker))
                self._outcomes = {one: whose for one, whose in self._outcomes.items() if whose != worker}
                self._looks = {one: whose for one, whose in self._looks.items() if whose != worker}
                events.append((worker, WorkerDied("lost its place in the cluster", has_begun=False)))
        return events

    def _event(self, finished: Any) -> tuple[int, WorkerEvent] | None:
        """What an actor has answered; None where there is nothing new in it."""
        is_outcome = finished in self._outcomes
        if not is_outcome and finished not in self._looks:
            return None  # of an actor that was given up
        worker = (self._outcomes if is_outcome else self._looks).pop(finished)
        try:
            answer = self._ray.get(finished)
        except (self._ray.exceptions.RayActorError, self._ray.exceptions.RayTaskError) as problem:
            if not is_outcome:
                return None  # its job tells
            self._actors.pop(worker, None)
            self._begun.discard(worker)
            return worker, WorkerDied(f"ended ({str(problem).strip().splitlines()[-1]})")
        self._begun.add(worker)
        return None if answer is None else (worker, answer)


class _Actor:
    """Lives in a process of its own; a second thread of it answers while a job runs."""

    def __init__(self, maker: Callable[[], DoJob]) -> None:
        self._do_job = maker()
        self._progress: JobProgress | None = None
        self._cancelled = threading.Event()

    def do(self, job: Job) -> Outcome:
        self._report(FIRST_PHASE, 0, 1)
        return self._do_job(job, self._report)

    def progress(self) -> JobProgress | None:
        """How far the job is; None where it hasn't moved since the last look. Answers after a while."""
        time.sleep(POLL_SECONDS)
        progress, self._progress = self._progress, None
        return progress

    def cancel(self) -> None:
        self._cancelled.set()

    def _report(self, phase: str, done: int, total: int) -> None:
        if self._cancelled.is_set():
            raise KeyboardInterrupt
        self._progress = JobProgress(phase, done, total)
