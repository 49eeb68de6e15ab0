"""Downloads released models into the models folder: resumed after an interruption, checked before they are used."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import ModelError, OutputError
from ...messages import Remedy
from ...progress import Progress
from ...required_packages import importing
from ..names import check_path, first_line
from .digests import file_sha256, store_sha256, stored_sha256
from .hub_http import NETWORK_ERRORS, UnexpectedResponse, check_endpoint, stream
from .models_folder import models_folder
from .registry import KNOWN_MODELS, KnownFile, known_model
from .release_files import missing_release_files, put_files, release_files

PART_SUFFIX = ".part"
LOCK_FILE = ".download.lock"  # in the folder of the file; left there, since removing it would let two in
POLL_SECONDS = 0.2  # seconds between two tries to get the lock
MAX_RETRIES = 5  # in a row that bring nothing, once something came
RETRY_DELAY_SECONDS = 1.0  # before the first of them; twice as long before each further one
TRUTHY_VALUES = ("1", "on", "yes", "true")  # in environment variables, as the hub's own library reads them

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DownloadOptions:
    """Where to, and from where."""

    models_folder: Path | None = None  # None: see models_folder.models_folder
    endpoint: str | None = None  # address of a mirror; None: the environment's HF_ENDPOINT, else the hub itself


def download(name: str, options: DownloadOptions | None = None, on_progress: Progress | None = None) -> Path:
    """Installs a released model with the Whisper and VAE that belong to it; returns the model's folder.

    Files already there and intact are left. `on_progress` counts bytes, each once fetched and once checked.

    Raises:
        ModelError: an unknown name, no network, offline mode, or a file that isn't what was published.
        OutputError: the folder can't be written to, or has no room.
    """
    options = options or DownloadOptions()
    folder = models_folder(options.models_folder)
    _fetch_all(release_files(known_model(name), folder), options.endpoint, on_progress)
    return folder / name


def download_missing(name: str, options: DownloadOptions | None = None, on_progress: Progress | None = None) -> None:
    """Installs what `load_model` lacks for a released model, if anything; files in any known layout are taken as they
    are. `on_progress` and what it raises as in `download`; it isn't called where nothing has to be fetched."""
    options = options or DownloadOptions()
    missing = missing_release_files(known_model(name), models_folder(options.models_folder))
    _fetch_all(missing, options.endpoint, on_progress)


def _fetch_all(files: list[tuple[KnownFile, Path]], endpoint: str | None, on_progress: Progress | None) -> None:
    """Fetches those that aren't there yet; an error names all that are missing then, and where they go."""
    done, total = 0, 2 * sum(file.size for file, _ in files)
    for file, destination in files:

        def report(bytes_done: int, _total: int, before: int = done) -> None:
            if on_progress:
                on_progress(before + bytes_done, total)

        try:
            fetch(file, destination, endpoint, report)
        except ModelError as problem:
            missing = [(other, place) for other, place in files if not place.is_file()]
            by_hand = [put_files(missing)] if missing else []
            raise ModelError(problem.fact, *problem.ways_out, *by_hand) from None
        done += 2 * file.size
        report(2 * file.size, total)


def describe_partial_download(name: str, options: DownloadOptions | None = None) -> str:
    """What a cancelled download of a released model left, for a message; empty where it left nothing."""
    if name not in KNOWN_MODELS:
        return ""
    model_files = release_files(known_model(name), models_folder((options or DownloadOptions()).models_folder))
    installed = [file.path for file, place in model_files if place.is_file()]
    partial_sizes = [(file.path, _size(_partial_path(place))) for file, place in model_files if not place.is_file()]
    parts = [f"{_megabytes(size)} of {path}" for path, size in partial_sizes if size]
    words = [f"{' and '.join(parts)} are kept"] if parts else []
    if installed:
        words.insert(0, f"{', '.join(installed)} {'is' if len(installed) == 1 else 'are'} installed")
    return "; ".join(words)


def fetch(file: KnownFile, destination: Path, endpoint: str | None = None, on_progress: Progress | None = None) -> None:
    """Brings one published file to `destination`, which appears only when its hash is right.

    What an interrupted call has fetched lies beside it under ".part" and is gone on with. Where another process or
    thread is fetching into the same folder, waits for it, and finds the file installed. Raises as `download`.
    """

    def report(done: int) -> None:
        if on_progress:
            on_progress(done, 2 * file.size)

    check_path(destination)
    if _is_installed(file, destination, report):
        return
    address = check_endpoint(endpoint or os.environ.get("HF_ENDPOINT") or _hub_endpoint())
    before = _size_and_mtime(destination)
    part = _partial_path(destination)
    with _folder_lock(destination, lambda: report(_size(part))):
        if _size_and_mtime(destination) != before and _is_installed(file, destination, report):
            return
        _install(file, destination, part, address, report)


def _install(file: KnownFile, destination: Path, part: Path, address: str, report: Callable[[int], None]) -> None:
    bytes_present = _size(part)
    if bytes_present != file.size:
        _check_disk_space(file, part.parent, bytes_present)
        _fetch_part(file, part, address, report)
    if file_sha256(part, lambda done, _: report(file.size + done)) != file.sha256:
        part.unlink()
        raise ModelError(
            f"{file.path} of {file.repository} came with another hash than the published one, {file.sha256[:8]}..., "
            "and was removed.",
            "try again",
            Remedy.USE_MIRROR,
        )
    try:
        os.replace(part, destination)
    except OSError as problem:
        raise _write_error(destination, problem) from None
    store_sha256(destination, file.sha256)


