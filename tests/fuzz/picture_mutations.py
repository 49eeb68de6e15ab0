"""Lies in the structure of pictures: chunks, segments and entries, with the checksums that make them believed."""

from __future__ import annotations

import random
import struct
import zlib

from tests.fuzz.extremes import EXTREMES


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_chunks(data: bytearray, rng: random.Random) -> bytearray | None:
    """A chunk says something else, is missing, stands twice or elsewhere; its checksum is right."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + length > len(data):
            break
        chunks.append((bytes(data[at + 4 : at + 8]), bytearray(data[at + 8 : at + 8 + length])))
        at += 12 + length
    if not chunks:
        return None
    number = rng.randrange(len(chunks))
    kind, content = chunks[number]
    way = rng.choice(("number", "number", "number", "byte", "byte", "gone", "twice", "moved", "kind", "length"))
    if way == "number" and len(content) >= 4:
        place = rng.randrange(len(content) - 3)
        content[place : place + 4] = struct.pack(">I", rng.choice(EXTREMES))
    elif way == "gone":
        chunks.pop(number)
    elif way == "twice":
        chunks.insert(rng.randrange(len(chunks)), (kind, content))
    elif way == "moved":
        chunks.insert(rng.randrange(len(chunks)), chunks.pop(number))
    elif way == "kind":
        chunks[number] = (rng.choice((b"tRNS", b"acTL", b"iCCP", b"zTXt", b"IDAT", b"eXIf", b"PLTE")), content)
    elif content:
        for _ in range(rng.choice((1, 2, 5))):
            content[rng.randrange(len(content))] = rng.randrange(256)
    made = bytearray(data[:8]) + b"".join(png_chunk(kind, bytes(content)) for kind, content in chunks)
    if way == "length":
        at = 8 + sum(12 + len(content) for _, content in chunks[:number])
        made[at : at + 4] = struct.pack(">I", rng.choice(EXTREMES))
    return made


def jpeg_segments(data: bytearray, rng: random.Random) -> bytearray | None:
    """A segment says another length, size of the picture, number of components or table."""
    segments, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        segments.append(at)
        if data[at + 1] == 0xDA:  # the samples follow
            break
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    if not segments:
        return None
    at = rng.choice(segments)
    if rng.random() < 0.3:
        data[at + 2 : at + 4] = struct.pack(">H", rng.choice(EXTREMES) & 0xFFFF)
    for _ in range(rng.choice((1, 2, 5))):
        place = at + 4 + rng.randrange(24)
        if place < len(data):
            data[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return data


def tiff_entries(data: bytearray, rng: random.Random) -> bytearray | None:
    """An entry of the directory has another tag, type, count or value."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    if order is None or len(data) < 14:
        return None
    directory = struct.unpack(f"{order}I", data[4:8])[0]
    if directory + 14 > len(data):
        return None
    count = struct.unpack(f"{order}H", data[directory : directory + 2])[0]
    for _ in range(rng.choice((1, 1, 3))):
        entry = directory + 2 + 12 * rng.randrange(max(count, 1))
        field, form = rng.choice(((0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "I"), (8, "H")))
        size = struct.calcsize(form)
        if entry + 12 <= len(data):
            number = rng.choice((*EXTREMES, 5, 7, 8, 32773, 50000)) & (1 << 8 * size) - 1
            data[entry + field : entry + field + size] = struct.pack(f"{order}{form}", number)
    return data
