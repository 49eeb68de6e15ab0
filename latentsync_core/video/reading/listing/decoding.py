"""Decodes a stream's frames as a player shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ....errors import VideoError
from ...pixel_format import planar_name

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# Packets don't tell when frames are shown in these; ffmpeg's names.
FORMATS_WITHOUT_PTS = {"avi", "h264", "hevc", "m4v", "mpegvideo", "av1", "vc1"}


def has_pts(container: InputContainer) -> bool:
    """Whether the container's packets carry presentation stamps; otherwise frames go by their order."""
    return not FORMATS_WITHOUT_PTS & set(container.format.name.split(","))


def frame_format(frame: VideoFrame) -> tuple[int, int, str]:
    """Width, height and planar format of a decoded frame."""
    return frame.width, frame.height, planar_name(frame.format.name)


def check_format(
    found: tuple[int, int, str], known: tuple[int, int, str], index: int, name: str, advice: Callable[[], str]
) -> None:
    """Raises VideoError where frame `index` isn't in the format of those before it; `advice` ends the sentence."""
    if found != known:
        raise VideoError(
            f"{name} changes at frame {index} from {known[0]}×{known[1]} {known[2]} to {found[0]}×{found[1]} "
            f"{found[2]}: {advice()}"
        )


def shown_frames(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """The stream's frames in the order in which they are shown.

    Packets before the first frame that can't be decoded are skipped, as players do: a recording that was cut at any
    packet begins with pictures whose references are missing.

    Raises:
        FFmpegError: a later packet can't be decoded.
    """
    from av.error import InvalidDataError

    shown = False
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except InvalidDataError:
            if shown:
                raise
            continue
        for frame in frames:
            shown = True
            yield frame
