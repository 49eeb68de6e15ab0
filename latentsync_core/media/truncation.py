"""Detects truncated files from their container structure; ffmpeg doesn't report them."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

# What MP4, MOV and HEIF files consist of. Cameras and phones append data of their own, whose first bytes read as a box
# of any kind and length.
BOXES = {
    b"ftyp", b"styp", b"pdin", b"moov", b"mdat", b"moof", b"mfra", b"sidx", b"ssix", b"prft", b"emsg", b"meta",
    b"free", b"skip", b"wide", b"pnot", b"uuid", b"udta", b"imda", b"idat",
}  # fmt: skip
HEADERS = {b"moov", b"moof"}  # what says where samples are
PICTURE_BRANDS = {b"avif", b"heic", b"heix", b"heim", b"heis", b"mif1"}  # whose header is a "meta" box alone


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


def has_picture_brand(path: Path) -> bool:
    """Whether the file calls itself a HEIC or AVIF picture."""
    with path.open("rb") as file:
        head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:12] in PICTURE_BRANDS


def _boxes_overrun(file: BinaryIO, size: int) -> bool:
    at, kinds, headers = 0, set(), set(HEADERS)
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if kind == b"ftyp" and head[8:12] in PICTURE_BRANDS:
            headers.add(b"meta")
        is_complete = bool(kinds & headers)
        if kind not in BOXES and is_complete:
            break  # something appended
        kinds.add(kind)
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        elif length == 0:  # to the end of the file
            length = size - at
        if length < 8:
            return False  # not a box: junk after the last one is common and harmless
        at += length
    return at > size or not kinds & headers


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
