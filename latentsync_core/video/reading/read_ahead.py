"""Decodes a clip's frames in a thread ahead of their use."""

from __future__ import annotations

from collections.abc import Generator

from ...prefetch import prefetched
from ..clip import Clip
from ..frame import Frame
from .reader import FrameReader


def prefetch_frames(
    clip: Clip, ahead: int = 2, start: int = 0, stop: int | None = None
) -> Generator[Frame, None, None]:
    """The clip's frames start..stop-1 in order, up to `ahead` decoded before they are asked for.

    What reading raises is raised here, in its place. Closing the iterator ends the thread and closes the file.
    """

    def read() -> Generator[Frame, None, None]:
        with FrameReader(clip, start, stop) as frames:
            yield from frames

    if clip.images is not None:  # nothing to decode
        yield from read()
    else:
        yield from prefetched(read, ahead, "frames ahead")
