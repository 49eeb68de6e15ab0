"""Downloads released models into the models folder: resumed after an interruption, checked before they are used."""

from __future__ import annotations

import inspect
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelError, OutputError
from ..required_packages import importing
from ..types import Progress
from .identity import checked_sha256, file_sha256, note_sha256
from .known import VAE_CONFIG, VAE_FOLDER, VAE_WEIGHTS, KnownFile, known_model
from .models_folder import models_folder

PART_SUFFIX = ".part"


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
    model = known_model(name)
    folder = models_folder(options.models_folder)
    wanted = [
        (VAE_CONFIG, folder / VAE_FOLDER / VAE_CONFIG.path),
        (VAE_WEIGHTS, folder / VAE_FOLDER / VAE_WEIGHTS.path),
        (model.whisper, folder / name / model.whisper.path),
        (model.unet, folder / name / model.unet.path),
    ]
    done, total = 0, 2 * sum(file.size for file, _ in wanted)

    for file, destination in wanted:

        def tell(bytes_done: int, _total: int, before: int = done) -> None:
            if on_progress:
                on_progress(before + bytes_done, total)

        fetch(file, destination, options.endpoint, tell)
        done += 2 * file.size
        tell(2 * file.size, total)
    return folder / name


def fetch(file: KnownFile, destination: Path, endpoint: str | None = None, on_progress: Progress | None = None) -> None:
    """Brings one published file to `destination`, which appears only when its hash is right.

    What an interrupted call has fetched lies beside it under ".part" and is gone on with. Raises as `download`.
    """

    def tell(done: int) -> None:
        if on_progress:
            on_progress(done, 2 * file.size)

    def check(path: Path) -> bool:
        return file_sha256(path, lambda done, _: tell(file.size + done)) == file.sha256

    if destination.is_file() and destination.stat().st_size == file.size:
        if checked_sha256(destination) == file.sha256:
            return
        if check(destination):
            note_sha256(destination, file.sha256)
            return
    part = destination.with_name(destination.name + PART_SUFFIX)
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        kept = part.stat().st_size if part.exists() else 0
        free = shutil.disk_usage(part.parent).free
    except OSError as problem:
        raise OutputError(
            f"{destination} can't be written ({problem.strerror}); choose another models folder."
        ) from None
    if free < file.size - kept:
        raise OutputError(
            f"{part.parent} has {free >> 20} MiB free, but {file.path} needs {file.size - kept >> 20} more."
        )
    if kept != file.size:
        _fetch_part(file, part, endpoint, tell)
    if not check(part):
        part.unlink()
        raise ModelError(
            f"{file.path} of {file.repository} came with another hash than the published one, {file.sha256[:8]}..., "
            "and was removed; try again, or use another mirror."
        )
    os.replace(part, destination)
    note_sha256(destination, file.sha256)


def _fetch_part(file: KnownFile, part: Path, endpoint: str | None, tell: Callable[[int], None]) -> None:
    """Fetches what `part` still lacks."""
    with importing("huggingface-hub"):
        from huggingface_hub import constants, hf_hub_url
        from huggingface_hub.errors import HfHubHTTPError
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers

    if constants.HF_HUB_OFFLINE:
        raise ModelError(
            f"{file.path} of {file.repository} is not here and HF_HUB_OFFLINE forbids fetching it; unset it."
        )
    url = hf_hub_url(file.repository, file.path, revision=file.revision, endpoint=endpoint)
    # The newest hub libraries no longer resume between calls by themselves, so the part file is ours. Their own
    # progress bar would come on top of the caller's; older ones can't be told so.
    bar = {"tqdm_class": _no_bar()} if "tqdm_class" in inspect.signature(http_get).parameters else {}
    with _Part(part, tell) as target:
        if target.size > file.size:
            target.truncate(0)
        try:
            http_get(url, target, resume_size=target.size, headers=build_hf_headers(), expected_size=file.size, **bar)
        except (OSError, *HfHubHTTPError.__bases__) as problem:  # the second: whatever HTTP library the hub's uses
            raise ModelError(
                f"{file.path} of {file.repository} could not be fetched ({_first_line(problem)}); what has come is "
                "kept: try again, or use a mirror (--endpoint or HF_ENDPOINT)."
            ) from None


class _Part:
    """The part file as the hub's library sees it: counts what is written, and lets it start over."""

    def __init__(self, path: Path, tell: Callable[[int], None]) -> None:
        self._file = path.open("ab")
        self._file.seek(0, os.SEEK_END)
        self._tell = tell
        self.size = self._file.tell()

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self.size += len(data)
        self._tell(self.size)
        return len(data)

    def tell(self) -> int:
        return self.size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def truncate(self, size: int | None = None) -> int:
        self._file.flush()
        self.size = self._file.truncate(size)
        return self.size

    def flush(self) -> None:
        self._file.flush()

    def __enter__(self) -> _Part:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()


def _no_bar() -> type:
    from tqdm import tqdm

    class Silent(tqdm):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})

    return Silent


def _first_line(problem: BaseException) -> str:
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0].rstrip(".")
