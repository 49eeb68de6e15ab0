"""SHA-256 of model files, stored beside each file so that gigabytes are hashed only once."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path

from ...progress import Progress

BLOCK = 4 * 2**20  # bytes read at once
EDGE_BYTES = 2**20  # bytes of a file's head and tail in its quick digest
SAMPLE_COUNT, SAMPLE_BYTES = 256, 4096  # evenly spread pieces between head and tail: how many, and bytes of each
MAX_SIDECAR_BYTES = 4096  # bytes
SIDECAR_SUFFIX = ".checked.json"

log = logging.getLogger(__name__)


def file_sha256(path: Path, on_progress: Progress | None = None) -> str:
    """Hex SHA-256 of a whole file; `on_progress` counts bytes."""
    total, done, size = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            total.update(block)
            done += len(block)
            if on_progress:
                on_progress(done, size)
    return total.hexdigest()


def quick_digest(path: Path) -> str:
    """Hex digest of a file's size, head, tail and evenly spread samples: tells weights apart without reading them all.

    A file checked before gives its full SHA-256 instead.
    """
    if checked := stored_sha256(path):
        return checked
    size = path.stat().st_size
    total = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= 2 * EDGE_BYTES + SAMPLE_COUNT * SAMPLE_BYTES:
            return file_sha256(path)
        total.update(file.read(EDGE_BYTES))
        for index in range(SAMPLE_COUNT):
            file.seek(EDGE_BYTES + (size - 2 * EDGE_BYTES - SAMPLE_BYTES) * index // SAMPLE_COUNT)
            total.update(file.read(SAMPLE_BYTES))
        file.seek(size - EDGE_BYTES)
        total.update(file.read(EDGE_BYTES))
    return total.hexdigest()


def stored_sha256(path: Path) -> str | None:
    """The SHA-256 noted beside `path`, if the file still has the size and time that it had when it was hashed."""
    try:
        with _sidecar_path(path).open("rb") as file:
            note = json.loads(file.read(MAX_SIDECAR_BYTES))
        facts = path.stat()
        unchanged = note["size"] == facts.st_size and note["mtime_ns"] == facts.st_mtime_ns
        return str(note["sha256"]) if unchanged else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None  # no note, or none that we wrote: the file counts as unchecked


def store_sha256(path: Path, sha256: str) -> None:
    """Notes the SHA-256 beside `path`. A folder that can't be written to only means hashing again next time."""
    facts = path.stat()
    note = {"sha256": sha256, "size": facts.st_size, "mtime_ns": facts.st_mtime_ns}
    part = _sidecar_path(path).with_suffix(".part")
    try:
        part.write_text(json.dumps(note), "utf-8")
        os.replace(part, _sidecar_path(path))
    except OSError as problem:
        log.debug("no note beside %s: %s", path, problem)


def _sidecar_path(path: Path) -> Path:
    return path.with_name(path.name + SIDECAR_SUFFIX)
