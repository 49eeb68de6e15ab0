"""Runs a piece of work in a forked child that can't harm more than itself: its end, memory and time are all watched."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import psutil

from latentsync_core.errors import LatentSyncError

MEMORY = 1_500_000_000  # bytes beyond the parent's, with ffmpeg's
PROCESSOR_SECONDS = 30  # of the child and its ffmpegs together; a busy machine doesn't use them up
WALL_SECONDS = 300
MAX_ADDRESS_SPACE = 32 << 30  # bytes of address space, should memory grow faster than anybody looks
POLL_SECONDS = 0.1  # seconds between two looks
MAX_MESSAGE_LENGTH = 1000  # characters of a refusal


class Outcome(Enum):
    """How reading one input ended."""

    ACCEPTED = "right"
    REFUSED = "refused"  # by a LatentSyncError with one sentence
    RAW_ERROR = "raw error"  # by any other exception
    CRASH = "crash"  # by a signal
    HANG = "hang"
    MEMORY = "memory"

    @property
    def is_harmless(self) -> bool:
        return self in (Outcome.ACCEPTED, Outcome.REFUSED)


@dataclass(frozen=True)
class ChildResult:
    """An outcome, with the sentence or traceback that belongs to it."""

    outcome: Outcome
    message: str
    seconds: float = 0.0  # of wall clock


def run_in_child(work: Callable[[], None]) -> ChildResult:
    """Forks; the child does `work`. Its process group, ffmpeg included, is gone when this returns."""
    started = time.monotonic()
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _in_child(work, writing)
    os.close(writing)
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.setpgid(child, child)  # the child does so too; whoever comes first
    with open(reading, "rb", buffering=0) as pipe:
        exceeded, report = _watch(child, pipe, psutil.Process().memory_info().rss + MEMORY)
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    seconds = time.monotonic() - started
    if exceeded:
        return ChildResult(exceeded, "", seconds)
    if not report:
        number = signal.Signals(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else None
        message = f"exit code {os.WEXITSTATUS(status)}" if number is None else number.name
        return ChildResult(Outcome.HANG if number is signal.SIGXCPU else Outcome.CRASH, message, seconds)
    name, _, message = report.decode("utf-8", "replace").partition("\n")
    return ChildResult(Outcome(name), message, seconds)


def _in_child(work: Callable[[], None], writing: int) -> None:
    """Does the work, writes how it ended, and leaves without any clean-up of the parent's."""
    os.setpgid(0, 0)
    # Should nobody look: beyond the other limit, so that an ffmpeg isn't ended by this one and its refusal believed.
    resource.setrlimit(resource.RLIMIT_CPU, (2 * PROCESSOR_SECONDS, 2 * PROCESSOR_SECONDS + 5))
    with contextlib.suppress(ValueError, OSError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_SPACE, MAX_ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        work()
        report = "right\n"
    except LatentSyncError as refusal:
        report = f"refused\n{refusal}"
        if not str(refusal).isprintable() or len(str(refusal)) > MAX_MESSAGE_LENGTH:
            report = f"raw error\nThe refusal is no single line of a readable length:\n{traceback.format_exc()}"
    except BaseException:
        report = f"raw error\n{traceback.format_exc()}"
    with open(writing, "wb") as pipe:
        pipe.write(report.encode("utf-8", "backslashreplace"))
    os._exit(0)


def _watch(child: int, pipe, most_memory: int) -> tuple[Outcome | None, bytes]:
    """Reads what the child writes until it has ended; what it exceeded, if anything, and what it wrote."""
    process = psutil.Process(child)
    deadline = time.monotonic() + WALL_SECONDS
    report = b""
    while True:
        if select.select([pipe], [], [], POLL_SECONDS)[0]:
            data = pipe.read(1 << 16)
            report += data
            if not data:  # the child's end of the pipe is closed
                return None, report
        memory, seconds = 0, 0.0
        for one in _family(process):
            with contextlib.suppress(psutil.Error):
                memory += one.memory_info().rss
                times = one.cpu_times()
                seconds += times.user + times.system
        with contextlib.suppress(psutil.Error):
            ended = process.cpu_times()
            seconds += ended.children_user + ended.children_system
        if memory > most_memory:
            return Outcome.MEMORY, report
        if seconds > PROCESSOR_SECONDS or time.monotonic() > deadline:
            return Outcome.HANG, report


def _family(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return [process, *process.children(recursive=True)]
    return []
