"""Decodes a stream's frames as a player shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

from ....errors import VideoError
from ...pixel_format import planar_name

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# Packets don't tell when frames are shown in these; ffmpeg's names.
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # ffmpeg's own ones leave the alpha out
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


def has_coded_alpha(stream: VideoStream) -> bool:
    """Whether the stream's alpha lies beside its pictures, as VP8 and VP9 have it."""
    is_marked = any(name.lower() == "alpha_mode" and text == "1" for name, text in stream.metadata.items())
    return is_marked and stream.codec_context.codec.canonical_name in ALPHA_DECODERS


def alpha_decoder(stream: VideoStream) -> VideoCodecContext | None:
    """A new decoder that shows the alpha that lies beside a stream's pictures; None where there is none.

    It knows the stream's colours, but not its display matrix.
    """
    from av import CodecContext
    from av.codec.codec import UnknownCodecError

    if not has_coded_alpha(stream):
        return None
    own = stream.codec_context
    try:
        decoder = cast("VideoCodecContext", CodecContext.create(ALPHA_DECODERS[own.codec.canonical_name], "r"))
    except UnknownCodecError:  # a PyAV that was built without it
        return None
    decoder.extradata = own.extradata
    decoder.colorspace, decoder.color_range = own.colorspace, own.color_range
    return decoder


def shown_frames(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """The stream's frames in the order in which they are shown.

    Packets before the first frame that can't be decoded are skipped, as players do: a recording that was cut at any
    packet begins with pictures whose references are missing.

    Raises:
        FFmpegError: a later packet can't be decoded.
    """
    from av.error import InvalidDataError

    shown = False
    decoder = alpha_decoder(stream)
    for packet in container.demux(stream):
        try:
            frames = packet.decode() if decoder is None else decoder.decode(packet if packet.size else None)
        except InvalidDataError:
            if shown:
                raise
            continue
        for frame in frames:
            shown = True
            yield frame
