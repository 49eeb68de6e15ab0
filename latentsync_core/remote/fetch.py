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
from .public_https import Answer, Network, Tick, get
from .store import SUFFIX_OF_TYPE, SUFFIXES, Copy, Note, is_date, is_etag, locked
from .url import Url

BLOCK = 1 << 20  # bytes read at once, at most
UNAVAILABLE = {401, 403, 404, 408, 410, 425, 429}  # and 5xx: statuses that say nothing against a copy kept earlier
GO_ON = "run the command again; with a --work-folder, the next run goes on where one was cut off"

Progress = Callable[[int, int], None]  # bytes that came and bytes in all, 0 where the server doesn't say; may cancel


@dataclass(frozen=True)
class DownloadLimits:
    """What one download may take."""

    size: int = 50 * 10**9  # bytes
    total_seconds: float = 12 * 3600.0
    stall_seconds: float = 30.0  # within which `stall_bytes` more must come
    stall_bytes: int = 64 * 1024
    network: Network = field(default_factory=Network)


class _UnwantedError(DownloadError):
    """What comes is not wanted, so that its beginning needn't be kept."""


class Outcome(Enum):
    """What a download turned out to need."""

    DOWNLOADED = "downloaded"
    RESUMED = "resumed"
    UNCHANGED = "unchanged"  # the copy kept earlier is what the server has
    KEPT = "kept"  # the server is not available; the copy kept earlier stands in


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
            f"{url} can't be kept in {folder} ({problem.strerror or problem}); choose another --work-folder."
        ) from None


def _download(url: Url, folder: Path, limits: DownloadLimits, tell: Progress) -> DownloadedFile:
    kept = Copy.kept(folder, url)
    part = Copy.part(folder, url)
    try:
        with _ask(url, kept, part, limits.network, lambda: tell(0, 0)) as answer:
            if answer.status == 304:
                return _file(kept, url, Outcome.UNCHANGED)
            start = part.resumable_bytes() if answer.status == 206 else 0
            note = _note_of(answer, url, start, limits)
            if start:  # the same file goes on; its rest may be described with fewer words
                note = replace(part.note, source=note.source, size=note.size)
            room = shutil.disk_usage(folder).free
            if (note.size or 0) - start > room:
                raise OutputError(
                    f"{url} needs {_megabytes(note.size - start)} in {folder}, which has {_megabytes(room)} free; "
                    "choose another --work-folder."
                )
            part = replace(part, note=note)
            part.write_note()
            try:
                sha256 = _receive(answer, part, start, limits, tell)
            except _UnwantedError:
                part.remove()
                raise
    except UnavailableError as problem:
        if kept is None:
            raise
        return replace(_file(kept, url, Outcome.KEPT), problem=str(problem))
    if kept and kept.note.sha256 == sha256:  # nothing new: found and finished faces stay valid with the file
        replace(kept, note=replace(kept.note, etag=note.etag, last_modified=note.last_modified)).write_note()
        part.remove()
        return _file(kept, url, Outcome.UNCHANGED)
    whole = part.completed(sha256)
    if kept and kept.path != whole.path:
        kept.path.unlink(missing_ok=True)
    return _file(whole, url, Outcome.RESUMED if start else Outcome.DOWNLOADED)


def _file(copy: Copy, url: Url, outcome: Outcome) -> DownloadedFile:
    return DownloadedFile(copy.path, str(url), copy.note.size or 0, copy.note.sha256, outcome)


def _ask(url: Url, kept: Copy | None, part: Copy, network: Network, tick: Tick) -> Answer:
    """An answer with the wanted bytes (200), those that `part` lacks (206), or 304: `kept` is still right.

    Raises DownloadError for any other status.
    """
    if start := part.resumable_bytes():
        headers = {"Range": f"bytes={start}-", "If-Range": part.note.strong_validator}
        answer = get(url, headers, network, tick)
        if answer.status == 200 or (answer.status == 206 and _continues(answer, part, start)):
            return answer
        answer.close()
        if answer.status not in (206, 416):
            raise _refusal(url, answer.status)
    headers = {}
    if kept and kept.note.etag:
        headers = {"If-None-Match": kept.note.etag}
    elif kept and kept.note.last_modified:
        headers = {"If-Modified-Since": kept.note.last_modified}
    answer = get(url, headers, network, tick)
    if answer.status == 200 or (answer.status == 304 and headers):
        return answer
    answer.close()
    raise _refusal(url, answer.status)


def _continues(answer: Answer, part: Copy, start: int) -> bool:
    """Whether a partial answer is the rest of the same file, from `start` to its end."""
    place = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", answer.headers.get("Content-Range", ""))
    etag = _etag(answer)
    return (
        place is not None
        and int(place[1]) == start
        and int(place[2]) + 1 == int(place[3]) == (part.note.size or int(place[3]))
        and etag in ("", part.note.etag)
    )


