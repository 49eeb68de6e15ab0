"""Decodes a clip's frames in a thread ahead of their use."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator

from ..clip import Clip
from ..frame import Frame
from .reader import FrameReader

POLL_SECONDS = 0.1  # seconds between two looks at whether the reader should stop


def prefetch_frames(clip: Clip, ahead: int = 2) -> Generator[Frame, None, None]:
    """The clip's frames in order, up to `ahead` decoded before they are asked for.

    What reading raises is raised here, in its place. Closing the iterator ends the thread and closes the file.
    """
    if clip.images is not None:  # nothing to decode
        with FrameReader(clip) as frames:
            yield from frames
        return
    prefetched: queue.Queue[Frame | BaseException | None] = queue.Queue(ahead)
    stop = threading.Event()

    def put(item: Frame | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                prefetched.put(item, timeout=POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def read() -> None:
        try:
            with FrameReader(clip) as frames:
                for frame in frames:
                    if not put(frame):
                        return
            put(None)
        except BaseException as problem:
            put(problem)  # raised again in the thread that iterates

    reader = threading.Thread(target=read, name="frames ahead", daemon=True)
    reader.start()
    try:
        while (item := prefetched.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
            del item  # a frame is large
    finally:
        stop.set()
        while not prefetched.empty():  # lets go of frames, and of a reader that waits for room
            prefetched.get_nowait()
        reader.join()
