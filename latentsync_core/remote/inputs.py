"""URLs among a command's inputs: all are checked, then fetched, and files take their place before work begins."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..errors import DownloadError
from ..files.scratch import ScratchFolder
from .fetch import DownloadedFile, DownloadLimits, download_url
from .public_https import Network
from .url import Url, looks_like_url

URL_OPTIONS = ("video", "audio", "mux_audio", "original_audio", "face", "speaker")  # arguments in which URLs may stand
DOWNLOAD_FOLDER = "downloads"  # in the work folder


@dataclasses.dataclass(frozen=True)
class UrlArgument:
    """An argument that is a URL of some kind, which may turn out to be refused."""

    text: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class FetchedInput:
    """A file that stands for a URL while a command runs, and after it where there is a work folder."""

    file: DownloadedFile
    is_persistent: bool

    @property
    def data(self) -> dict:
        """For a JSON report."""
        return {
            "source": self.file.source,
            "outcome": self.file.outcome.value,
            "bytes": self.file.size,
            "sha256": self.file.sha256,
            "file": str(self.file.path) if self.is_persistent else None,
            "problem": self.file.problem or None,
        }

    def __str__(self) -> str:
        problem = f"; the copy kept earlier was used, since {self.file.problem}" if self.file.problem else ""
        return f"{self.file.source}: {self.file.outcome.value}, {self.file.size / 1e6:.1f} MB{problem}"


def media_argument(text: str) -> Path | UrlArgument:
    """An argument that names a media file: a URL stays a URL, where a Path would make one slash of two."""
    return UrlArgument(text) if looks_like_url(text) else Path(text)


def local_path(text: str) -> Path:
    """An argument that names a file or folder here. Raises argparse.ArgumentTypeError for a URL."""
    return Path(reject_url(text))


def reject_url(text: str) -> str:
    """The argument as it is. Raises argparse.ArgumentTypeError for a URL."""
    if looks_like_url(text):
        raise argparse.ArgumentTypeError(
            "this can't be a URL: only videos, voices and pictures are fetched; give a path"
        )
    return text


@contextmanager
def fetch_url_inputs(
    options: argparse.Namespace, on_progress: Callable[[str, int, int], None]
) -> Iterator[list[FetchedInput]]:
    """Fetches every URL in `options` and puts the file's path in its place; yields what was fetched.

    Files come into `options.work_folder`, else into a folder that goes when the context ends. Progress is reported in
    bytes as phase "download", and "download 2" ... for further files.

    Raises:
        DownloadError, OutputError: see fetch.download_url; before anything is fetched if a URL is refused.
    """
    urls: dict[UrlArgument, Url] = {}
    for name in URL_OPTIONS:
        for value in _urls_in(getattr(options, name, None)):
            try:
                urls[value] = Url.parse(value.text)
            except DownloadError as problem:
                raise DownloadError(f"{name.replace('_', '-')}: {problem}.") from None
    if not urls:
        yield []
        return
    limits = DownloadLimits(size=round(options.download_limit * 1e9), network=options.network or Network())
    work_folder = getattr(options, "work_folder", None)
    with ExitStack() as cleanup:
        folder = work_folder / DOWNLOAD_FOLDER if work_folder is not None else cleanup.enter_context(ScratchFolder())
        files: dict[Url, DownloadedFile] = {}
        for number, url in enumerate(dict.fromkeys(urls.values()), 1):
            phase = "download" if number == 1 else f"download {number}"
            files[url] = download_url(
                url, folder, limits, lambda done, total, phase=phase: on_progress(phase, done, total)
            )
        for name in URL_OPTIONS:
            if hasattr(options, name):
                setattr(options, name, _replace_urls(getattr(options, name), lambda text: files[urls[text]].path))
        yield [FetchedInput(file, work_folder is not None) for file in files.values()]


def _urls_in(value: object) -> list[UrlArgument]:
    found: list[UrlArgument] = []
    _replace_urls(value, found.append)
    return found


def _replace_urls(value, file_of: Callable[[UrlArgument], object]):
    """`value`, be it an argument, a speaker with voice and picture, or several, with `file_of` applied to its URLs."""
    if isinstance(value, UrlArgument):
        return file_of(value)
    if isinstance(value, list):
        return [_replace_urls(one, file_of) for one in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        media = {name: _replace_urls(getattr(value, name), file_of) for name in ("audio", "picture")}
        return dataclasses.replace(value, **media)
    return value
