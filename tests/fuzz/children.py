"""Runs a piece of work in a forked child that can't harm more than itself: its end, memory and time are all watched."""

from __future__ import annotations

import contextlib
import os
import resource
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
PROCESSOR_SECONDS = 30  # of one process; a busy machine doesn't use them up
WALL_SECONDS = 300
ADDRESSES = 32 << 30  # bytes of address space, should memory grow faster than anybody looks
LOOK = 0.02  # seconds between two looks


class Outcome(Enum):
    """How reading one input ended."""

    RIGHT = "right"
    REFUSED = "refused"  # by a LatentSyncError
    RAW_ERROR = "raw error"  # by any other exception
    CRASH = "crash"  # by a signal
    HANG = "hang"
    MEMORY = "memory"

    @property
    def is_harmless(self) -> bool:
        return self in (Outcome.RIGHT, Outcome.REFUSED)


@dataclass(frozen=True)
class Ending:
    """An outcome, with the sentence or traceback that belongs to it."""

    outcome: Outcome
    words: str


def run_in_child(work: Callable[[], None]) -> Ending:
    """Forks; the child does `work`. Its process group, ffmpeg included, is gone when this returns."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _in_child(work, writing)
    os.close(writing)
    with open(reading, "rb") as pipe:
        limit = psutil.Process().memory_info().rss + MEMORY
        exceeded = _watch(child, limit)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        told = pipe.read().decode("utf-8", "replace")
    if exceeded:
        return Ending(exceeded, "")
    if os.WIFSIGNALED(status):
        number = signal.Signals(os.WTERMSIG(status))
        return Ending(Outcome.HANG if number is signal.SIGXCPU else Outcome.CRASH, number.name)
    name, _, words = told.partition("\n")
    return Ending(Outcome(name), words)


def _in_child(work: Callable[[], None], writing: int) -> None:
    """Does the work, writes how it ended, and leaves without any clean-up of the parent's."""
    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_SECONDS, PROCESSOR_SECONDS + 5))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        work()
        told = "right\n"
    except LatentSyncError as refusal:
        told = f"refused\n{refusal}"
    except BaseException:
        told = f"raw error\n{traceback.format_exc()}"
    os.write(writing, told.encode("utf-8", "backslashreplace")[:60_000])  # what a pipe holds unread
    os._exit(0)


def _watch(child: int, limit: int) -> Outcome | None:
    """Waits for the child to end, its status unread; what it exceeded, if anything."""
    process = psutil.Process(child)
    give_up = time.monotonic() + WALL_SECONDS
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        with contextlib.suppress(psutil.Error):
            family = [process, *process.children(recursive=True)]
            if sum(one.memory_info().rss for one in family) > limit:
                return Outcome.MEMORY
        if time.monotonic() > give_up:
            return Outcome.HANG
        time.sleep(LOOK)
    return None
