"""Selects a file's video and audio stream: the first of each that can be decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..messages import Note, NoteLevel

if TYPE_CHECKING:
    import av

ATTACHED_PICTURE = 1 << 10  # ffmpeg's disposition flag of cover art


def video_stream(container: av.container.InputContainer) -> av.video.stream.VideoStream | None:
    """The first video stream that can be decoded and is not cover art."""
    streams = (stream for stream in container.streams.video if not _is_cover(stream))
    return next(filter(_is_decodable, streams), None)


def audio_stream(container: av.container.InputContainer) -> av.audio.stream.AudioStream | None:
    """The first audio stream that can be decoded."""
    return next(filter(_is_decodable, container.streams.audio), None)


def has_video(container: av.container.InputContainer) -> bool:
    """Whether there is a video stream beside cover art, whatever its codec."""
    return not all(map(_is_cover, container.streams.video))


def audio_note(container: av.container.InputContainer) -> Note | None:
    """Tells the user where the first audio stream is not the one that is taken."""
    taken = audio_stream(container)
    skipped = [] if taken is None else [stream for stream in container.streams.audio if stream.index < taken.index]
    if not skipped:
        return None
    return Note(
        f"The codec of audio track {len(skipped)} has no decoder here: track {len(skipped) + 1} "
        f"({taken.codec_context.name}) is used.",
        NoteLevel.WARNING,
    )


def _is_cover(stream: av.video.stream.VideoStream) -> bool:
    flags = getattr(stream, "disposition", 0)
    return bool(getattr(flags, "value", flags) & ATTACHED_PICTURE)  # PyAV 14's flags aren't numbers


def _is_decodable(stream: av.stream.Stream) -> bool:
    return stream.codec_context is not None  # PyAV makes none where it has no decoder
