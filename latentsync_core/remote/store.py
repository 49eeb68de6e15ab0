"""Files kept by the URL that they came from: each with a note of what the server said of it, whole or partly there.

In the folder, named by the URL's digest: the file with its suffix and a JSON note; while it is on the way a .part file
with a note of its own; and a lock file, by which two runs wait for one another.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..files.media_suffixes import MEDIA_SUFFIXES
from .url import Url

LOCK_POLL_SECONDS = 0.2
SUFFIX_BY_MEDIA_TYPE = {
    "video/mp4": ".mp4", "video/quicktime": ".mov", "video/x-matroska": ".mkv", "video/webm": ".webm",
    "video/x-msvideo": ".avi", "video/mp2t": ".ts", "video/mpeg": ".mpg", "application/mxf": ".mxf",
    "video/ogg": ".ogv", "video/x-flv": ".flv", "video/x-ms-wmv": ".wmv", "video/3gpp": ".3gp", "video/3gpp2": ".3g2",
    "audio/wav": ".wav", "audio/x-wav": ".wav", "audio/wave": ".wav", "audio/vnd.wave": ".wav", "audio/mpeg": ".mp3",
    "audio/flac": ".flac", "audio/x-flac": ".flac", "audio/mp4": ".m4a", "audio/x-m4a": ".m4a", "audio/aac": ".aac",
    "audio/ogg": ".ogg", "audio/opus": ".opus", "audio/aiff": ".aiff", "audio/x-aiff": ".aiff",
    "audio/x-caf": ".caf", "audio/ac3": ".ac3", "audio/amr": ".amr", "audio/x-ms-wma": ".wma",
    "image/png": ".png", "image/apng": ".apng", "image/jpeg": ".jpg", "image/webp": ".webp", "image/bmp": ".bmp",
    "image/tiff": ".tiff", "image/gif": ".gif", "image/avif": ".avif", "image/heic": ".heic", "image/heif": ".heif",
}  # fmt: skip


@dataclass(frozen=True)
class DownloadMetadata:
    """What the server said of a file, and which bytes came; read back only if it is what we write."""

    source: str = ""
    suffix: str = ""
    size: int | None = None  # bytes
    etag: str = ""
    last_modified: str = ""
    sha256: str = ""  # of the whole file, once it is whole
    mtime_ns: int = 0

    @property
    def strong_validator(self) -> str:
        """What stands for exactly these bytes; empty where nothing does, so that nothing can be resumed."""
        return self.etag if self.etag.startswith('"') else self.last_modified

    @classmethod
    def read(cls, path: Path) -> DownloadMetadata:
        try:
            metadata = cls(**json.loads(path.read_text("utf-8")))
            is_valid = (
                isinstance(metadata.source, str)
                and metadata.suffix in MEDIA_SUFFIXES | {""}
                and (metadata.size is None or type(metadata.size) is int)
                and is_etag(metadata.etag)
                and is_date(metadata.last_modified)
            )
        except (OSError, ValueError, TypeError, RecursionError):
            return cls()  # none, or not one of ours
        return metadata if is_valid else cls()


@dataclass(frozen=True)
class CachedFile:
    """A file in the folder and the note beside it."""

    folder: Path
    digest: str  # of the URL
    metadata: DownloadMetadata
    complete: bool

    @classmethod
    def cached(cls, folder: Path, url: Url) -> CachedFile | None:
        """The whole copy from an earlier call, unless somebody changed it."""
        copy = cls(folder, url.digest, DownloadMetadata.read(folder / f"{url.digest}.json"), complete=True)
        try:
            facts = copy.path.stat()
        except OSError:
            return None
        return copy if (facts.st_size, facts.st_mtime_ns) == (copy.metadata.size, copy.metadata.mtime_ns) else None

    @classmethod
    def partial(cls, folder: Path, url: Url) -> CachedFile:
        return cls(folder, url.digest, DownloadMetadata.read(folder / f"{url.digest}.part.json"), complete=False)

    @property
    def path(self) -> Path:
        return self.folder / f"{self.digest}{self.metadata.suffix if self.complete else '.part'}"

    @property
    def metadata_path(self) -> Path:
        return self.folder / f"{self.digest}{'.json' if self.complete else '.part.json'}"

    def resumable_bytes(self) -> int:
        """How much of the part file the next call can build on; at least one byte is left to ask for."""
        if not self.metadata.strong_validator or self.path.is_symlink() or not self.path.is_file():
            return 0
        size = self.path.stat().st_size
        return size if self.metadata.size is None else max(0, min(size, self.metadata.size - 1))

    def write_metadata(self) -> None:
        new = self.metadata_path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self.metadata)), "utf-8")
        os.replace(new, self.metadata_path)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.metadata_path.unlink(missing_ok=True)

    def finalized(self, sha256: str) -> CachedFile:
        """The part file, now whole, under its own name."""
        facts = self.path.stat()
        complete = replace(
            self,
            complete=True,
            metadata=replace(self.metadata, size=facts.st_size, sha256=sha256, mtime_ns=facts.st_mtime_ns),
        )
        os.replace(self.path, complete.path)
        complete.write_metadata()
        self.remove()
        return complete


@contextmanager
def locked(path: Path, tick: Callable[[], None]) -> Iterator[None]:
    """Waits until no other run downloads the same URL into the same folder; `tick` may cancel."""
    from filelock import FileLock, Timeout

    lock = FileLock(str(path))
    while not lock.is_locked:
        tick()
        try:
            lock.acquire(timeout=LOCK_POLL_SECONDS)
        except Timeout:
            continue
    try:
        yield
    finally:
        lock.release()


def is_etag(text: str) -> bool:
    """Whether a tag can be sent back as it is; a header's value may hold line breaks."""
    return re.fullmatch(r'(?:(?:W/)?"[\x21\x23-\x7e]{0,200}")?', text) is not None


def is_date(text: str) -> bool:
    """Whether a Last-Modified header can be sent back as it is."""
    return re.fullmatch(r"(?:[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT)?", text) is not None
