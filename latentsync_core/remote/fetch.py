"""Downloads a film, voice or picture from a URL: within limits, resumed, and not again while it is the same."""

from __future__ import annotations

import hashlib
import http.client
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path, PurePosixPath

from ..errors import DownloadError, OutputError, UnavailableError
from ..files.media_suffixes import MEDIA_SUFFIXES
from ..messages import Remedy
from .public_https import Network, Response, Tick, get
from .store import SUFFIX_BY_MEDIA_TYPE, CachedFile, DownloadMetadata, is_date, is_etag, locked
from .url import Url

BLOCK = 1 << 20  # bytes read at once, at most
# And 5xx: statuses that say nothing against a copy kept earlier.
UNAVAILABLE_STATUSES = {401, 403, 404, 408, 410, 425, 429}

Progress = Callable[[int, int], None]  # bytes that came and bytes in all, 0 where the server doesn't say; may cancel


@dataclass(frozen=True)
class DownloadLimits:
    """What one download may take."""

    size: int = 50 * 10**9  # bytes
    total_seconds: float = 12 * 3600.0
    stall_seconds: float = 30.0  # within which `stall_bytes` more must come
    stall_bytes: int = 64 * 1024
    network: Network = field(default_factory=Network)


class _RejectedContentError(DownloadError):
    """What comes is not wanted, so that its beginning needn't be kept."""


class Outcome(Enum):
    """What a download turned out to need."""

    DOWNLOADED = "downloaded"
    RESUMED = "resumed"
    UNCHANGED = "unchanged"  # the copy kept earlier is what the server has
    CACHED = "kept"  # the server is not available; the copy kept earlier stands in


@dataclass(frozen=True)
class DownloadedFile:
    """A file that came from a URL."""

    path: Path
    source: str  # host and file name of the URL
    size: int  # bytes
    sha256: str
    outcome: Outcome
    problem: str = ""  # why the server was not available, where a kept copy stands in


def download_url(
    url: Url, folder: Path, limits: DownloadLimits | None = None, on_progress: Progress | None = None
) -> DownloadedFile:
    """Brings the file at `url` into `folder`; what is there already and unchanged is not fetched again.

    What an interrupted call fetched stays in the folder, and the next call goes on from there if the file on the server
    is still the same. `on_progress` is called several times a second, also while nothing comes.

    Raises:
        DownloadError: refused, not found, a web page, too large, too slow, or cut off.
        OutputError: the folder can't be written to, or has no room.
    """
    tell = on_progress or (lambda done, total: None)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / f"{url.digest}.lock", lambda: tell(0, 0)):
            return _download(url, folder, limits or DownloadLimits(), tell)
    except OSError as problem:  # the network's own are DownloadErrors by now
        raise OutputError(
            f"{url} can't be kept in {folder} ({problem.strerror or problem}).", Remedy.MOVE_WORK_FOLDER
        ) from None


def _download(url: Url, folder: Path, limits: DownloadLimits, tell: Progress) -> DownloadedFile:
    cached = CachedFile.cached(folder, url)
    partial = CachedFile.partial(folder, url)
    try:
        with _request(url, cached, partial, limits.network, lambda: tell(0, 0)) as response:
            if cached is not None and response.status == 304:
                return _downloaded_file(cached, url, Outcome.UNCHANGED)
            start = partial.resumable_bytes() if response.status == 206 else 0
            metadata = _metadata_from(response, url, start, limits)
            if start:  # the same file goes on; its rest may be described with fewer words
                metadata = replace(partial.metadata, source=metadata.source, size=metadata.size)
            room = shutil.disk_usage(folder).free
            needed = (metadata.size or 0) - start
            if needed > room:
                raise OutputError(
                    f"{url} needs {_megabytes(needed)} in {folder}, which has {_megabytes(room)} free.",
                    Remedy.MOVE_WORK_FOLDER,
                )
            partial = replace(partial, metadata=metadata)
            partial.write_metadata()
            try:
                sha256 = _receive(response, partial, start, limits, tell)
            except _RejectedContentError:
                partial.remove()
                raise
    except UnavailableError as problem:
        if cached is None:
            raise
        return replace(_downloaded_file(cached, url, Outcome.CACHED), problem=str(problem))
    if cached and cached.metadata.sha256 == sha256:  # nothing new: found and finished faces stay valid with the file
        replace(
            cached, metadata=replace(cached.metadata, etag=metadata.etag, last_modified=metadata.last_modified)
        ).write_metadata()
        partial.remove()
        return _downloaded_file(cached, url, Outcome.UNCHANGED)
    complete = partial.finalized(sha256)
    if cached and cached.path != complete.path:
        cached.path.unlink(missing_ok=True)
    return _downloaded_file(complete, url, Outcome.RESUMED if start else Outcome.DOWNLOADED)


