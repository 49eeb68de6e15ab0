"""Reads what a clip's file holds beside its frames: timecode, HDR metadata, field order, further tracks, chapters."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ...errors import VideoError
from ...media.description import describe
from ...media.opening import open_container
from ...media.streams import required_video_stream
from .listing.decoding import alpha_decoder, has_coded_alpha

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.sidedata.sidedata import SideData
    from av.stream import Stream
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

UNTITLED_HANDLERS = re.compile(r"(sound|subtitle|video|timecode|core media|gpac|l-smash|iso|apple|\W|media)", re.I)
TIMECODE_TAG, CHAPTER_TAGS = "tmcd", {"text", "tx3g"}  # of data tracks that say what other facts hold already
MAX_TEXT = 500  # characters of a tag: texts of files are untrusted, and go into arguments of ffmpeg
MASTERING_DISPLAY = struct.Struct("=22i")  # ffmpeg's AVMasteringDisplayMetadata: ten fractions, two flags
LIGHT_LEVEL = struct.Struct("=2I")  # AVContentLightMetadata
# How ffmpeg names what a file says of its fields, and which of them was taken first.
INTERLACED_IN_FILE = {
    "top first": "top",
    "top coded first (swapped)": "top",
    "bottom first": "bottom",
    "bottom coded first (swapped)": "bottom",
}


class FieldOrder(Enum):
    """Which of a frame's fields was taken first."""

    PROGRESSIVE = "progressive"
    TOP = "top"
    BOTTOM = "bottom"


@dataclass(frozen=True)
class Track:
    """One of a file's tracks, as notes name it."""

    kind: str  # "audio", "subtitle", "data" or "attachment"
    stream: int  # its place in the file
    number: int  # counted from 1, among those of its kind
    codec: str  # ffmpeg's name, or the four letters of a data track
    language: str | None = None
    title: str | None = None
    is_decodable: bool = True

    def __str__(self) -> str:
        facts = [self.language, f'"{self.title}"' if self.title else None, self.codec]
        return f"{self.kind} track {self.number} ({', '.join(fact for fact in facts if fact)})"


@dataclass(frozen=True)
class MasteringDisplay:
    """SMPTE ST 2086: the display that the film was graded on. Parts that the file leaves out are None."""

    primaries: tuple[tuple[Fraction, Fraction], ...] | None  # CIE 1931 x and y of red, green, blue and white
    luminance: tuple[Fraction, Fraction] | None  # least and greatest, cd/m²


@dataclass(frozen=True)
class SourceFacts:
    """What a file holds beside the frames and the sound that are worked on."""

    timecode: str | None  # of the file's first frame
    reel_name: str | None
    title: str | None
    field_order: FieldOrder
    mastering_display: MasteringDisplay | None
    light_level: tuple[int, int] | None  # MaxCLL and MaxFALL, cd/m²
    lost_in_frames: tuple[str, ...]  # kinds of data in the frames themselves, which no encoder here writes
    tracks: tuple[Track, ...]  # all but video
    chapters: int


def source_facts(path: Path) -> SourceFacts:
    """Everything of `SourceFacts` that the file at `path` says.

    Raises:
        VideoError: the file can't be read, or holds no video.
    """
    with open_container(path, VideoError) as container:
        stream = required_video_stream(container, path)
        shown = describe(path, stream.index)
        about_file = re.split(r"^(?:Stream mapping|Output #)", shown, maxsplit=1, flags=re.MULTILINE)[0]
        about_frames = "\n".join(line for line in shown.splitlines() if "showinfo" in line)
        tags = [_tags(one.metadata) for one in (stream, *container.streams.data)] + [_tags(container.metadata)]
        display, light = None, None
        if re.search(r"side data - (Mastering display|Content light)", about_frames):
            display, light = _hdr_metadata(container, stream)
        return SourceFacts(
            timecode=_first(tags, "timecode") or _timecode_of_frame(about_frames),
            reel_name=_first(tags, "reel_name"),
            title=_tags(container.metadata).get("title") or None,
            field_order=_field_order(about_file, about_frames, stream.index),
            mastering_display=display,
            light_level=light,
            lost_in_frames=tuple(_lost_in_frames(about_file, about_frames, stream)),
            tracks=tuple(_tracks(container, about_file)),
            chapters=len(re.findall(r"^ *Chapter #0:\d+: start ", about_file, re.MULTILINE)),
        )


def _tags(metadata: Mapping[str, str]) -> dict[str, str]:
    """Tags by their names in small letters, as Matroska has them in capitals; each a line of bounded length."""
    return {name.lower(): " ".join(text.split())[:MAX_TEXT] for name, text in metadata.items()}


def _first(tags: Iterable[Mapping[str, str]], name: str) -> str | None:
    return next((found[name] for found in tags if found.get(name)), None)


