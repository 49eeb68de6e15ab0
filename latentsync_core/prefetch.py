"""Makes items in a thread ahead of their use."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from typing import TypeVar

Item = TypeVar("Item")

POLL_SECONDS = 0.1  # seconds between two looks at whether the thread should stop


def prefetched(make: Callable[[], Generator[Item, None, None]], ahead: int, name: str) -> Generator[Item, None, None]:
    """What the generator of `make` gives, in order, up to `ahead` items before they are asked for.

    The generator runs in a thread of that name from start to close. What it raises is raised here, in its place.
    Closing this iterator closes it and ends the thread.
    """
    waiting: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(ahead)
    stop = threading.Event()

    def put(item: tuple[Item] | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def run() -> None:
        try:
            with closing(make()) as items:
                for item in items:
                    if not put((item,)):
                        return
                    del item  # it may be large
            put(None)
        except BaseException as problem:
            put(problem)  # raised again in the thread that iterates

    maker = threading.Thread(target=run, name=name, daemon=True)
    maker.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item[0]
            del item
    finally:
        stop.set()
        while not waiting.empty():  # lets go of items, and of a thread that waits for room
            waiting.get_nowait()
        maker.join()
