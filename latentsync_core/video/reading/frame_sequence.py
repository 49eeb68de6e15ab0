"""A clip's frames in any order, streamed: forwards one by one, backwards in short batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..clip import Clip
from ..frame import Frame
from .reader import FrameReader

BACKWARD_BATCH = 8  # frames held at once where the order runs backwards
MAX_DECODE_GAP = 64  # frames: a gap longer than this is sought over, a shorter one decoded and dropped


class FrameSequence:
    """Reads chosen frames of one clip. A context manager; one decoder at a time, closed at the end."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._reader: FrameReader | None = None
        self._frames: Iterator[Frame] | None = None
        self._next = 0  # the frame that the open reader yields next

    def frames(self, indices: Sequence[int]) -> Iterator[Frame]:
        """Yields the clip's frames in the order of `indices`, repeats included.

        Every frame yielded is the caller's own to change. Held: one frame in a forward stretch, `BACKWARD_BATCH` else.
        """
        at = 0
        while at < len(indices):
            end = _forward_end(indices, at)
            if end - at > 1 or end == len(indices):
                yield from self._forward(indices[at:end])
                at = end
            else:
                end = _backward_end(indices, at, at + BACKWARD_BATCH)
                yield from self._backward(indices[at:end])
                at = end

    def close(self) -> None:
        """Ends the decoder."""
        if self._reader is not None:
            self._reader.__exit__(None, None, None)
            self._reader = self._frames = None

    def __enter__(self) -> FrameSequence:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _forward(self, indices: Sequence[int]) -> Iterator[Frame]:
        current: Frame | None = None
        for place, index in enumerate(indices):
            if current is None or current.index != index:
                current = self._read(index)
            is_repeated = place + 1 < len(indices) and indices[place + 1] == index
            yield current.copy() if is_repeated else current

    def _backward(self, indices: Sequence[int]) -> Iterator[Frame]:
        buffered = {index: self._read(index) for index in sorted(set(indices))}
        for place, index in enumerate(indices):
            yield buffered[index].copy() if index in indices[place + 1 :] else buffered.pop(index)

    def _read(self, index: int) -> Frame:
        if self._frames is None or not self._next <= index <= self._next + MAX_DECODE_GAP:
            self.close()
            self._reader = FrameReader(self._clip, start=index)
            self._reader.__enter__()
            self._frames, self._next = iter(self._reader), index
        while True:
            frame = next(self._frames)
            self._next = frame.index + 1
            if frame.index == index:
                return frame


def _forward_end(indices: Sequence[int], at: int) -> int:
    end = at + 1
    while end < len(indices) and indices[end] >= indices[end - 1]:
        end += 1
    return end


def _backward_end(indices: Sequence[int], at: int, limit: int) -> int:
    end = at + 1
    while end < min(limit, len(indices)) and indices[end] <= indices[end - 1]:
        end += 1
    return end