def _fetch_part(file: KnownFile, part: Path, address: str, report: Callable[[int], None]) -> None:
    """Fetches what `part` still lacks; goes on by itself where a connection breaks off that brought something."""
    if any(os.environ.get(name, "").lower() in TRUTHY_VALUES for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")):
        raise ModelError(
            f"{file.path} of {file.repository} is not here, and HF_HUB_OFFLINE forbids fetching it.", "unset it"
        )
    url = f"{address}/{file.repository}/resolve/{file.revision}/{file.path}"
    failed_attempts, made_progress = 0, False
    while True:
        before = _size(part)
        try:
            target = part.open("ab")
        except OSError as problem:
            raise _write_error(part, problem) from None
        try:
            with target:
                if before > file.size:
                    target.truncate(0)
                stream(url, target, target.seek(0, os.SEEK_END), file.size, report)
            return
        except (UnexpectedResponse, *NETWORK_ERRORS) as problem:
            made_progress = made_progress or _size(part) > before
            failed_attempts = 0 if _size(part) > before else failed_attempts + 1
            if (
                isinstance(problem, UnexpectedResponse)
                or not made_progress
                or failed_attempts > MAX_RETRIES
                or _is_disk_error(problem)
            ):
                raise _download_error(file, part, problem) from None
            log.info("%s: %s; trying again", file.path, first_line(problem))
        _pause(RETRY_DELAY_SECONDS * 2**failed_attempts, lambda: report(_size(part)))


def _download_error(file: KnownFile, part: Path, problem: BaseException) -> ModelError | OutputError:
    bytes_present = _size(part)
    left = f"{_megabytes(bytes_present)} of it are kept" if bytes_present else "nothing of it is kept"
    if _is_disk_error(problem):
        return OutputError(f"{part} can't be written ({first_line(problem)}), {left}; free some room.")
    return ModelError(
        f"{file.path} of {file.repository} could not be fetched ({first_line(problem)}), {left}.",
        "try again",
        Remedy.USE_MIRROR,
    )


def _is_disk_error(problem: BaseException) -> bool:
    """Whether a failure is one of writing: no room, or a file that has become too large."""
    return isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS)


def _is_installed(file: KnownFile, destination: Path, report: Callable[[int], None]) -> bool:
    """Whether the file is there and intact; one that was never checked is read through, and noted."""
    try:
        if _size(destination) != file.size:
            return False
        if stored_sha256(destination) == file.sha256:
            return True
        if file_sha256(destination, lambda done, _: report(file.size + done)) != file.sha256:
            return False
    except OSError as problem:
        raise ModelError(f"{destination} can't be read ({problem.strerror}); check its permissions.") from None
    store_sha256(destination, file.sha256)
    return True


@contextlib.contextmanager
def _folder_lock(destination: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """The folder of `destination`, made where it is missing, to one process and thread at a time."""
    from filelock import FileLock, Timeout

    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(str(destination.with_name(LOCK_FILE)))
        while True:
            try:
                lock.acquire(timeout=0)
                break
            except Timeout:
                _pause(POLL_SECONDS, on_wait)
    except NotImplementedError:  # a file system without locks
        lock = contextlib.nullcontext()
    except OSError as problem:
        raise _write_error(destination, problem) from None
    try:
        yield
    finally:
        if isinstance(lock, FileLock):
            lock.release()


def _pause(seconds: float, on_wait: Callable[[], None]) -> None:
    """Waits, calling `on_wait`, which may cancel, several times a second."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        on_wait()
        time.sleep(min(left, POLL_SECONDS))


def _check_disk_space(file: KnownFile, folder: Path, bytes_present: int) -> None:
    free = shutil.disk_usage(folder).free
    missing = file.size - (bytes_present if bytes_present < file.size else 0)
    if free < missing:
        raise OutputError(
            f"{folder} has {free >> 20} MiB free, but {file.path} needs {missing >> 20} more.",
            "free some room",
            Remedy.MOVE_MODELS_FOLDER,
        )


def _hub_endpoint() -> str:
    """The address of the model hub, which its own library knows."""
    with importing("huggingface-hub"):
        from huggingface_hub import constants
    return constants.ENDPOINT


def _partial_path(destination: Path) -> Path:
    return destination.with_name(destination.name + PART_SUFFIX)


def _size(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    return _size_and_mtime(path)[0]


def _size_and_mtime(path: Path) -> tuple[int, int]:
    """Changes when another file takes a file's place."""
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return 0, 0
    return (facts.st_size, facts.st_mtime_ns) if stat.S_ISREG(facts.st_mode) else (0, 0)


def _megabytes(size: int) -> str:
    if size < 1e6:
        return f"{size / 1e3:.0f} KB" if size >= 1e3 else f"{size} bytes"
    return f"{size / 1e6:.0f} MB"


def _write_error(destination: Path, problem: OSError) -> OutputError:
    return OutputError(f"{destination} can't be written ({problem.strerror}).", Remedy.MOVE_MODELS_FOLDER)
