"""Writes crops into files that no muxer here writes: Matroska's PixelCrop and MP4's clean aperture."""

from __future__ import annotations

import struct
from pathlib import Path

MATROSKA_VIDEO = (b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae", b"\xe0")  # segment, tracks, track entry, video
MP4_SAMPLE_ENTRY = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")  # and the codec's
HEADER_BYTES = {b"stsd": 16, b"avc1": 86, b"hvc1": 86}  # of boxes that hold fields before other boxes


def crop_matroska(path: Path, left: int, right: int, top: int, bottom: int) -> Path:
    """Adds PixelCrop to a file's first track, in place."""
    data = path.read_bytes()
    edges = {b"\x54\xaa": bottom, b"\x54\xbb": top, b"\x54\xcc": left, b"\x54\xdd": right}
    added = b"".join(name + b"\x81" + bytes([pixels]) for name, pixels in edges.items())
    parents, begin, end = [], 0, len(data)
    for wanted in MATROSKA_VIDEO:
        at = begin
        while True:
            name_bytes = 9 - data[at].bit_length()
            size_at = at + name_bytes
            size_bytes = 9 - data[size_at].bit_length()
            size = int.from_bytes(data[size_at : size_at + size_bytes], "big") & ((1 << 7 * size_bytes) - 1)
            if data[at:size_at] == wanted:
                break
            at = size_at + size_bytes + size
        parents.append((size_at, size_bytes, size))
        begin, end = size_at + size_bytes, size_at + size_bytes + size
    out = bytearray(data[:end] + added + data[end:])
    for at, count, size in parents:
        out[at : at + count] = (size + len(added) | 1 << 7 * count).to_bytes(count, "big")
    path.write_bytes(out)
    return path


def crop_mp4(path: Path, width: int, height: int, across: int, down: int) -> Path:
    """Adds a clean aperture to a file that ends with its header, in place; its centre lies `across`, `down` off."""
    return add_to_sample_entry(path, struct.pack(">I4s8i", 40, b"clap", width, 1, height, 1, across, 1, down, 1))


def add_to_sample_entry(path: Path, box: bytes, codec: bytes = b"avc1") -> Path:
    """Adds a box to what an MP4 that ends with its header says of its first track's samples, in place."""
    data = path.read_bytes()
    parents, begin, end = [], 0, len(data)
    for wanted in (*MP4_SAMPLE_ENTRY, codec):
        at = begin
        while data[at + 4 : at + 8] != wanted:
            at += int.from_bytes(data[at : at + 4], "big")
        size = int.from_bytes(data[at : at + 4], "big")
        parents.append((at, size))
        begin, end = at + HEADER_BYTES.get(wanted, 8), at + size
    out = bytearray(data[:end] + box + data[end:])
    for at, size in parents:
        out[at : at + 4] = (size + len(box)).to_bytes(4, "big")
    path.write_bytes(out)
    return path
