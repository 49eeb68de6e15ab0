"""Seeded damage and lies: bytes flipped, files cut, boxes moved, headers that say what isn't so."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable

NUMBERS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
HOSTILE_VALUES = (
    None,
    True,
    -1,
    0,
    1e308,
    -1e308,
    2**63,
    10**40,
    "",
    "x" * 5000,
    "\0",
    "../../x",
    [],
    {},
    [[]],
    [1] * 9,
)
BOXES = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"udta", b"moof", b"traf", b"mvex", b"dinf"}


def mutated(data: bytes, suffix: str, seed: int) -> bytes:
    """`data` with one to three mutations: of any file's, or of its format."""
    chance = random.Random(seed)
    ways: list[Callable[[bytearray, random.Random], bytearray]] = [flip, flip, cut, blank, shuffle, lie]
    ways += [OF_FORMAT[suffix]] * 5 if suffix in OF_FORMAT else []
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3))):
        changed = chance.choice(ways)(changed, chance)
    return bytes(changed)


# ---- of any file


def flip(data: bytearray, chance: random.Random) -> bytearray:
    """Some bits, half of the time near the beginning, where headers are."""
    for _ in range(chance.choice((1, 3, 10, 60))):
        if data:
            reach = min(len(data), 600) if chance.random() < 0.5 else len(data)
            data[chance.randrange(reach)] ^= 1 << chance.randrange(8)
    return data


def cut(data: bytearray, chance: random.Random) -> bytearray:
    """The end, the beginning, or a piece in the middle is missing."""
    first, last = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    return chance.choice((data[:first], data[first:], data[:first] + data[last:]))


def blank(data: bytearray, chance: random.Random) -> bytearray:
    """A stretch of one value."""
    at = chance.randrange(len(data) + 1)
    count = min(chance.choice((4, 64, 1000)), len(data) - at)
    data[at : at + count] = bytes([chance.choice((0, 0xFF, 0x20))]) * count
    return data


def shuffle(data: bytearray, chance: random.Random) -> bytearray:
    """A piece stands elsewhere, or twice."""
    first, last = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    piece = data[first : min(last, first + 5000)]
    rest = data if chance.random() < 0.5 else data[:first] + data[first + len(piece) :]
    at = chance.randrange(len(rest) + 1)
    return rest[:at] + piece + rest[at:]


def lie(data: bytearray, chance: random.Random) -> bytearray:
    """A number of two, four or eight bytes has an extreme value."""
    form = chance.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
    size = struct.calcsize(form)
    if len(data) > size:
        at = chance.randrange(min(len(data), 2000 if chance.random() < 0.7 else len(data)) - size + 1)
        data[at : at + size] = struct.pack(form, chance.choice(NUMBERS) & (1 << 8 * size) - 1)
    return data


# ---- of one format