def _downloaded_file(copy: CachedFile, url: Url, outcome: Outcome) -> DownloadedFile:
    return DownloadedFile(copy.path, str(url), copy.metadata.size or 0, copy.metadata.sha256, outcome)


def _request(url: Url, cached: CachedFile | None, partial: CachedFile, network: Network, tick: Tick) -> Response:
    """An answer with the wanted bytes (200), those that `partial` lacks (206), or 304: `cached` is still right.

    Raises DownloadError for any other status.
    """
    if start := partial.resumable_bytes():
        headers = {"Range": f"bytes={start}-", "If-Range": partial.metadata.strong_validator}
        response = get(url, headers, network, tick)
        if response.status == 200 or (response.status == 206 and _continues(response, partial, start)):
            return response
        response.close()
        if response.status not in (206, 416):
            raise _status_error(url, response.status)
    headers = {}
    if cached and cached.metadata.etag:
        headers = {"If-None-Match": cached.metadata.etag}
    elif cached and cached.metadata.last_modified:
        headers = {"If-Modified-Since": cached.metadata.last_modified}
    response = get(url, headers, network, tick)
    if response.status == 200 or (response.status == 304 and headers):
        return response
    response.close()
    raise _status_error(url, response.status)


def _continues(response: Response, partial: CachedFile, start: int) -> bool:
    """Whether a partial answer is the rest of the same file, from `start` to its end."""
    place = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", response.headers.get("Content-Range", ""))
    etag = _etag(response)
    return (
        place is not None
        and int(place[1]) == start
        and int(place[2]) + 1 == int(place[3]) == (partial.metadata.size or int(place[3]))
        and etag in ("", partial.metadata.etag)
    )


def _status_error(url: Url, status: int) -> DownloadError:
    reason = {
        401: "it asks for a sign-in; use a share link that needs none",
        403: "access is refused, or the link has expired; copy a new one",
        404: "there is no such file; check the URL",
        410: "the file was removed; ask for a new link",
        429: "too many requests; try again later",
    }.get(status, "check the URL, or try again later")
    kind = UnavailableError if status in UNAVAILABLE_STATUSES or status >= 500 else DownloadError
    return kind(f"{url} could not be fetched, the server answered {status}: {reason}.")


def _metadata_from(response: Response, url: Url, start: int, limits: DownloadLimits) -> DownloadMetadata:
    """What the server says of the file. Raises DownloadError where that is reason enough not to fetch it."""
    kind = response.headers.get_content_type() if "Content-Type" in response.headers else ""
    if kind in ("text/html", "application/xhtml+xml"):
        raise _web_page(url)
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding != "identity":
        raise DownloadError(
            f"{url} comes compressed ({encoding[:20]!r}) against our request; download it, give its path."
        )
    lengths = {text.strip() for text in response.headers.get_all("Content-Length", [])}
    size = None
    if lengths and "Transfer-Encoding" not in response.headers:
        length = lengths.pop()
        if lengths or not re.fullmatch(r"[0-9]{1,18}", length):
            raise DownloadError(f"{url} comes with a length that makes no sense; download it and give its path.")
        size = start + int(length)
    if start:
        size = int(response.headers["Content-Range"].rpartition("/")[2])
    if size is not None and size > limits.size:
        raise _too_large(url, limits, f"has {_megabytes(size)}")
    modified = response.headers.get("Last-Modified", "")
    suffix = _suffix(url, response.url, kind, response.headers)
    return DownloadMetadata(str(url), suffix, size, _etag(response), modified if is_date(modified) else "")


