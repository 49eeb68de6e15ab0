"""Streams a clip's frames, each once and in order, in the source's own planes and with its PTS.

Decoded in this process by PyAV rather than through an ffmpeg pipe: every frame brings its stamp, seeking is exact, and
it measured faster (a 1080p clip: 258 frames a second against 216).
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from ...errors import VideoError
from ...media.opening import open_container
from ...media.streams import video_stream
from ..clip import Clip
from ..frame import Frame
from ..pixel_format import PACKED, Layout, planar_name
from .probing import check_identity, has_pts

if TYPE_CHECKING:
    import av

SEEKABLE = {"mov", "matroska"}  # containers with an index of stamps; others are read from their start
SEEK_MARGIN = 20  # frames before the wanted one; more than any codec's reordering, so that all its references are read


class FrameReader:
    """Yields the clip's frames start..stop-1, each exactly once; holds no more than the decoder's few frames.

    Use it in a `with` block: leaving it closes the file at once.

    Raises, while opening or iterating:
        ClipChangedError: the file is not the one that was probed.
        VideoError: a frame is missing or can't be decoded, or start and stop lie outside the clip.
    """

    def __init__(self, clip: Clip, start: int = 0, stop: int | None = None) -> None:
        stop = clip.frame_count if stop is None else stop
        if not 0 <= start <= stop <= clip.frame_count:
            raise VideoError(f"Frames {start} to {stop} lie outside {clip.name}, which has {clip.frame_count}.")
        self._clip, self._start, self._stop = clip, start, stop
        self._layout = Layout.of(clip)
        self._container: av.container.InputContainer | None = None

    def __enter__(self) -> FrameReader:
        check_identity(self._clip)
        if self._clip.identity is not None:
            self._container = self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None

    def __iter__(self) -> Iterator[Frame]:
        if self._clip.images is not None:
            yield from self._in_memory_frames()
            return
        import av

        if self._container is None:
            raise VideoError(f"The reader of {self._clip.name} is closed: iterate inside its with block.")
        if self._start == self._stop:
            return
        next_index = self._start
        try:
            for decoded in self._decoded_frames():
                yield self._frame(decoded, next_index)
                next_index += 1
                if next_index == self._stop:
                    return
        except av.FFmpegError as problem:
            raise VideoError(
                f"Frame {next_index} of {self._clip.frame_count} of {self._clip.name} can't be decoded "
                f"({problem.strerror or problem}): the file is damaged."
            ) from None
        raise VideoError(
            f"{self._clip.name} ended after {next_index} of {self._clip.frame_count} frames: it is damaged or cut off."
        )

    def _in_memory_frames(self) -> Iterator[Frame]:
        for index in range(self._start, self._stop):
            image = self._clip.images[index].numpy().copy()  # (H, W, 3)
            yield Frame((image,), int(self._clip.pts[index]), index, self._layout)

    def _open(self) -> av.container.InputContainer:
        container = open_container(self._clip.identity.path, VideoError)
        video_stream(container).thread_type = "AUTO"
        return container

    def _decoded_frames(self) -> Iterator[av.VideoFrame]:
        """Decoded frames from `start` on."""
        stream = video_stream(self._container)
        if not has_pts(self._container):
            for count, frame in enumerate(self._container.decode(stream)):
                if count >= self._clip.first_frame + self._start:
                    yield frame
            return
        target = int(self._clip.pts[self._start])
        frames = self._seek_before(stream, target)
        for frame in frames:
            if frame.pts is not None and frame.pts >= target:
                yield frame
                break
        yield from frames

    def _seek_before(self, stream: av.video.stream.VideoStream, target: int) -> Iterator[av.VideoFrame]:
        """Decoded frames from some frame at or before the stamp `target`, as near as is safe."""
        position = self._clip.first_frame + self._start
        seekable = SEEKABLE & set(self._container.format.name.split(","))
        if position <= SEEK_MARGIN or not seekable:
            return self._container.decode(stream)
        step = float(1 / (self._clip.fps * self._clip.time_base))  # ticks a frame, on average
        before = self._start - SEEK_MARGIN
        earlier = int(self._clip.pts[before]) if before >= 0 else int(self._clip.pts[0] + before * step)
        self._container.seek(earlier, stream=stream, backward=True)
        frames = self._container.decode(stream)
        first = next(frames, None)
        if first is not None and first.pts is not None and first.pts <= target:
            return _chain(first, frames)
        self.__exit__(None, None, None)  # the container's index misled: read it all
        self._container = self._open()
        return self._container.decode(video_stream(self._container))

    def _frame(self, decoded: av.VideoFrame, index: int) -> Frame:
        pts = int(self._clip.pts[index])
        if decoded.pts is not None and decoded.pts != pts and has_pts(self._container):
            raise VideoError(
                f"Frame {index} of {self._clip.frame_count} of {self._clip.name} is missing: the file is damaged."
            )
        layout = self._layout
        known = (layout.width, layout.height, layout.pixel_format.name)
        found = (decoded.width, decoded.height, planar_name(decoded.format.name))
        if found != known:
            raise VideoError(
                f"{self._clip.name} changes at frame {index} from {known[0]}×{known[1]} {known[2]} to "
                f"{found[0]}×{found[1]} {found[2]}: split it there."
            )
        planes = _planes(decoded, layout)
        return Frame(planes, pts, index, layout)


def _planes(decoded: av.VideoFrame, layout: Layout) -> tuple[np.ndarray, ...]:
    """The decoded samples, copied out of the decoder's padded lines."""
    if decoded.format.name in PACKED:
        lines = np.frombuffer(decoded.planes[0], np.uint8).reshape(-1, decoded.planes[0].line_size)[: layout.height]
        bytes_per_pixel = 4 if decoded.format.name == "bgr0" else 3
        pixels = lines[:, : bytes_per_pixel * layout.width].reshape(layout.height, layout.width, bytes_per_pixel)
        return tuple(pixels[:, :, channel].copy() for channel in PACKED[decoded.format.name])
    dtype = layout.pixel_format.dtype
    planes = []
    shapes = layout.pixel_format.plane_shapes(layout.width, layout.height)
    for plane, (rows, columns) in zip(decoded.planes, shapes, strict=True):
        lines = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // dtype.itemsize)
        planes.append(lines[:rows, :columns].copy())
    return tuple(planes)


def _chain(first: av.VideoFrame, rest: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    yield first
    yield from rest
