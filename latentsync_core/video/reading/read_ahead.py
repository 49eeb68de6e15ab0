"""Reads a clip's frames ahead in a thread of its own, so that decoding and looking at them go on side by side."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

from ..clip import Clip
from ..frame import Frame
from .reader import FrameReader

WAIT = 0.1  # seconds between two looks at whether the reader should stop


def frames_ahead(clip: Clip, ahead: int = 2) -> Iterator[Frame]:
    """The clip's frames in order, up to `ahead` decoded before they are asked for.

    What reading raises is raised here, in its place. Closing the iterator ends the thread and closes the file.
    """
    if clip.images is not None:  # nothing to decode
        with FrameReader(clip) as frames:
            yield from frames
        return
    waiting: queue.Queue[Frame | BaseException | None] = queue.Queue(ahead)
    stop = threading.Event()

    def put(item: Frame | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=WAIT)
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
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
            del item  # a frame is large
    finally:
        stop.set()
        while not waiting.empty():  # lets go of frames, and of a reader that waits for room
            waiting.get_nowait()
        reader.join()