def _refusal(url: Url, status: int) -> DownloadError:
    reason = {
        401: "it asks for a sign-in; use a share link that needs none",
        403: "access is refused, or the link has expired; copy a new one",
        404: "there is no such file; check the URL",
        410: "the file was removed; ask for a new link",
        429: "too many requests; try again later",
    }.get(status, "check the URL, or try again later")
    kind = UnavailableError if status in UNAVAILABLE or status >= 500 else DownloadError
    return kind(f"{url} could not be fetched, the server answered {status}: {reason}.")


def _note_of(answer: Answer, url: Url, start: int, limits: DownloadLimits) -> Note:
    """What the server says of the file. Raises DownloadError where that is reason enough not to fetch it."""
    kind = answer.headers.get_content_type() if "Content-Type" in answer.headers else ""
    if kind in ("text/html", "application/xhtml+xml"):
        raise _web_page(url)
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding != "identity":
        raise DownloadError(
            f"{url} comes compressed ({encoding[:20]!r}) against our request; download it, give its path."
        )
    lengths = {text.strip() for text in answer.headers.get_all("Content-Length", [])}
    size = None
    if lengths and "Transfer-Encoding" not in answer.headers:
        length = lengths.pop()
        if lengths or not re.fullmatch(r"[0-9]{1,18}", length):
            raise DownloadError(f"{url} comes with a length that makes no sense; download it and give its path.")
        size = start + int(length)
    if start:
        size = int(answer.headers["Content-Range"].rpartition("/")[2])
    if (size or 0) > limits.size:
        raise _too_large(url, limits, f"has {_megabytes(size)}")
    modified = answer.headers.get("Last-Modified", "")
    suffix = _suffix(url, answer.url, kind, answer.headers)
    return Note(str(url), suffix, size, _etag(answer), modified if is_date(modified) else "")


def _receive(answer: Answer, part: Copy, start: int, limits: DownloadLimits, tell: Progress) -> str:
    """Writes the body into the part file from `start` on; returns the SHA-256 of the whole file."""
    total, content = part.note.size, hashlib.sha256()
    if not start:
        part.path.unlink(missing_ok=True)  # and where it is a link, never what it leads to
    with part.path.open("r+b" if start else "x+b") as file:
        while block := file.read(min(BLOCK, start - file.tell())):
            content.update(block)
            tell(file.tell(), total or 0)
        file.truncate()
        done, pace = file.tell(), _Pace(part.note.source, limits)

        def watch() -> None:
            pace.check(done - start)
            tell(done, total or 0)

        answer.watch(watch)
        while total is None or done < total:
            try:
                block = answer.read(BLOCK if total is None else min(BLOCK, total - done))
            except (OSError, http.client.HTTPException):
                raise _cut_off(part.note, done) from None
            if not block:
                break
            if not done and block.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
                raise _web_page(part.note.source)
            if done + len(block) > limits.size:
                raise _too_large(part.note.source, limits, "goes on")
            file.write(block)
            content.update(block)
            done += len(block)
            tell(done, total or 0)
    if total is not None and done < total:
        raise _cut_off(part.note, done)
    if not done:
        raise DownloadError(f"{part.note.source} is an empty file; check the URL.")
    return content.hexdigest()


class _Pace:
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
                f"{self._source} stalled: {received - self._before} bytes came in {limits.stall_seconds:g} s; {GO_ON}."
            )
        if now - self._started > limits.total_seconds:
            raise DownloadError(f"{self._source} took more than {limits.total_seconds / 3600:g} hours; {GO_ON}.")


def _suffix(url: Url, final: Url, kind: str, headers: http.client.HTTPMessage) -> str:
    """A harmless suffix: by the URL's file name, the one redirected to, the media type, or the name offered."""
    for name in (url.file_name, final.file_name):
        if (suffix := PurePosixPath(name).suffix.lower()) in SUFFIXES:
            return suffix
    if kind in SUFFIX_OF_TYPE:
        return SUFFIX_OF_TYPE[kind]
    suffix = PurePosixPath(headers.get_filename("")).suffix.lower()
    return suffix if suffix in SUFFIXES else ""


def _etag(answer: Answer) -> str:
    etag = answer.headers.get("ETag", "").strip()
    return etag if is_etag(etag) else ""


def _web_page(source: Url | str) -> DownloadError:
    return _UnwantedError(f"{source} is a web page, not a media file; give the direct link to the file.")


def _too_large(source: Url | str, limits: DownloadLimits, seen: str) -> DownloadError:
    limit = _megabytes(limits.size)
    return _UnwantedError(f"{source} {seen}, beyond the limit of {limit}; raise --download-limit, or give a file.")


def _cut_off(note: Note, done: int) -> DownloadError:
    of = "" if note.size is None else f" of {_megabytes(note.size)}"
    return DownloadError(f"{note.source} was cut off after {_megabytes(done)}{of}; {GO_ON}.")


def _megabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 10**9 else f"{size / 1e6:.1f} MB"
