"""Tells an MP4 or MOV whose tables claim more samples than its bytes could hold, before a reader indexes them.

A table can give one size for all samples, so that a few bytes claim billions; FFmpeg keeps 24 bytes or more of each.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"}  # boxes of which samples' tables are parts
BEGINNINGS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp", b"moof", b"sidx", b"pnot")
MOST_PER_BYTE = 8  # of samples; ADPCM has two in a byte
FIELDS_OF_EACH = 0xF00  # of a fragment's flags: each sample has a field of its own, of four bytes


def claims_too_many_samples(path: Path) -> bool:
    """Whether samples that take no bytes in the tables outnumber what the file could hold."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(8)[4:] not in BEGINNINGS:
            return False
        return sum(_claimed(file, 0, size)) > MOST_PER_BYTE * size


def _claimed(file: BinaryIO, at: int, stop: int, depth: int = 0) -> Iterator[int]:
    """The samples that each table between two places claims without a field for each."""
    while at + 8 <= stop:
        file.seek(at)
        head = file.read(20)
        length, kind, begin = int.from_bytes(head[:4], "big"), head[4:8], 8
        if length == 1:
            length, begin = int.from_bytes(head[8:16], "big"), 16
        elif length == 0:
            length = stop - at
        if length < begin:
            return
        if kind in CONTAINERS and depth < len(CONTAINERS):
            yield from _claimed(file, at + begin, min(at + length, stop), depth + 1)
        elif kind in (b"stsz", b"trun"):
            file.seek(at + begin)
            flags_or_version, second, third = struct.unpack(">3I", file.read(12).ljust(12, b"\0"))
            if kind == b"stsz":  # the size of all, then their count
                yield third if second else 0
            elif not flags_or_version & FIELDS_OF_EACH:
                yield second
        at += length
