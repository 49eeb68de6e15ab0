"""Scratch folders for partial output; folders left by killed processes are detected and removed.

A process that ends in good order, by an error, Ctrl-C or SIGTERM too, removes its own. SIGKILL and crashes leave them.
So a scratch folder has a name that nobody else uses, and in it a file that its process keeps locked: the operating
system drops the lock when the process is gone, however it went. A process id in the name would not do: it is used
again, and means nothing in another container or on another machine that shares the folder.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

PREFIX = ".latentsync-dub-part-"
NAME_PATTERN = re.compile(re.escape(PREFIX) + "[0-9a-f]{16}")
LOCK_NAME = "in-use.lock"
STALE_SECONDS = 24 * 3600  # seconds since anything in it changed; guards what runs where locks don't reach

log = logging.getLogger(__name__)


class ScratchFolder:
    """A new folder in `parent`, else in the system's folder for temporary files; gone, with all in it, once closed.

    A `with` block gives its path. Closing is optional: one that nothing refers to any more is closed by itself.

    Raises:
        OSError: it can't be made.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self.path = Path(parent or tempfile.gettempdir()) / f"{PREFIX}{secrets.token_hex(8)}"
        try:
            # What leaves a user's folder for its place there must be as open to others as that folder lets it be.
            self.path.mkdir(mode=0o777 if parent else 0o700)
            self._finalize = weakref.finalize(self, _remove, self.path, _new_lock(self.path / LOCK_NAME))
        except OSError:
            raise
        except BaseException:  # Ctrl-C or SIGTERM at the very moment when it was made
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    def close(self) -> None:
        """Removes the folder. Closing again does nothing."""
        self._finalize()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """A path to write to; it replaces `target` when the block ends without an exception, and is removed otherwise.

    A process that is killed leaves the path's folder; `remove_stale_scratch` in a later run removes it.

    Raises:
        OSError: there is no folder to write to, or `target` can't be replaced.
    """
    with ScratchFolder(target.parent) as folder:
        partial = folder / f"part{target.suffix}"  # short, however long the target's name is
        yield partial
        os.replace(partial, target)


def remove_stale_scratch(*folders: Path | None) -> None:
    """Removes what killed runs left in these folders and in the system's for temporary files.

    That is every scratch folder of this user in which nothing changed for a day and whose process is gone. (Windows
    doesn't tell whose it is: there, those that this user may remove.) One on a file system without locks stays, since
    its process may be alive. Each folder is listed once; failure is only logged; None is passed over.
    """
    for folder in {None, *folders}:  # None: the system's
        try:
            with os.scandir(folder or tempfile.gettempdir()) as entries:
                found = [Path(entry.path) for entry in entries if NAME_PATTERN.fullmatch(entry.name)]
        except (OSError, ValueError) as problem:  # ValueError: a name that no file can have
            log.debug("%s is not searched for leftovers: %s", folder, problem)
            continue
        for path in found:
            try:
                _remove_if_stale(path)
            except OSError as problem:
                log.debug("%s stays: %s", path, problem)


def _remove_if_stale(path: Path) -> None:
    facts = path.lstat()
    is_own = not hasattr(os, "getuid") or facts.st_uid == os.getuid()
    if not stat.S_ISDIR(facts.st_mode) or not is_own or time.time() - _latest_mtime(path) < STALE_SECONDS:
        return
    if not any(path.iterdir()):
        path.rmdir()  # its process was killed before it could make the lock
        return
    lock = _lock(path / LOCK_NAME, os.O_RDWR)
    if lock is not None:
        _remove(path, lock)
        log.info("removed %s, which an earlier run had left", path)


def _latest_mtime(path: Path) -> float:
    """When anything in a folder last changed, in seconds of the system's clock; links are not followed."""
    paths = [path, *(Path(folder, name) for folder, below, files in os.walk(path) for name in (*below, *files))]
    return max(one.lstat().st_mtime for one in paths)


def _new_lock(path: Path) -> int | None:
    """A descriptor of the new file `path`, locked; None, and no file, where the file system has no locks."""
    lock = _lock(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    if lock is None:
        path.unlink(missing_ok=True)
    return lock


def _lock(path: Path, flags: int) -> int | None:
    """A descriptor that holds the lock; None where there is no such file, another process has it, or none is known."""
    try:
        lock = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)
    except OSError:
        return None
    try:
        if fcntl:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
    except OSError:
        os.close(lock)
        return None
    return lock


def _remove(path: Path, lock: int | None) -> None:
    """Removes a folder, its lock last: killed in the middle of it, this process still leaves what a later one knows."""
    try:
        for entry in list(path.iterdir()):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != LOCK_NAME:
                entry.unlink()
    except FileNotFoundError:
        pass  # others removed it
    except OSError as problem:  # a file is in use
        log.warning("%s is left behind: %s", path, problem.strerror or problem)
        return
    finally:
        if lock is not None:
            os.close(lock)  # Windows removes no open file
    shutil.rmtree(path, ignore_errors=True)