def _timecode_of_frame(about_frames: str) -> str | None:
    """What the first frame itself says; of MPEG-2's, which most encoders leave at zero, only one that counts."""
    found = re.search(r"side data - SMPTE 12-1 timecode: *(\d\d:\d\d:\d\d[:;.]\d\d)", about_frames)
    found = found or re.search(r"side data - GOP timecode: *(?!00:00:00)(\d\d:\d\d:\d\d[:;.]\d\d)", about_frames)
    return found[1] if found else None


def _field_order(about_file: str, about_frames: str, stream: int) -> FieldOrder:
    """What the decoded frames say, else the file: files often say nothing, and of some codecs the frames don't."""
    shown = re.findall(r" i:([PTB]) ", about_frames)
    fields = [letter for letter in shown if letter != "P"]
    if fields:
        return FieldOrder.TOP if fields[0] == "T" else FieldOrder.BOTTOM
    line = re.search(rf"^ *Stream #0:{stream}\b.*: Video: .*$", about_file, re.MULTILINE)
    named = next((order for words, order in INTERLACED_IN_FILE.items() if line and words in line[0]), None)
    return FieldOrder(named) if named and not shown else FieldOrder.PROGRESSIVE


def _lost_in_frames(about_file: str, about_frames: str, stream: VideoStream) -> Iterator[str]:
    if "DOVI configuration record" in about_file or "side data - Dolby Vision" in about_frames:
        yield "Dolby Vision metadata"
    if re.search(r"side data - .*(HDR Dynamic Metadata|SMPTE2094-40|HDR10\+)", about_frames):
        yield "HDR10+ dynamic metadata"
    if re.search(r"side data - (A/53 closed captions|ATSC A53)", about_frames, re.IGNORECASE):
        yield "closed captions in the picture's stream"
    if has_coded_alpha(stream) and alpha_decoder(stream) is None:
        yield "the alpha channel"


def _hdr_metadata(
    container: InputContainer, stream: VideoStream
) -> tuple[MasteringDisplay | None, tuple[int, int] | None]:
    for frame in container.decode(stream):  # gone when this returns: PyAV 14 waits for ever for a frame that is held
        return _mastering_display(frame), _light_level(frame)
    return None, None


def _mastering_display(frame: VideoFrame) -> MasteringDisplay | None:
    data = _side_data(frame, "MASTERING_DISPLAY_METADATA", MASTERING_DISPLAY.size)
    if data is None:
        return None
    *parts, has_primaries, has_luminance = MASTERING_DISPLAY.unpack(data)
    values = [Fraction(top, bottom) if bottom else Fraction(0) for top, bottom in zip(*[iter(parts)] * 2, strict=True)]
    points = tuple(zip(values[0:8:2], values[1:8:2], strict=True))
    return MasteringDisplay(points if has_primaries else None, (values[8], values[9]) if has_luminance else None)


def _light_level(frame: VideoFrame) -> tuple[int, int] | None:
    data = _side_data(frame, "CONTENT_LIGHT_LEVEL", LIGHT_LEVEL.size)
    if data is None:
        return None
    most, average = LIGHT_LEVEL.unpack(data)
    return most, average


def _side_data(frame: VideoFrame, kind: str, size: int) -> bytes | None:
    for data in cast(Iterable["SideData"], frame.side_data):  # the stub takes it for a mapping
        if data.type.name == kind and len(bytes(data)) >= size:
            return bytes(data)[:size]
    return None


def _tracks(container: InputContainer, about_file: str) -> Iterator[Track]:
    counts: dict[str, int] = {}
    for stream in container.streams:
        if stream.type == "video":
            continue
        counts[stream.type] = counts.get(stream.type, 0) + 1
        codec, is_decodable = _codec(stream, about_file)
        if stream.type == "data" and (codec == TIMECODE_TAG or (codec in CHAPTER_TAGS and "Chapter #" in about_file)):
            continue
        tags = _tags(stream.metadata)
        language = tags.get("language")
        yield Track(
            kind=stream.type,
            stream=stream.index,
            number=counts[stream.type],
            codec=codec,
            language=None if language in (None, "", "und") else language,
            title=_title(tags),
            is_decodable=is_decodable,
        )


def _codec(stream: Stream, about_file: str) -> tuple[str, bool]:
    """A stream's codec, or what ffmpeg calls it where it has none; and whether there is a decoder."""
    context = getattr(stream, "codec_context", None)
    if context is not None:
        return context.name, True
    found = re.search(rf"^ *Stream #0:{stream.index}\b[^:]*: \w+: (\w+)(?: \((\w{{4}}) / )?", about_file, re.MULTILINE)
    if found is None:
        return "unknown", False
    return found[2] or found[1], False


def _title(tags: Mapping[str, str]) -> str | None:
    """A track's name: MOV and MP4 have several places for it, and most programs fill one with their own."""
    handler = tags.get("handler_name", "")
    return tags.get("title") or tags.get("name") or (handler if not UNTITLED_HANDLERS.search(handler) else "") or None
