"""Makes copies of filmed clips that the page can play, one at a time, in our folder below ComfyUI's temp folder."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ..latentsync_core.compositing.comparing.filmed_copy import write_filmed_copy
from ..latentsync_core.errors import VideoError
from ._comfy import pack_temp_folder
from ._comparisons import Comparison

ABANDONED_SECONDS = 15  # since the page last asked for a copy, after which it isn't finished
FRAMES_GONE = "The clip's frames are no longer in memory; run this node again."


class AbandonedError(Exception):
    """No page waits for the copy any more."""


@dataclass
class CopyJob:
    """A copy that is being made."""

    asked_at: float  # on the monotonic clock
    done: int = 0
    total: int = 1
    ended: Future[None] = field(default_factory=Future)


class FilmedCopies:
    """The copies, each made when a page first asks for it, and kept as long as ComfyUI keeps its temp folder."""

    def __init__(self) -> None:
        self._jobs: dict[Path, CopyJob] = {}
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, "latentsync-filmed")  # its thread starts when used

    def path(self, comparison: Comparison) -> Path:
        """Where the copy is, or will be."""
        return pack_temp_folder("filmed") / comparison.copy_name()

    def ask(self, comparison: Comparison) -> CopyJob | None:
        """Has the copy made unless it is there: None once it is, until then how far it is.

        Raises:
            LatentSyncError: it couldn't be made. Asking again tries again.
        """
        path = self.path(comparison)
        with self._lock:
            job = self._jobs.get(path)
            if job is not None and job.ended.done():
                del self._jobs[path]
                error = job.ended.exception()
                if error is not None and not isinstance(error, AbandonedError):
                    raise error
                job = None
            if job is None:
                if path.is_file():
                    return None
                job = self._jobs[path] = CopyJob(time.monotonic())
                job.ended = self._worker.submit(_make, comparison, path, job)
            job.asked_at = time.monotonic()
            return job


def _make(comparison: Comparison, path: Path, job: CopyJob) -> None:
    def on_progress(done: int, total: int) -> None:
        job.done, job.total = done, total
        if time.monotonic() - job.asked_at > ABANDONED_SECONDS:
            raise AbandonedError

    on_progress(0, 1)
    clips = comparison.filmed_clips()
    if clips is None:
        raise VideoError(FRAMES_GONE)
    source_index, pts = comparison.source_index, comparison.pts
    write_filmed_copy(*clips, source_index, pts, path, comparison.max_height, on_progress)
