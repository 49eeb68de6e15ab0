"""Detects truncated files from their container structure; ffmpeg doesn't report them."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO


def is_truncated(path: Path) -> bool:
    """Whether an MP4's or MOV's box, or a Matroska file's segment, should go on after the file's end."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
            return _boxes_overrun(file, size)
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return _segment_overruns(file, size)
    return False


def _boxes_overrun(file: BinaryIO, size: int) -> bool:
    at, kinds = 0, set()
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        kinds.add(kind)
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        elif length == 0:  # to the end of the file
            length = size - at
        if length < 8:
            return False  # not a box: junk after the last one is common and harmless
        at += length
    return at > size or not kinds & {b"moov", b"moof"}


def _segment_overruns(file: BinaryIO, size: int) -> bool:
    at = 0
    for identifier in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):  # EBML header, segment
        if at > size:
            return True
        file.seek(at)
        head = file.read(12)
        if head[:4] != identifier:
            return False
        if len(head) == len(identifier):
            return True
        length_bytes = 9 - head[4].bit_length()
        if length_bytes > 8:
            return False
        value = int.from_bytes(head[4 : 4 + length_bytes], "big") & ((1 << 7 * length_bytes) - 1)
        if value == (1 << 7 * length_bytes) - 1:  # "unknown": a live recording
            return False
        at += 4 + length_bytes + value
    return at > size
