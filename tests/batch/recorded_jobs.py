"""Jobs for tests of worklists: each writes down that it ran, and some kill their process."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from latentsync_core.batch.job_list import Job, JobPart
from latentsync_core.batch.local_workers import DoJob
from latentsync_core.batch.worklist import Outcome, OutcomeKind
from latentsync_core.progress import PhaseProgress

POLL_SECONDS = 0.01
PARTS = tuple(JobPart("reading", first, first + 10) for first in (0, 10, 20))


BATCH = """
import sys
from pathlib import Path
from latentsync_core.batch.local_workers import LocalWorkers
from latentsync_core.batch.worklist import run_jobs
from tests.batch.recorded_jobs import Maker, job
if __name__ == "__main__":
    maker = Maker(Path(sys.argv[1]))
    for ended, _ in run_jobs([job(1, "wait")], LocalWorkers([maker]), lambda *_: print("running", flush=True)):
        print(ended)
"""


def job(number: int, what: str = "run") -> Job:
    return Job(number, (("what", what),))


@dataclass(frozen=True)
class Maker:
    """Makes what does a job: it appends a line to a file, and then does what the job's setting says."""

    folder: Path

    def __call__(self) -> DoJob:
        return self.do

    def do(self, job: Job, on_progress: PhaseProgress) -> Outcome:
        name = f"{job.number}" if job.part is None else f"{job.number}-{job.part.name}"
        with (self.folder / f"{name}.runs").open("a") as runs:
            runs.write(f"{os.getpid()}\n")
        what = dict(job.settings)["what"]
        if what.startswith("parts"):
            return self._in_parts(job, what, len((self.folder / f"{name}.runs").read_text().splitlines()))
        if what == "die" or (what == "die once" and self.runs(job.number) == 1):
            os.kill(os.getpid(), signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
        if what == "fail":
            return Outcome(OutcomeKind.FAILED, "no such file")
        if what == "busy once" and self.runs(job.number) == 1:
            return Outcome(OutcomeKind.BUSY)
        if what == "wait":
            try:
                while True:
                    time.sleep(POLL_SECONDS)
                    on_progress("sampling", 1, 2)
            finally:
                (self.folder / f"{job.number}.cancelled").touch()
        on_progress("sampling", 2, 2)
        return Outcome(OutcomeKind.FINISHED, report={"process": os.getpid()})

    def _in_parts(self, job: Job, what: str, run: int) -> Outcome:
        """A job of three parts: all of them come before it itself; one of them may die, fail, or be lost always."""
        missing = [part for part in PARTS if not (self.folder / f"{job.number}-{part.name}.done").exists()]
        if job.part is None:
            if missing:
                return Outcome(OutcomeKind.PARTS, seconds=1.0, parts=tuple(missing))
            return Outcome(OutcomeKind.FINISHED, seconds=1.0)
        if job.part == PARTS[1]:
            if what == "parts, one dies" and run == 1:
                os.kill(os.getpid(), signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
            if what == "parts, one fails":
                return Outcome(OutcomeKind.FAILED, "no such frame")
            if what == "parts, one is busy" and run == 1:
                return Outcome(OutcomeKind.BUSY)
            if what == "parts, one is lost":
                return Outcome(OutcomeKind.FINISHED)
        (self.folder / f"{job.number}-{job.part.name}.done").touch()
        return Outcome(OutcomeKind.FINISHED, seconds=1.0)

    def runs(self, number: int | str) -> int:
        return len((self.folder / f"{number}.runs").read_text().splitlines())
