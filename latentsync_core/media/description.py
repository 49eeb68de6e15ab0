"""What ffmpeg itself says of a file and of a video stream's first frames: facts that PyAV doesn't tell."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

from ..errors import VideoError
from .ffmpeg import ffmpeg_executable
from .opening import ffmpeg_input

FRAMES = 3  # that are decoded: enough for what stands in the first ones, and no more than a blink


def describe(path: Path, stream: int) -> str:
    """ffmpeg's description of a file's streams, and of the first decoded frames of its video stream `stream`.

    As ffmpeg prints both, in English; what a frame that can't be decoded would say is missing.

    Raises:
        VideoError: the file can't be opened.
    """
    facts = path.stat()
    return _describe(path, stream, facts.st_size, facts.st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _describe(path: Path, stream: int, _size: int, _mtime_ns: int) -> str:
    args = [*ffmpeg_input(path, VideoError), "-map", f"0:{stream}", "-frames:v", str(FRAMES)]
    args += ["-vf", "showinfo=checksum=0", "-f", "null", "-"]
    shown = subprocess.run(
        [ffmpeg_executable(), "-hide_banner", "-nostdin", "-loglevel", "verbose", *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,  # a file whose first frames are damaged is described all the same
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    return shown.stderr.decode("utf-8", "replace")
