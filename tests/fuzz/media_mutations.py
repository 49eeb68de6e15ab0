"""Lies in the structure of films and sounds: boxes, elements, packets, chunks, frames and what they claim."""

from __future__ import annotations

import random
import struct
from typing import NamedTuple

from tests.fuzz.extremes import EXTREMES

# ---- MP4 and MOV

BOXES = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"udta", b"moof", b"traf", b"mvex", b"dinf", b"meta"}
TABLES = {
    b"stts", b"ctts", b"stsc", b"stsz", b"stco", b"stss", b"stsd", b"elst", b"mdhd", b"mvhd", b"tkhd", b"hdlr",
    b"tfhd", b"tfdt", b"trun", b"trex", b"sidx", b"mfra",
}  # fmt: skip


class Box(NamedTuple):
    """Where a box lies, its header of 8 bytes included."""

    at: int
    size: int
    kind: bytes
    parents: tuple[int, ...]  # places of the boxes around it


def mp4_boxes(data: bytearray, rng: random.Random) -> bytearray | None:
    """A box lies about its size or kind, is missing, stands twice or elsewhere, or has an extreme number in it.

    Half of the time the sizes of the boxes around it are put right, so that the rest is believed.
    """
    boxes = boxes_in(data)
    if not boxes:
        return None
    tables = [box for box in boxes if box.kind in TABLES]
    box = rng.choice(tables if tables and rng.random() < 0.6 else boxes)
    other = rng.choice(boxes)
    way = rng.choice(("size", "kind", "gone", "twice", "moved", "inside", "number", "number", "number", "number"))
    if way == "size":
        size = rng.choice((*EXTREMES, box.size + 1, box.size - 1, box.size // 2, 2 * box.size))
        data[box.at : box.at + 4] = struct.pack(">I", size & 0xFFFFFFFF)
    elif way == "kind":
        data[box.at + 4 : box.at + 8] = rng.choice((other.kind, b"free", b"xxxx"))
    elif way == "number" and box.size >= 16:
        for _ in range(rng.choice((1, 1, 3))):
            reach = min(box.size - 8, 64) if rng.random() < 0.7 else box.size - 8
            place = box.at + 8 + 4 * rng.randrange(max(reach // 4, 1))
            data[place : place + 4] = struct.pack(">I", rng.choice((*EXTREMES, rng.randrange(2**32))))
    else:
        content = bytes(data[box.at : box.at + box.size])
        sizes_fixed = rng.random() < 0.5
        if way in ("twice", "moved", "inside"):  # the later place first, so that the earlier one stays where it is
            place = other.at + 8 if way == "inside" else other.at
            changes = [(place, b"", content), *([(box.at, content, b"")] if way == "moved" else [])]
        else:
            changes = [(box.at, content, b"")]
        for place, old, new in sorted(changes, reverse=True):
            data[place : place + len(old)] = new
            around = other.parents + ((other.at,) if way == "inside" else ()) if new else box.parents
            for parent in around if sizes_fixed else ():
                size = int.from_bytes(data[parent : parent + 4], "big") + len(new) - len(old)
                data[parent : parent + 4] = struct.pack(">I", size & 0xFFFFFFFF)
    return data


def boxes_in(data: bytes, at: int = 0, stop: int | None = None, parents: tuple[int, ...] = ()) -> list[Box]:
    """Every box, those inside others too."""
    found = []
    stop = len(data) if stop is None else stop
    while at + 8 <= stop:
        size, kind = int.from_bytes(data[at : at + 4], "big"), bytes(data[at + 4 : at + 8])
        if size < 8 or at + size > stop:
            break
        found.append(Box(at, size, kind, parents))
        if kind in BOXES:
            found += boxes_in(data, at + 8, at + size, (*parents, at))
        at += size
    return found


# ---- Matroska

MASTERS = {
    0x1A45DFA3, 0x18538067, 0x114D9B74, 0x4DBB, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0, 0xE1, 0x1F43B675, 0xA0, 0x1C53BB6B,
    0xBB, 0xB7, 0x1941A469, 0x61A7, 0x1254C367, 0x7373, 0x67C8,
}  # fmt: skip
UNKNOWN_SIZE = (1 << 56) - 1


class Element(NamedTuple):
    """Where an EBML element lies and what its header says."""

    at: int
    size_at: int
    content_at: int
    stop: int
    identifier: int


def ebml_elements(data: bytearray, rng: random.Random) -> bytearray | None:
    """An element lies about its length, is missing, stands twice or elsewhere, or has an extreme value."""
    elements = _elements(data, 0, len(data))
    if not elements:
        return None
    rare = [element for element in elements if element.identifier not in (0xA3, 0xBB, 0xB3, 0xB7)]
    element = rng.choice(rare if rare and rng.random() < 0.8 else elements)
    other = rng.choice(elements)
    content = data[element.at : element.stop]
    way = rng.choice(("size", "size", "wide size", "gone", "twice", "moved", "value", "value", "value", "id", "end"))
    if way == "size":
        data[element.size_at] = rng.choice((0x80, 0xFF, 0x01, 0x08, 0x40, 0x00, rng.randrange(256)))
    elif way == "wide size":
        size = rng.choice((0, 1, 2**31, 2**32, 2**40, UNKNOWN_SIZE - 1, UNKNOWN_SIZE))
        data[element.size_at : element.content_at] = (1 << 56 | size).to_bytes(8, "big")
    elif way == "gone":
        del data[element.at : element.stop]
    elif way in ("twice", "moved"):
        if way == "moved" and not element.at <= other.at < element.stop:
            first, last = sorted((element.at, other.at))
            data[element.at : element.stop] = b""
            place = first if other.at == first else last - len(content)
            data[place:place] = content
        else:
            data[other.at : other.at] = content
    elif way == "end":
        del data[rng.choice((element.size_at, element.content_at)) :]
    elif way == "id":
        data[element.at : element.size_at] = data[other.at : other.size_at]
    elif element.stop > element.content_at:
        room = min(element.stop - element.content_at, 8)
        value = rng.choice((0, 1, 2**31, 2**63, 2**64 - 1, rng.randrange(2**64)))
        data[element.content_at : element.content_at + room] = value.to_bytes(8, "big")[-room:]
    return data


def _elements(data: bytes, at: int, stop: int) -> list[Element]:
    """Every element, those inside others too."""
    found = []
    while at < stop:
        id_length = 9 - data[at].bit_length()
        size_at = at + id_length
        if id_length > 4 or size_at >= stop:
            break
        size_length = 9 - data[size_at].bit_length()
        content_at = size_at + size_length
        if size_length > 8 or content_at > stop:
            break
        identifier = int.from_bytes(data[at:size_at], "big")
        size = int.from_bytes(data[size_at:content_at], "big") & (1 << 7 * size_length) - 1
        end = stop if size == (1 << 7 * size_length) - 1 else content_at + size
        if end > stop:
            break
        found.append(Element(at, size_at, content_at, end, identifier))
        if identifier in MASTERS:
            found += _elements(data, content_at, end)
        at = end
    return found


# ---- MPEG transport streams


def ts_packets(data: bytearray, rng: random.Random) -> bytearray | None:
    """Packets are missing, twice, in another order or of another stream; their flags or times are others."""
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    if len(packets) < 4:
        return None
    for _ in range(rng.choice((1, 3, 10))):
        one, other = (rng.randrange(len(packets)) for _ in range(2))
        way = rng.choice(("gone", "twice", "swapped", "stream", "flags", "begin", "clock"))
        packet = packets[one]
        if way == "gone" and len(packets) > 4:
            del packets[one]
        elif way == "twice":
            packets.insert(other, bytearray(packet))
        elif way == "swapped":
            packets[one], packets[other] = packets[other], packets[one]
        elif len(packet) < 188:
            continue
        elif way == "stream":
            packet[1], packet[2] = packet[1] & 0xE0 | rng.randrange(32), rng.choice((0, 1, 17, 255, packet[2]))
        elif way == "flags":
            packet[3] = rng.randrange(256)
        elif way == "begin":
            packet[1] ^= 0x40
        elif (start := packet.find(b"\0\0\1")) >= 0:  # a packet of the elementary stream begins: its times
            for place in range(start + 7, min(start + 19, 188)):
                if rng.random() < 0.4:
                    packet[place] = rng.randrange(256)
    return bytearray(b"").join(packets)


# ---- sounds


FACTS = (b"fmt ", b"ds64", b"avih", b"strh", b"strf", b"idx1")  # chunks full of numbers
CHUNKS = (*FACTS, b"data", b"RIFF", b"RF64", b"fact", b"VP8L")


def riff_fields(data: bytearray, rng: random.Random) -> bytearray | None:
    """The format chunk says another coding, number of channels, rate, block or depth; or a chunk another size."""
    kinds = [kind for kind in (*CHUNKS, b"fmt ") if kind in data]  # twice as often where it is
    if not kinds:
        return None
    kind = rng.choice(kinds)
    place = data.find(kind)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = place + (8 + 2 * rng.randrange(20) if kind in FACTS else 4)
        form = "<H" if rng.random() < 0.5 else "<I"
        size = struct.calcsize(form)
        if at + size <= len(data):
            number = rng.choice((*EXTREMES, rng.randrange(2**32)))
            data[at : at + size] = struct.pack(form, number & (1 << 8 * size) - 1)
    return data


def mp3_headers(data: bytearray, rng: random.Random) -> bytearray | None:
    """A frame's header says another version, layer, rate or padding; a tag says another length or coding."""
    frames = [at for at in range(len(data) - 4) if data[at] == 0xFF and data[at + 1] & 0xE0 == 0xE0]
    if data[:3] == b"ID3" and rng.random() < 0.5:
        way = rng.randrange(3)
        if way == 0:  # the whole tag's length, 7 bits a byte
            data[6:10] = rng.choice((b"\0\0\0\0", b"\x7f\x7f\x7f\x7f", b"\xff\xff\xff\xff", b"\0\0\0\1"))
        elif way == 1:  # the version and the flags: unsynchronised, with an extended header
            data[3 + rng.randrange(3)] = rng.choice((0, 2, 3, 4, 0x40, 0x80, 0xC0, 0xFF))
        else:  # the first frame's length, flags and coding
            at = 14 + rng.randrange(8)
            data[at : at + 1] = bytes([rng.choice((0, 1, 2, 3, 4, 0x7F, 0xFF))])
        return data
    if not frames:
        return None
    for _ in range(rng.choice((1, 3, 10))):
        at = rng.choice(frames)
        data[at + 1 + rng.randrange(3)] = rng.randrange(256)
    return data


def flac_blocks(data: bytearray, rng: random.Random) -> bytearray | None:
    """The stream's facts (block sizes, rate, channels, bits, samples) or a block's kind and length are others."""
    if data[:4] != b"fLaC":
        return None
    blocks, at = [], 4
    while at + 4 <= len(data):
        blocks.append(at)
        last, length = data[at] & 0x80, int.from_bytes(data[at + 1 : at + 4], "big")
        at += 4 + length
        if last:
            break
    if rng.random() < 0.6 and len(data) >= 26:
        for _ in range(rng.choice((1, 2, 4))):
            data[8 + rng.randrange(18)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    else:
        at = rng.choice(blocks)
        field = rng.choice((slice(at, at + 1), slice(at + 1, at + 4)))
        data[field] = bytes(rng.choice((0, 1, 4, 6, 0x7F, 0x80, 0xFF)) for _ in data[field])
    return data
