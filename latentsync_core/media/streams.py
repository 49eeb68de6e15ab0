"""Selects a file's video and audio stream: the first of each that can be decoded."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import VideoError
from ..messages import Note, NoteLevel

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

ATTACHED_PICTURE = 1 << 10  # ffmpeg's disposition flag of cover art
DEPENDENT = 1 << 19  # of a part that makes sense with others alone, such as a tile of a HEIC photo
DEFAULT_TIME_BASE = Fraction(1, 90_000)  # seconds per tick: ffmpeg's own, where a demuxer sets none


def video_stream(container: InputContainer) -> VideoStream | None:
    """The first video stream that can be decoded and is not cover art."""
    streams = (stream for stream in container.streams.video if not _is_cover(stream))
    return next(filter(_is_decodable, streams), None)


def required_video_stream(container: InputContainer, path: Path) -> VideoStream:
    """`video_stream` of the file at `path`. VideoError where there is none."""
    stream = video_stream(container)
    if stream is None:
        raise VideoError(f"{path} has no video stream: name a video file.")
    return stream


def audio_stream(container: InputContainer) -> AudioStream | None:
    """The first audio stream that can be decoded."""
    return next(filter(_is_decodable, container.streams.audio), None)


def time_base(stream: Stream) -> Fraction:
    """Seconds per tick of a stream's stamps."""
    return stream.time_base or DEFAULT_TIME_BASE


def has_video(container: InputContainer) -> bool:
    """Whether there is a video stream beside cover art, whatever its codec."""
    return not all(map(_is_cover, container.streams.video))


def audio_note(container: InputContainer) -> Note | None:
    """Tells the user where the first audio stream is not the one that is taken."""
    taken = audio_stream(container)
    if taken is None:
        return None
    skipped = [stream for stream in container.streams.audio if stream.index < taken.index]
    if not skipped:
        return None
    return Note(
        f"The codec of audio track {len(skipped)} has no decoder here: track {len(skipped) + 1} "
        f"({taken.codec_context.name}) is used.",
        NoteLevel.WARNING,
    )


def is_tile(stream: VideoStream) -> bool:
    """Whether the stream is one of the tiles of a larger picture."""
    return bool(_disposition(stream) & DEPENDENT)


def _is_cover(stream: VideoStream) -> bool:
    return bool(_disposition(stream) & ATTACHED_PICTURE)


def _disposition(stream: VideoStream) -> int:
    flags = getattr(stream, "disposition", 0)
    return getattr(flags, "value", flags)  # PyAV 14's flags aren't numbers


def _is_decodable(stream: Stream) -> bool:
    return stream.codec_context is not None  # PyAV makes none where it has no decoder