def _receive(response: Response, partial: CachedFile, start: int, limits: DownloadLimits, tell: Progress) -> str:
    """Writes the body into the part file from `start` on; returns the SHA-256 of the whole file."""
    total, content = partial.metadata.size, hashlib.sha256()
    if not start:
        partial.path.unlink(missing_ok=True)  # and where it is a link, never what it leads to
    with partial.path.open("r+b" if start else "x+b") as file:
        while block := file.read(min(BLOCK, start - file.tell())):
            content.update(block)
            tell(file.tell(), total or 0)
        file.truncate()
        done, pace = file.tell(), _StallDetector(partial.metadata.source, limits)

        def watch() -> None:
            pace.check(done - start)
            tell(done, total or 0)

        response.watch(watch)
        while total is None or done < total:
            try:
                block = response.read(BLOCK if total is None else min(BLOCK, total - done))
            except (OSError, http.client.HTTPException):
                raise _cut_off(partial.metadata, done) from None
            if not block:
                break
            if not done and block.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
                raise _web_page(partial.metadata.source)
            if done + len(block) > limits.size:
                raise _too_large(partial.metadata.source, limits, "goes on")
            file.write(block)
            content.update(block)
            done += len(block)
            tell(done, total or 0)
    if total is not None and done < total:
        raise _cut_off(partial.metadata, done)
    if not done:
        raise DownloadError(f"{partial.metadata.source} is an empty file; check the URL.")
    return content.hexdigest()


class _StallDetector:
    """Ends a body that comes too slowly, a byte now and then included, or takes too long in all."""

    def __init__(self, source: str, limits: DownloadLimits) -> None:
        self._source, self._limits = source, limits
        self._since = self._started = time.monotonic()
        self._before = 0

    def check(self, received: int) -> None:
        """Takes the bytes received in this call of the server. Raises DownloadError."""
        now, limits = time.monotonic(), self._limits
        if received - self._before >= limits.stall_bytes:
            self._since, self._before = now, received
        elif now - self._since > limits.stall_seconds:
            raise DownloadError(
                f"{self._source} stalled: {received - self._before} bytes came in {limits.stall_seconds:g} s.",
                Remedy.RESUME_DOWNLOAD,
            )
        if now - self._started > limits.total_seconds:
            raise DownloadError(
                f"{self._source} took more than {limits.total_seconds / 3600:g} hours.", Remedy.RESUME_DOWNLOAD
            )


def _suffix(url: Url, final: Url, kind: str, headers: http.client.HTTPMessage) -> str:
    """A harmless suffix: by the URL's file name, the one redirected to, the media type, or the name offered."""
    for name in (url.file_name, final.file_name):
        if (suffix := PurePosixPath(name).suffix.lower()) in MEDIA_SUFFIXES:
            return suffix
    if kind in SUFFIX_BY_MEDIA_TYPE:
        return SUFFIX_BY_MEDIA_TYPE[kind]
    suffix = PurePosixPath(headers.get_filename("")).suffix.lower()
    return suffix if suffix in MEDIA_SUFFIXES else ""


def _etag(response: Response) -> str:
    etag = response.headers.get("ETag", "").strip()
    return etag if is_etag(etag) else ""


def _web_page(source: Url | str) -> DownloadError:
    return _RejectedContentError(f"{source} is a web page, not a media file; give the direct link to the file.")


def _too_large(source: Url | str, limits: DownloadLimits, seen: str) -> DownloadError:
    limit = _megabytes(limits.size)
    return _RejectedContentError(
        f"{source} {seen}, beyond the limit of {limit}.", Remedy.RAISE_DOWNLOAD_LIMIT, "give a file"
    )


def _cut_off(metadata: DownloadMetadata, done: int) -> DownloadError:
    of = "" if metadata.size is None else f" of {_megabytes(metadata.size)}"
    return DownloadError(f"{metadata.source} was cut off after {_megabytes(done)}{of}.", Remedy.RESUME_DOWNLOAD)


def _megabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 10**9 else f"{size / 1e6:.1f} MB"
