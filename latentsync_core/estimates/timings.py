"""What kinds of work took in the last runs on this machine, kept in a small file in the user's cache folder.

The file holds no paths, names of files or other facts about the user: kinds of work, amounts and seconds alone. Nothing
depends on it: one that can't be read counts as empty, and what can't be written is left out.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..files.scratch import atomic_write

CACHE_FOLDER_VARIABLE = "LATENTSYNC_CACHE"
FILE_NAME = "timings.json"
VERSION = 1  # of the file and of the meaning of its amounts; another one's file counts as empty
MAX_RUNS = 6  # of a kind of work: older ones say less of the machine as it is
MAX_KINDS = 100  # those that were measured longest ago go first
MAX_BYTES = 200_000  # a larger file isn't ours
LOCK_SECONDS = 2.0  # that are waited for another process

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """Some work of a job, done or to be done."""

    kind: str  # one of `expected_time.SHARES`
    amounts: Mapping[str, float]  # by unit, such as {"frames": 75, "megapixels": 69.1}
    setup: str = ""  # whatever else its time depends on: the device, the network, the codec

    @property
    def key(self) -> str:
        """What runs have in common that are comparable."""
        return f"{self.kind} {self.setup}".strip()


@dataclass(frozen=True)
class Run:
    """One measurement."""

    seconds: float
    amounts: Mapping[str, float] = field(default_factory=dict)


def cache_folder() -> Path:
    """The environment's LATENTSYNC_CACHE, else the user's own folder for caches; it need not exist."""
    if os.environ.get(CACHE_FOLDER_VARIABLE):
        return Path(os.environ[CACHE_FOLDER_VARIABLE])
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData/Local") / "latentsync-dub" / "cache"
    if sys.platform == "darwin":
        return home / "Library/Caches/latentsync-dub"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "latentsync-dub"


def read_timings(folder: Path | None = None) -> dict[str, list[Run]]:
    """The last runs of every kind of work by `Work.key`, the latest last; nothing where the file can't be used."""
    path = (folder or cache_folder()) / FILE_NAME
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES} bytes")
        return _parse(json.loads(data))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as problem:
        log.debug("%s is not used: %s", path, problem)
        return {}


def record_timings(done: Iterable[tuple[Work, float]], folder: Path | None = None) -> None:
    """Adds work that was done, and the seconds that each took. What can't be written is left out and only logged.

    Processes that record at the same time wait for each other; readers see the file before or after, never half of it.
    """
    from filelock import FileLock, Timeout

    runs = [(work.key, Run(seconds, dict(work.amounts))) for work, seconds in done]
    runs = [(key, run) for key, run in runs if _is_usable(run)]
    if not runs:
        return
    folder = folder or cache_folder()
    path = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=LOCK_SECONDS):
            timings = read_timings(folder)
            for key, run in runs:
                timings[key] = [*timings.pop(key, []), run][-MAX_RUNS:]  # as the last one: measured latest
            kept = list(timings.items())[-MAX_KINDS:]
            data = {key: [[run.seconds, dict(run.amounts)] for run in each] for key, each in kept}
            with atomic_write(path) as partial:
                partial.write_text(json.dumps({"version": VERSION, "timings": data}), "utf-8")
    except (OSError, Timeout) as problem:
        log.debug("timings are not kept in %s: %s", folder, problem)


def _parse(data: object) -> dict[str, list[Run]]:
    """The timings that an untrusted file holds. ValueError: it is not such a file."""
    if not isinstance(data, dict) or data.get("version") != VERSION or not isinstance(data.get("timings"), dict):
        raise ValueError("it is of another version, or no file of timings")
    timings = {}
    for key, each in data["timings"].items():
        try:
            runs = [
                Run(float(seconds), {str(unit): float(n) for unit, n in amounts.items()}) for seconds, amounts in each
            ]
        except (TypeError, AttributeError):
            raise ValueError(f"the runs of {key!r} have another form") from None
        if not all(map(_is_usable, runs)):
            raise ValueError(f"a run of {key!r} has numbers that none can have")
        timings[str(key)] = runs[-MAX_RUNS:]
    return timings


def _is_usable(run: Run) -> bool:
    numbers = (run.seconds, *run.amounts.values())
    return all(math.isfinite(number) and number >= 0 for number in numbers) and run.seconds > 0 and any(numbers[1:])
