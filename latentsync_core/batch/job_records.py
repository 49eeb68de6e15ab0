"""What a batch keeps of its jobs: which is being done, which is finished, and from what inputs.

A folder holds one record per result, a small JSON file that is replaced as a whole, and one lock. Several batches, on
several machines too, may share the folder: the operating system gives a lock back when its process is gone.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..files.scratch import atomic_write

FINISHED, STARTED = "finished", "started"


@dataclass(frozen=True)
class JobRecord:
    """The state of one result."""

    state: str  # STARTED or FINISHED
    fingerprint: str  # of all that the result is made from
    output: str = ""  # the file or folder; "" where its name isn't known before the job has ended
    output_facts: list = field(default_factory=list)  # when FINISHED, the result's; when STARTED, of what it replaces
    report: dict[str, Any] = field(default_factory=dict)


class JobRecords:
    """The records in a folder, which is made where it is missing.

    Raises:
        OutputError: the folder can't be made or written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            for name in ("records", "locks", "work"):
                (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise OutputError(f"Can't write to {folder} ({problem.strerror}): choose another folder.") from None

    @contextmanager
    def lock(self, key: str) -> Iterator[bool]:
        """Whether this process has the job `key` to itself, until the block ends; False: another one is doing it."""
        from filelock import FileLock, Timeout

        lock = FileLock(str(self.folder / "locks" / f"{key}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def read(self, key: str) -> JobRecord | None:
        """The record of a job; None where there is none, or none that this version can read."""
        try:
            return JobRecord(**json.loads(self._path(key).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, key: str, record: JobRecord) -> None:
        try:
            with atomic_write(self._path(key)) as partial:
                partial.write_text(json.dumps(asdict(record), default=str), "utf-8")
        except OSError as problem:
            raise OutputError(f"Can't write to {self.folder} ({problem.strerror}): make room there.") from None

    def work_folder(self, key: str) -> Path:
        """Where the job keeps what a later run continues with."""
        return self.folder / "work" / key

    def remove_work(self, key: str) -> None:
        shutil.rmtree(self.work_folder(key), ignore_errors=True)

    def finished(self, key: str, fingerprint: str) -> JobRecord | None:
        """The record of a job whose result is there, unchanged, and made from the same inputs; otherwise None.

        A process that was killed between putting the result in its place and writing that down left a record of having
        started: then the result is another file than the one that was there before.
        """
        record = self.read(key)
        if record is None or record.fingerprint != fingerprint or not record.output:
            return None
        facts = file_facts(Path(record.output))
        if record.state == FINISHED:
            return record if facts == record.output_facts else None
        if not facts or facts == record.output_facts:
            return None
        record = replace(record, state=FINISHED, output_facts=facts)
        self.write(key, record)
        return record

    def _path(self, key: str) -> Path:
        return self.folder / "records" / f"{key}.json"


def job_key(output: Path) -> str:
    """The name of a result's record: two jobs that write the same file share it."""
    return hashlib.sha256(str(output.absolute()).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def fingerprint(settings: Mapping[str, object], inputs: Mapping[str, Path]) -> str:
    """A digest of a job's settings and of its input files: their sizes and times of change."""
    known = {
        "settings": {name: repr(value) for name, value in settings.items()},
        "inputs": {what: [str(path), file_facts(path)] for what, path in inputs.items()},
    }
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()


def file_facts(path: Path) -> list:
    """Size and time of change of a file, or of each file in a folder; empty where there is none."""
    try:
        if path.is_dir():
            return [[file.name, *file_facts(file)] for file in sorted(path.iterdir()) if file.is_file()]
        facts = path.stat()
    except (OSError, ValueError):
        return []
    return [facts.st_size, facts.st_mtime_ns]
