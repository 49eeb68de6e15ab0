"""Selects a file's video and audio stream: the default video stream, and the first sound, that can be decoded."""

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

DEFAULT, ATTACHED_PICTURE = 1, 1 << 10  # ffmpeg's disposition flags: what a player shows first, and cover art
DEFAULT_TIME_BASE = Fraction(1, 90_000)  # seconds per tick: ffmpeg's own, where a demuxer sets none


def video_stream(container: InputContainer) -> VideoStream | None:
    """Of the video streams that can be decoded and aren't cover art, the first that is flagged default, else the first.

    MP4 flags every enabled track, and Matroska every one that isn't flagged otherwise: then it is the first.
    """
    streams = [stream for stream in container.streams.video if not is_cover(stream) and is_decodable(stream)]
    return next((stream for stream in streams if _disposition(stream) & DEFAULT), streams[0] if streams else None)


def required_video_stream(container: InputContainer, path: Path) -> VideoStream:
    """`video_stream` of the file at `path`. VideoError where there is none."""
    stream = video_stream(container)
    if stream is None:
        raise VideoError(f"{path} has no video stream: name a video file.")
    return stream


def audio_stream(container: InputContainer) -> AudioStream | None:
    """The first audio stream that can be decoded."""
    return next(iter(decodable_audio_streams(container)), None)


def decodable_audio_streams(container: InputContainer) -> list[AudioStream]:
    """Every audio stream that can be decoded, in the file's order."""
    return list(filter(is_decodable, container.streams.audio))


def time_base(stream: Stream) -> Fraction:
    """Seconds per tick of a stream's stamps."""
    return stream.time_base or DEFAULT_TIME_BASE


def has_video(container: InputContainer) -> bool:
    """Whether there is a video stream beside cover art, whatever its codec."""
    return not all(map(is_cover, container.streams.video))


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


def video_note(container: InputContainer) -> Note | None:
    """Names the video tracks that are left out where a file has several."""
    taken = video_stream(container)
    tracks = [stream for stream in container.streams.video if not is_cover(stream)]
    if taken is None or len(tracks) < 2:
        return None
    number = {stream.index: place for place, stream in enumerate(tracks, 1)}
    others = ", ".join(f"{number[stream.index]} ({_picture(stream)})" for stream in tracks if stream is not taken)
    return Note(
        f"The file has {len(tracks)} video tracks: track {number[taken.index]} ({_picture(taken)}) is used, not "
        f"{others}.",
        NoteLevel.WARNING,
    )


def _picture(stream: VideoStream) -> str:
    """A video stream's codec and size, as notes name it."""
    context = stream.codec_context
    return "no decoder here" if context is None else f"{context.name}, {context.width}×{context.height}"


def is_cover(stream: VideoStream) -> bool:
    """Whether a video stream is a picture attached to the file, as cover art is."""
    return bool(_disposition(stream) & ATTACHED_PICTURE)


def _disposition(stream: VideoStream) -> int:
    flags = getattr(stream, "disposition", 0)
    return getattr(flags, "value", flags)  # PyAV 14's flags aren't numbers


def is_decodable(stream: Stream) -> bool:
    """Whether there is a decoder for a stream's codec."""
    return stream.codec_context is not None  # PyAV makes none where it has no decoder
