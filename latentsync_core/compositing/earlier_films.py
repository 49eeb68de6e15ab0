"""Which frames an earlier film holds: records in the work folder, so that another take renders its own frames alone."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..files.scratch import atomic_write

SUFFIX = ".film.json"
MAX_RECORD_BYTES = 64 << 20  # bytes; a larger file is none of these records

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FilmRange:
    """Frames start..stop-1 of a film."""

    start: int
    stop: int
    key: str  # a digest of all that these frames' samples and encoding depend on
    occluded: tuple[int, ...] = ()  # the frames in which an object in front of a mouth was left unchanged


def record_film(folder: Path, film: Path, ranges: Sequence[FilmRange]) -> None:
    """Notes in `folder` what the finished `film` holds; a failure is only logged, since the film is there."""
    name = hashlib.sha256(os.fsencode(film.resolve())).hexdigest()[:32]
    try:
        facts = film.stat()
        record = {
            "film": str(film.resolve()),
            "size": facts.st_size,
            "mtime_ns": facts.st_mtime_ns,
            "ranges": [asdict(one) for one in ranges],
        }
        with atomic_write(folder / f"{name}{SUFFIX}") as partial:
            partial.write_text(json.dumps(record), "utf-8")
    except OSError as problem:
        log.warning("what %s holds is not kept for another take: %s", film, problem.strerror or problem)


def find_ranges(folder: Path, keys: Collection[str]) -> dict[str, tuple[Path, FilmRange]]:
    """Where films that are still as they were written hold the ranges of these keys, by key.

    Records of films that are gone or were changed are removed.
    """
    found: dict[str, tuple[Path, FilmRange]] = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        film, ranges = _read(path)
        if film is None:
            path.unlink(missing_ok=True)
            continue
        found.update((one.key, (film, one)) for one in ranges if one.key in keys)
    return found


def _read(path: Path) -> tuple[Path | None, list[FilmRange]]:
    """A record's film and ranges; None where there is no such film any more, or the record is damaged."""
    try:
        if path.stat().st_size > MAX_RECORD_BYTES:
            return None, []
        record = json.loads(path.read_text("utf-8"))
        film = Path(record["film"])
        facts = film.stat()
        if (facts.st_size, facts.st_mtime_ns) != (record["size"], record["mtime_ns"]):
            return None, []
        return film, [
            FilmRange(int(one["start"]), int(one["stop"]), str(one["key"]), tuple(map(int, one["occluded"])))
            for one in record["ranges"]
        ]
    except (OSError, ValueError, TypeError, KeyError):
        return None, []
