"""Detects MP4 and MOV files whose tables claim more samples than their bytes could hold.

A table can give one size for all samples, so that a few bytes claim billions; FFmpeg keeps 24 bytes or more of each. It
also reads boxes in places where the format has none, so tables are searched for in all bytes but those of the media.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

MAX_SAMPLES_PER_BYTE = 8  # of samples; ADPCM has two in a byte
PER_SAMPLE_FLAGS = 0xF00  # of a fragment's flags: each sample has a field of its own, of four bytes
# Boxes in which FFmpeg looks for no others; in a "free" one it may find a movie's header.
MEDIA_BOXES = (b"mdat", b"skip")
OTHER_MAGIC = (  # what files of other containers begin with: nothing is searched for in these
    b"\x1a\x45\xdf\xa3", b"RIFF", b"RF64", b"FORM", b"OggS", b"fLaC", b"ID3", b"FLV", b"\x30\x26\xb2\x75",
    b"\x06\x0e\x2b\x34", b"\x00\x00\x01\xba",
)  # fmt: skip
TS_PACKET, TS_SYNC = 188, 0x47
BLOCK_BYTES = 8 << 20  # bytes searched at a time
MAX_TABLE_HEADER_BYTES = 16  # bytes from a table's name to its count
# A table of sizes: its name, version, the size of all samples, their count. A fragment: name, version, flags, count.
TABLE_PATTERN = re.compile(rb"(?=stsz....(?P<size>....)(?P<count>....)|trun.(?P<flags>...)(?P<run>....))", re.DOTALL)


def claims_too_many_samples(path: Path) -> bool:
    """Whether samples that take no bytes in the tables outnumber what the file could hold.

    Also True for a movie header that is compressed, as none has been for twenty years: its tables can't be seen.
    """
    size = path.stat().st_size
    claimed, at = 0, 0
    with path.open("rb") as file:
        begin = file.read(TS_PACKET + 1)
        is_ts = len(begin) > TS_PACKET and begin[0] == begin[TS_PACKET] == TS_SYNC
        if is_ts or begin.startswith(OTHER_MAGIC):
            return False
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            elif length == 0:
                length = size - at
            if length < 8:
                break  # no box: another format, or what follows the last one
            if kind not in MEDIA_BOXES:
                found = _claimed_samples(file, at, min(length, size - at))
                if found is None:
                    return True
                claimed += found
            at += length
    return claimed > MAX_SAMPLES_PER_BYTE * size


def _claimed_samples(file: BinaryIO, at: int, length: int) -> int | None:
    """The samples that tables in a stretch of the file claim without a field for each; None for a compressed header."""
    claimed = 0
    file.seek(at)
    buffer = b""
    while length > 0 and (block := file.read(min(BLOCK_BYTES, length))):
        length -= len(block)
        buffer += block
        if re.search(rb"cmov....dcom", buffer, re.DOTALL):
            return None
        # A table at the end of the block is read with the next one, or now if there is none.
        searchable = len(buffer) if length <= 0 else len(buffer) - MAX_TABLE_HEADER_BYTES
        for table in TABLE_PATTERN.finditer(buffer):
            if table.start() >= searchable:
                break
            if table["count"] is not None:
                claimed += int.from_bytes(table["count"], "big") if any(table["size"]) else 0
            elif not int.from_bytes(table["flags"], "big") & PER_SAMPLE_FLAGS:
                claimed += int.from_bytes(table["run"], "big")
        buffer = buffer[searchable:]
    return claimed