def mp4_boxes(data: bytearray, chance: random.Random) -> bytearray:
    """A box lies about its size, is missing, stands twice or elsewhere, or has an extreme number in it."""
    boxes = _boxes(data, 0, len(data))
    if not boxes:
        return lie(data, chance)
    at, size = chance.choice(boxes)
    way = chance.randrange(5)
    if way == 0:
        data[at : at + 4] = struct.pack(">I", chance.choice((*NUMBERS, size + 1, size - 1)) & 0xFFFFFFFF)
    elif way == 1:
        del data[at : at + size]
    elif way == 2:
        data[at:at] = data[at : at + size]
    elif way == 3:
        other, _ = chance.choice(boxes)
        data[other:other] = data[at : at + size]
    elif size >= 16:
        place = at + 8 + 4 * chance.randrange((size - 8) // 4)
        data[place : place + 4] = struct.pack(">I", chance.choice(NUMBERS))
    return data


def _boxes(data: bytes, at: int, stop: int) -> list[tuple[int, int]]:
    """(place, size) of every box, those inside others too."""
    found = []
    while at + 8 <= stop:
        size, kind = int.from_bytes(data[at : at + 4], "big"), bytes(data[at + 4 : at + 8])
        if size < 8 or at + size > stop:
            break
        found.append((at, size))
        if kind in BOXES:
            found += _boxes(data, at + 8, at + size)
        at += size
    return found


def ebml_sizes(data: bytearray, chance: random.Random) -> bytearray:
    """An element of Matroska is longer, shorter or without end."""
    for marker in chance.sample(
        (b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75", b"\x16\x54\xae\x6b", b"\xae", b"\xa3", b"\x9b"), 6
    ):
        if (at := data.find(marker, chance.randrange(200))) >= 0 and at + len(marker) < len(data):
            data[at + len(marker)] = chance.choice((0x80, 0xFF, 0x01, 0x08, 0x40, chance.randrange(256)))
            break
    return data


def ts_packets(data: bytearray, chance: random.Random) -> bytearray:
    """Packets of a transport stream are missing, twice, in another order, or of another stream."""
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    for _ in range(chance.choice((1, 3, 10))):
        one, other = (chance.randrange(len(packets)) for _ in range(2))
        way = chance.randrange(4)
        if way == 0 and len(packets) > 4:
            del packets[one]
        elif way == 1:
            packets.insert(other % len(packets), packets[one % len(packets)])
        elif way == 2:
            one, other = one % len(packets), other % len(packets)
            packets[one], packets[other] = packets[other], packets[one]
        elif len(packets[one % len(packets)]) > 2:
            packet = bytearray(packets[one % len(packets)])
            packet[2] = chance.randrange(256)
            packets[one % len(packets)] = packet
    return bytearray(b"").join(packets)


def riff_fields(data: bytearray, chance: random.Random) -> bytearray:
    """The format chunk says another coding, number of channels, rate, block or depth; or a chunk another size."""
    place = data.find(chance.choice((b"fmt ", b"data", b"RIFF", b"RF64", b"ds64", b"fact")))
    if place < 0:
        return lie(data, chance)
    at = place + (8 + 2 * chance.randrange(8) if data[place : place + 4] == b"fmt " else 4)
    form = "<H" if chance.random() < 0.5 else "<I"
    size = struct.calcsize(form)
    if at + size <= len(data):
        data[at : at + size] = struct.pack(form, chance.choice(NUMBERS) & (1 << 8 * size) - 1)
    return data


def png_chunks(data: bytearray, chance: random.Random) -> bytearray:
    """A chunk says something else, with the checksum that makes it believed."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + length > len(data):
            break
        chunks.append((at, length))
        at += 12 + length
    if not chunks:
        return lie(data, chance)
    at, length = chance.choice(chunks)
    inside = bytearray(data[at + 4 : at + 8 + length])
    for _ in range(chance.choice((1, 2, 5))):
        if length >= 4 and chance.random() < 0.6:
            place = 4 + chance.randrange(length - 3)
            inside[place : place + 4] = struct.pack(">I", chance.choice(NUMBERS))
        else:
            inside[chance.randrange(len(inside))] = chance.randrange(256)
    data[at + 4 : at + 12 + length] = inside + struct.pack(">I", zlib.crc32(inside))
    return data


def safetensors_header(data: bytearray, chance: random.Random) -> bytearray:
    """An entry of the header has another value, its length being right."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
    except ValueError:
        return lie(data, chance)
    text = json.dumps(_replaced(header, chance)).encode()
    return bytearray(struct.pack("<Q", len(text)) + text + data[8 + length :])


def zip_entries(data: bytearray, chance: random.Random) -> bytearray:
    """What lies inside the zip is damaged, its checksums being right."""
    try:
        with zipfile.ZipFile(io.BytesIO(bytes(data))) as file:
            entries = [(info.filename, file.read(info)) for info in file.infolist()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError, zlib.error, RuntimeError):
        return flip(data, chance)
    if not entries:
        return flip(data, chance)
    number = chance.randrange(len(entries)) if chance.random() < 0.4 else 0
    name, content = entries[number]
    way = chance.choice((flip, cut, lie, shuffle))
    entries[number] = (name, bytes(way(bytearray(content), chance)))
    if chance.random() < 0.2:
        entries.pop(chance.randrange(len(entries)))
    written = io.BytesIO()
    kind = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(written, "w", kind) as file:
        for name, content in entries:
            file.writestr(name, content)
    return bytearray(written.getvalue())


def json_values(data: bytearray, chance: random.Random) -> bytearray:
    """A value, or the whole, is another one."""
    try:
        content = json.loads(bytes(data))
    except ValueError:
        return flip(data, chance)
    return bytearray(json.dumps(_replaced(content, chance)).encode())


def _replaced(value: object, chance: random.Random) -> object:
    """`value` with something in it replaced, at any depth."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(sorted(value))
        changed = dict(value)
        if chance.random() < 0.15:
            changed[chance.choice(("", "x" * 300, "__proto__", "0"))] = changed.pop(key)
        else:
            changed[key] = _replaced(value[key], chance)
        return changed
    if isinstance(value, list) and value and chance.random() < 0.85:
        place = chance.randrange(len(value))
        return [*value[:place], _replaced(value[place], chance), *value[place + 1 :]]
    return chance.choice(HOSTILE_VALUES)


OF_FORMAT = {
    ".mp4": mp4_boxes,
    ".mov": mp4_boxes,
    ".mkv": ebml_sizes,
    ".ts": ts_packets,
    ".wav": riff_fields,
    ".png": png_chunks,
    ".safetensors": safetensors_header,
    ".pt": zip_entries,
    ".json": json_values,
}
