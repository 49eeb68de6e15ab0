"""Streams a clip's frames, each once and in order, in the source's own planes and with its PTS.

Decoded in this process by PyAV rather than through an ffmpeg pipe: every frame brings its stamp, seeking is exact, and
it measured faster (a 1080p clip: 258 frames a second against 216).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from ...errors import VideoError
from ...media.opening import open_container, open_image
from ...media.streams import required_video_stream
from ..clip import Clip
from ..frame import Frame
from ..pixel_format import Layout
from .advice import one_format_advice
from .deinterlacing import deinterlaced
from .listing.decoding import check_format, frame_format, has_pts, shown_frames
from .picture_sequence import read_picture
from .pictures import is_picture, picture_frames
from .planes import alpha_plane, color_planes
from .probing import check_identity
from .tile_grid import TileGrid, joined_planes, tile_grid

if TYPE_CHECKING:
    import torch
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from PIL import Image

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
        self._picture: Image.Image | None = None  # of a file that Pillow reads
        self._grid: TileGrid | None = None  # of a photo in tiles

    def __enter__(self) -> FrameReader:
        check_identity(self._clip)
        if self._clip.identity is not None and not self._clip.pictures:
            path = self._clip.identity.path
            if is_picture(path):
                self._picture = open_image(path)
            else:
                self._grid = tile_grid(path)
                self._container = _open(path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None
        if self._picture is not None:
            self._picture.close()
            self._picture = None

    def __iter__(self) -> Iterator[Frame]:
        if self._clip.images is not None:
            yield from self._in_memory_frames(self._clip.images)
            return
        if self._clip.pictures:
            for index in range(self._start, self._stop):
                yield self._frame(read_picture(self._clip.pictures[self._clip.first_frame + index]), index, False)
            return
        if self._picture is not None:
            yield from self._picture_frames(self._picture)
            return
        from av.error import FFmpegError

        if self._container is None or self._clip.identity is None:
            raise VideoError(f"The reader of {self._clip.name} is closed: iterate inside its with block.")
        if self._start == self._stop:
            return
        if self._grid is not None:
            _, planes = joined_planes(self._clip.identity.path, self._container, self._grid)
            yield Frame(planes, int(self._clip.pts[0]), 0, self._layout)
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
        self._check_complete(next_index)

    def _in_memory_frames(self, images: torch.Tensor) -> Iterator[Frame]:
        for index in range(self._start, self._stop):
            image = images[index].numpy().copy()  # (H, W, 3)
            yield Frame((image,), int(self._clip.pts[index]), index, self._layout)

    def _picture_frames(self, picture: Image.Image) -> Iterator[Frame]:
        position = self._clip.first_frame + self._start
        indices = range(self._start, self._stop)
        index = self._start - 1
        for index, planes in zip(indices, picture_frames(picture, self._clip, position), strict=False):
            yield Frame(planes, int(self._clip.pts[index]), index, self._layout)
        self._check_complete(index + 1)

    def _check_complete(self, next_index: int) -> None:
        if next_index < self._stop:
            raise VideoError(
                f"{self._clip.name} ended after {next_index} of {self._clip.frame_count} frames: it is damaged or cut "
                f"off."
            )

    def _decoded_frames(self, container: InputContainer, path: Path) -> Iterator[VideoFrame]:
        """Decoded frames from `start` on."""
        position = self._clip.first_frame + self._start
        if not has_pts(container):
            yield from itertools.islice(self._decode(container, path), position, None)
            return
        if self._clip.file_pts is not None:
            first, frames = self._seek_counted(container, path, self._clip.file_pts, position)
            yield from itertools.islice(frames, position - first, None)
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
        if not self._is_far(container):
            return self._decode(container, path)
        step = float(1 / (self._clip.fps * self._clip.time_base))  # ticks a frame, on average
        before = self._start - SEEK_MARGIN
        earlier = int(self._clip.pts[before]) if before >= 0 else int(self._clip.pts[0] + before * step)
        first, frames = self._seek(container, path, earlier)
        if first is not None and first.pts is not None and first.pts <= target:
            return itertools.chain((first,), frames)
        return self._from_beginning(path)  # the container's index misled: read it all

    def _seek_counted(
        self, container: InputContainer, path: Path, stamps: np.ndarray, position: int
    ) -> tuple[int, Iterator[VideoFrame]]:
        """Decoded frames from at or before the file's frame `position`, and the number in the file of the first one.

        For files whose stamps are partly missing or wrong: the first frame is known where no other has its stamp.
        """
        if not self._is_far(container):
            return 0, self._decode(container, path)
        first, frames = self._seek(container, path, int(stamps[position - SEEK_MARGIN]))
        found = np.flatnonzero(stamps == first.pts) if first is not None and first.pts is not None else ()
        if first is not None and len(found) == 1 and found[0] <= position:
            return int(found[0]), itertools.chain((first,), frames)
        return 0, self._from_beginning(path)

    def _is_far(self, container: InputContainer) -> bool:
        """Whether seeking to the start pays, and the container can."""
        seekable = SEEKABLE & set(container.format.name.split(","))
        return bool(seekable) and self._clip.first_frame + self._start > SEEK_MARGIN

    def _from_beginning(self, path: Path) -> Iterator[VideoFrame]:
        self.__exit__(None, None, None)
        self._container = _open(path)
        return self._decode(self._container, path)

    def _decode(self, container: InputContainer, path: Path) -> Iterator[VideoFrame]:
        frames = shown_frames(container, required_video_stream(container, path))
        return deinterlaced(frames) if self._clip.deinterlace else frames

    def _seek(
        self, container: InputContainer, path: Path, stamp: int
    ) -> tuple[VideoFrame | None, Iterator[VideoFrame]]:
        """The first decoded frame from the key frame before `stamp` on, and those after it."""
        container.seek(max(stamp, -1 << 62), stream=required_video_stream(container, path), backward=True)
        frames = self._decode(container, path)
        return next(frames, None), frames

    def _frame(self, decoded: VideoFrame, index: int, with_pts: bool) -> Frame:
        pts = expected = int(self._clip.pts[index])
        if self._clip.file_pts is not None:
            expected = int(self._clip.file_pts[self._clip.first_frame + index])
        if with_pts and decoded.pts is not None and decoded.pts != expected:
            raise VideoError(
                f"Frame {index} of {self._clip.frame_count} of {self._clip.name} is missing: the file is damaged."
            )
        layout, crop = self._layout, self._clip.crop
        width, height = layout.width + crop.left + crop.right, layout.height + crop.top + crop.bottom
        known = (width, height, layout.pixel_format.name)
        check_format(frame_format(decoded), known, index, self._clip.name, self._advice_on_changes)
        inside = (layout.pixel_format, layout.width, layout.height, crop)
        alpha = alpha_plane(decoded, *inside) if self._clip.has_alpha else None
        return Frame(color_planes(decoded, *inside), pts, index, layout, alpha)

    def _advice_on_changes(self) -> str:
        if self._container is None or self._clip.identity is None:  # a sequence
            return "split it there."
        clip = self._clip
        return one_format_advice(self._clip.identity.path, self._container, clip.pixel_format, clip.color.range)


def _open(path: Path) -> InputContainer:
    container = open_container(path, VideoError)
    required_video_stream(container, path).thread_type = "AUTO"
    return container
