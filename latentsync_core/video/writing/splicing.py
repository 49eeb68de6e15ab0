"""Joins encoded pictures: packets of ranges of frames, copied from films into one file without being decoded.

For codecs that encode each frame by itself (`Codec.is_intra`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import OutputError, VideoError
from ...media.opening import open_container, open_scratch_output
from ...media.streams import required_video_stream
from ...media.streams import time_base as tick_of
from ...progress import Progress

if TYPE_CHECKING:
    from av import Packet
    from av.video.stream import VideoStream

STAMP_TOLERANCE = Fraction(1, 1000)  # seconds: Matroska rounds stamps to that


@dataclass(frozen=True)
class EncodedFrames:
    """Frames start..stop-1 of a result, and the file whose video stream holds them with the result's stamps."""

    film: Path
    start: int
    stop: int


def splice(
    ranges: Sequence[EncodedFrames],
    out: Path,
    pts: np.ndarray,
    time_base: Fraction,
    fps: Fraction,
    timescale: int,
    on_progress: Progress | None = None,
) -> str:
    """Writes the picture of all `ranges`, in order and without a gap, to `out`, and nothing else.

    Returns the name of the encoder, as the first film's stream has it. PyAV can't write pixel aspects to Matroska.

    Args:
        out: in a folder of this process's own, with the container's suffix.
        pts: (F,) int64 ticks of `time_base`, of all frames of the ranges.
        fps: which the last frame's length is taken from.
        timescale: ticks a second of the stamps in a MOV.
        on_progress: is given packets; raising from it cancels.

    Raises:
        VideoError: a film can't be read, lacks one of its frames, or isn't encoded like the first one.
        OutputError: `out` can't be written.
    """
    from av.error import FFmpegError

    ends = np.append(pts[1:], pts[-1] + round(1 / fps / time_base))
    with ExitStack() as opened:
        container = opened.enter_context(open_container(ranges[0].film, VideoError))
        template = required_video_stream(container, ranges[0].film)
        encoded = chain.from_iterable(_packets(one, pts * time_base, template) for one in ranges)
        ticks = str(timescale)
        options = {"video_track_timescale": ticks, "movie_timescale": ticks} if out.suffix == ".mov" else {}
        try:
            file = opened.enter_context(open_scratch_output(out, options))
            stream = file.add_stream_from_template(template)
            stream.time_base = time_base
            stream.codec_context.sample_aspect_ratio = template.sample_aspect_ratio
            for done, (stamp, end, packet) in enumerate(zip(pts.tolist(), ends.tolist(), encoded, strict=True), 1):
                packet.time_base, packet.stream = time_base, stream
                packet.pts = packet.dts = stamp
                packet.duration = end - stamp
                file.mux(packet)
                if on_progress:
                    on_progress(done, len(pts))
        except (FFmpegError, OSError) as problem:
            raise OutputError(f"Can't write {out}: {problem.strerror or problem}.") from None
        return next((text for name, text in template.metadata.items() if name.lower() == "encoder"), "")


def _packets(one: EncodedFrames, times: np.ndarray, template: VideoStream) -> Iterator[Packet]:
    """The packets of one range; `times` are those of the result's frames, in seconds."""
    with open_container(one.film, VideoError) as container:
        stream = required_video_stream(container, one.film)
        if _encoding(stream) != _encoding(template):
            raise VideoError(f"The picture of {one.film} is encoded in another way: it can't be joined.")
        tick = tick_of(stream)
        container.seek(int((times[one.start] - STAMP_TOLERANCE) // tick), stream=stream, backward=True)
        index = one.start
        for packet in container.demux(stream):
            if packet.pts is None or not packet.size or packet.pts * tick < times[index] - STAMP_TOLERANCE:
                continue
            if packet.pts * tick > times[index] + STAMP_TOLERANCE:
                break
            yield packet
            index += 1
            if index == one.stop:
                return
    raise VideoError(f"{one.film} lacks frame {index}: it is another film by now.")


def _encoding(stream: VideoStream) -> tuple[object, ...]:
    """What two streams must have in common for their packets to be decoded alike."""
    context = stream.codec_context
    return (
        context.name, context.profile, context.width, context.height, context.pix_fmt, context.extradata,
        context.color_range, context.colorspace, context.color_primaries, context.color_trc,
    )  # fmt: skip
