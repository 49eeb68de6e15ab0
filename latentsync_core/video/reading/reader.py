"""Streams a clip's frames, each once and in order, in the source's own planes and with its PTS.

Decoded in this process by PyAV rather than through an ffmpeg pipe: every frame brings its stamp, seeking is exact, and
it measured faster (a 1080p clip: 258 frames a second against 216).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from ...errors import VideoError
from ...media.opening import open_container
from ...media.streams import required_video_stream
from ..clip import Clip
from ..frame import Frame
from ..pixel_format import PACKED, PACKED_BYTES, Layout, planar_name
from .advice import one_format_advice
from .deinterlacing import deinterlaced
from .picture_sequence import read_picture
from .probing import check_identity, has_pts

if TYPE_CHECKING:
    import torch
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane

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
        self._container: InputContainer | None = None

    def __enter__(self) -> FrameReader:
        check_identity(self._clip)
        if self._clip.identity is not None and not self._clip.pictures:
            self._container = _open(self._clip.identity.path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None

    def __iter__(self) -> Iterator[Frame]:
        if self._clip.images is not None:
            yield from self._in_memory_frames(self._clip.images)
            return
        if self._clip.pictures:
            for index in range(self._start, self._stop):
                yield self._frame(read_picture(self._clip.pictures[self._clip.first_frame + index]), index, False)
            return
        from av.error import FFmpegError

        if self._container is None or self._clip.identity is None:
            raise VideoError(f"The reader of {self._clip.name} is closed: iterate inside its with block.")
        if self._start == self._stop:
            return
        next_index = self._start
        with_pts = has_pts(self._container)
        try:
            for decoded in self._decoded_frames(self._container, self._clip.identity.path):
                yield self._frame(decoded, next_index, with_pts)
                next_index += 1
                if next_index == self._stop:
                    return
        except FFmpegError as problem:
            raise VideoError(
                f"Frame {next_index} of {self._clip.frame_count} of {self._clip.name} can't be decoded "
                f"({problem.strerror or problem}): the file is damaged."
            ) from None
        raise VideoError(
            f"{self._clip.name} ended after {next_index} of {self._clip.frame_count} frames: it is damaged or cut off."
        )

    def _in_memory_frames(self, images: torch.Tensor) -> Iterator[Frame]:
        for index in range(self._start, self._stop):
            image = images[index].numpy().copy()  # (H, W, 3)
            yield Frame((image,), int(self._clip.pts[index]), index, self._layout)

    def _decoded_frames(self, container: InputContainer, path: Path) -> Iterator[VideoFrame]:
        """Decoded frames from `start` on."""
        if not has_pts(container):
            for count, frame in enumerate(self._decode(container, path)):
                if count >= self._clip.first_frame + self._start:
                    yield frame
            return
        target = int(self._clip.pts[self._start])
        frames = self._seek_before(container, path, target)
        for frame in frames:
            if frame.pts is not None and frame.pts >= target:
                yield frame
                break
        yield from frames

    def _seek_before(self, container: InputContainer, path: Path, target: int) -> Iterator[VideoFrame]:
        """Decoded frames from some frame at or before the stamp `target`, as near as is safe."""
        position = self._clip.first_frame + self._start
        seekable = SEEKABLE & set(container.format.name.split(","))
        if position <= SEEK_MARGIN or not seekable:
            return self._decode(container, path)
        step = float(1 / (self._clip.fps * self._clip.time_base))  # ticks a frame, on average
        before = self._start - SEEK_MARGIN
        earlier = int(self._clip.pts[before]) if before >= 0 else int(self._clip.pts[0] + before * step)
        container.seek(earlier, stream=required_video_stream(container, path), backward=True)
        frames = self._decode(container, path)
        first = next(frames, None)
        if first is not None and first.pts is not None and first.pts <= target:
            return _chain(first, frames)
        self.__exit__(None, None, None)  # the container's index misled: read it all
        self._container = _open(path)
        return self._decode(self._container, path)

    def _decode(self, container: InputContainer, path: Path) -> Iterator[VideoFrame]:
        frames = container.decode(required_video_stream(container, path))
        return deinterlaced(frames) if self._clip.deinterlace else frames

    def _frame(self, decoded: VideoFrame, index: int, with_pts: bool) -> Frame:
        pts = int(self._clip.pts[index])
        if decoded.pts is not None and decoded.pts != pts and with_pts:
            raise VideoError(
                f"Frame {index} of {self._clip.frame_count} of {self._clip.name} is missing: the file is damaged."
            )
        layout = self._layout
        known = (layout.width, layout.height, layout.pixel_format.name)
        found = (decoded.width, decoded.height, planar_name(decoded.format.name))
        if found != known:
            change = f"{self._clip.name} changes at frame {index} from {known[0]}×{known[1]} {known[2]} to "
            change += f"{found[0]}×{found[1]} {found[2]}"
            raise VideoError(f"{change}: {self._advice_on_changes()}")
        planes = _planes(decoded, layout)
        return Frame(planes, pts, index, layout)

    def _advice_on_changes(self) -> str:
        if self._container is None or self._clip.identity is None:  # a sequence
            return "split it there."
        return one_format_advice(self._clip.identity.path, self._container, self._clip)


def _open(path: Path) -> InputContainer:
    container = open_container(path, VideoError)
    required_video_stream(container, path).thread_type = "AUTO"
    return container


def _planes(decoded: VideoFrame, layout: Layout) -> tuple[np.ndarray, ...]:
    """The decoded samples, copied out of the decoder's padded lines."""
    if decoded.format.name in PACKED:
        lines = _lines(decoded.planes[0], np.dtype(np.uint8))[: layout.height]
        bytes_per_pixel = PACKED_BYTES.get(decoded.format.name, 4)
        pixels = lines[:, : bytes_per_pixel * layout.width].reshape(layout.height, layout.width, bytes_per_pixel)
        return tuple(pixels[:, :, channel].copy() for channel in PACKED[decoded.format.name])
    dtype = layout.pixel_format.dtype
    planes = []
    shapes = layout.pixel_format.plane_shapes(layout.width, layout.height)
    for plane, (rows, columns) in zip(decoded.planes[:3], shapes, strict=True):  # a fourth is alpha
        planes.append(_lines(plane, dtype)[:rows, :columns].copy())
    return tuple(planes)


def _lines(plane: VideoPlane, dtype: np.dtype) -> np.ndarray:
    """A view of a plane's lines with what pads them."""
    return np.frombuffer(memoryview(plane), dtype).reshape(-1, plane.line_size // dtype.itemsize)


def _chain(first: VideoFrame, rest: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    yield first
    yield from rest
