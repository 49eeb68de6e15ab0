"""Workers that are processes of this machine, each with a device and a loaded model of its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from ..progress import PhaseProgress
from .job_list import Job
from .worklist import JobProgress, Outcome, WorkerDied, WorkerEvent

if TYPE_CHECKING:
    from multiprocessing.connection import Connection, PipeConnection

    Pipe = Connection | PipeConnection  # the latter on Windows

PROGRESS_SECONDS = 0.2  # between two reports of one job
FIRST_PHASE = "clip"  # reported when a job begins, so that its worker is known to have started
CANCEL_SECONDS = 20.0  # that a cancelled job has for clearing away what it began

DoJob = Callable[[Job, PhaseProgress], Outcome]


@dataclass
class _Worker:
    process: BaseProcess
    connection: Pipe
    has_begun: bool = False  # with the job that it was given last


class LocalWorkers:
    """One process per element of `makers`, started with its first job and again after it died.

    Args:
        makers: each is called in its process, once, and gives what does the jobs there. They are pickled.
    """

    def __init__(self, makers: Sequence[Callable[[], DoJob]]) -> None:
        self.count = len(makers)
        self._makers = makers
        self._workers: dict[int, _Worker] = {}
        # A fresh interpreter: CUDA can't be used in a fork, and a fork would keep the others' pipes open.
        self._context = multiprocessing.get_context("spawn")

    def has_room(self, worker: int) -> bool:
        return True

    def submit(self, worker: int, job: Job) -> None:
        if worker not in self._workers:
            here, there = self._context.Pipe()
            process = self._context.Process(target=_serve, args=(self._makers[worker], there), daemon=True)
            process.start()
            there.close()
            self._workers[worker] = _Worker(process, here)
        with contextlib.suppress(OSError):  # it died without a job: the next wait finds the end of its pipe
            self._workers[worker].has_begun = False
            self._workers[worker].connection.send(job)

    def wait(self, timeout: float | None) -> Iterable[tuple[int, WorkerEvent]]:
        if not self._workers:  # all died
            time.sleep(timeout or 0)
        ready = wait([one.connection for one in self._workers.values()], timeout)
        for worker, one in list(self._workers.items()):
            if one.connection in ready:
                try:
                    event = one.connection.recv()
                except (EOFError, OSError):
                    event = WorkerDied(self._bury(worker), one.has_begun)
                one.has_begun = True
                yield worker, event

    def close(self) -> None:
        for one in self._workers.values():
            one.connection.close()  # which cancels its job, see _serve
        until = time.monotonic() + CANCEL_SECONDS
        for one in self._workers.values():
            one.process.join(max(until - time.monotonic(), 0.1))
            if one.process.is_alive():
                one.process.kill()
                one.process.join()
        self._workers.clear()

    def _bury(self, worker: int) -> str:
        """Forgets a dead worker, and says how it died."""
        dead = self._workers.pop(worker)
        dead.connection.close()
        dead.process.join()
        code = dead.process.exitcode or 0
        return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


class _Gone(KeyboardInterrupt):
    """The batch ended, or closed this worker's pipe: the job is cancelled as by Ctrl-C."""


def _serve(maker: Callable[[], DoJob], connection: Pipe) -> None:
    """A worker's process: does jobs until the pipe is closed, which also happens when the batch is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it through the batch
    do_job = maker()
    try:
        while True:
            try:
                job = connection.recv()
            except (EOFError, OSError):
                return
            report = _Reporter(connection)
            report(FIRST_PHASE, 0, 1)
            connection.send(do_job(job, report))
    except (_Gone, BrokenPipeError, ConnectionResetError):
        return


class _Reporter:
    """Sends a job's progress now and then, and cancels the job once the batch is gone."""

    def __init__(self, connection: Pipe) -> None:
        self._connection = connection
        self._sent = 0.0
        self._phase = ""

    def __call__(self, phase: str, done: int, total: int) -> None:
        now = time.monotonic()
        if phase == self._phase and done < total and now - self._sent < PROGRESS_SECONDS:
            return
        self._sent, self._phase = now, phase
        try:
            if self._connection.poll():  # the batch sends nothing during a job: its end of the pipe is closed
                raise _Gone
            self._connection.send(JobProgress(phase, done, total))
        except OSError:
            raise _Gone from None
