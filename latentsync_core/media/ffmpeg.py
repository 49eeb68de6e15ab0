"""Runs imageio-ffmpeg's ffmpeg: found and checked once, called without a shell, its errors reported."""

from __future__ import annotations

import functools
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from io import BufferedReader
from types import TracebackType
from typing import cast

from ..errors import LatentSyncError, ToolError
from ..required_packages import command, importing

MIN_VERSION = 7  # major; the first whose frame-rate options are the ones used here
MIN_LIBAVUTIL = 59  # major, of ffmpeg 7.0: tells the age of builds whose version is a commit ("N-118000-g...")
QUIET = ("-hide_banner", "-nostdin", "-loglevel", "error")
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # Windows would flash a console at every call


@functools.cache
def ffmpeg_executable() -> str:
    """The path of imageio-ffmpeg's ffmpeg, or of the one that the variable IMAGEIO_FFMPEG_EXE names.

    Raises:
        ToolError: there is none, it does not run, or it is older than ffmpeg 7.
    """
    with importing("imageio-ffmpeg", any_version=True):  # what counts is the version of the ffmpeg that it finds
        import imageio_ffmpeg

    try:
        path = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as problem:
        raise ToolError(f"No ffmpeg was found ({problem}); to install one, run: {command('imageio-ffmpeg')}") from None
    try:
        shown = subprocess.run([path, "-version"], capture_output=True, check=True, creationflags=_NO_WINDOW)
    except (OSError, subprocess.CalledProcessError) as problem:
        raise ToolError(f"The ffmpeg at {path} does not run ({problem}): reinstall imageio-ffmpeg.") from None
    check_version(shown.stdout.decode("utf-8", "replace"), path)
    return path


def check_version(text: str, path: str) -> None:
    """Raises ToolError where `text`, the output of ``ffmpeg -version``, is that of an ffmpeg older than 7."""
    version = re.search(r"ffmpeg version (\S+)", text)
    release = re.match(r"n?(\d+)\.", version.group(1)) if version else None
    library = re.search(r"libavutil\s+(\d+)\.", text)
    if release:
        is_supported = int(release.group(1)) >= MIN_VERSION
    else:
        is_supported = bool(library) and int(library.group(1)) >= MIN_LIBAVUTIL
    if not is_supported:
        raise ToolError(
            f"ffmpeg {version.group(1) if version else 'of unknown version'} at {path} is too old, version "
            f"{MIN_VERSION} or newer is needed; to install one, run: {command('imageio-ffmpeg')}"
        )


def run_ffmpeg(args: Sequence[str], *, error: type[LatentSyncError], what: str, input: bytes | None = None) -> bytes:
    """Runs ffmpeg with `args` (quiet, never asking) and returns what it wrote to its standard output.

    Args:
        args: everything after the program's name, one string an argument.
        error: the class to raise when ffmpeg fails.
        what: the start of that error's sentence, such as "Can't read clip.mp4".
        input: bytes for its standard input ("pipe:0").
    """
    command = [ffmpeg_executable(), *QUIET, *args]
    stdin = subprocess.DEVNULL if input is None else None
    done = subprocess.run(command, stdin=stdin, input=input, capture_output=True, check=False, creationflags=_NO_WINDOW)
    if done.returncode:
        raise error(f"{what}: {first_error_line(done.stderr, done.returncode)}.")
    return done.stdout


class FfmpegStream:
    """A running ffmpeg whose standard output is read piece by piece; leaving the `with` block ends it at once.

    Raises `error` from `finish` (call it when the output has ended) where ffmpeg's exit code is not 0.
    """

    def __init__(self, args: Sequence[str], *, error: type[LatentSyncError], what: str) -> None:
        self._command = [ffmpeg_executable(), *QUIET, *args]
        self._error, self._what = error, what

    def __enter__(self) -> FfmpegStream:
        self._messages = tempfile.TemporaryFile()  # a pipe that nobody reads could block ffmpeg
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            creationflags=_NO_WINDOW,
        )
        self._output = cast(BufferedReader, self._process.stdout)  # there, since it was asked for with PIPE
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._output.close()
        self._process.wait()
        self._messages.close()

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; fewer only where the output ends."""
        return self._output.read(size)

    def readinto(self, buffer: memoryview) -> int:
        """Fills `buffer` and returns how many bytes came; fewer than its size only where the output ends."""
        return self._output.readinto(buffer)

    def lines(self) -> Iterator[str]:
        """The output's lines as they come."""
        for line in self._output:
            yield line.decode("utf-8", "replace").strip()

    def finish(self) -> None:
        """Waits for ffmpeg to end by itself; raises where it failed."""
        code = self._process.wait()
        if code:
            self._messages.seek(0)
            raise self._error(f"{self._what}: {first_error_line(self._messages.read(), code)}.")


def first_error_line(messages: bytes, code: int) -> str:
    """The first line of ffmpeg's messages, which names the cause, without its "[part @ address]" and full stop."""
    lines = [line.strip() for line in messages.decode("utf-8", "replace").splitlines() if line.strip()]
    if not lines:
        return f"ffmpeg ended with code {code} and no word of why"
    return re.sub(r"^(\[[^\]]*\]\s*)+", "", lines[0]).rstrip(".") or lines[0]
