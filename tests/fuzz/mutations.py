"""Seeded damage and lies: bytes flipped, files cut, pieces moved, numbers at their extremes; then a format's own."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from tests.fuzz import data_mutations, media_mutations, picture_mutations
from tests.fuzz.extremes import EXTREMES

Mutation = Callable[[bytearray, random.Random], bytearray | None]
"""Gives the changed data; None where it finds nothing of its kind to change."""


def mutated(data: bytes, suffix: str, seed: int) -> bytes:
    """`data` with one to three mutations: of any file's, or of its format."""
    chance = random.Random(seed)
    own = OF_FORMAT.get(suffix)
    ways: list[Mutation] = [flip, flip, cut, blank, shuffle, lie] + ([own] * 7 if own else [])
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3))):
        made = chance.choice(ways)(bytearray(changed), chance)
        changed = flip(changed, chance) if made is None else made  # None: an earlier one left nothing of the format
    return bytes(changed)


def flip(data: bytearray, chance: random.Random) -> bytearray:
    """Some bits, half of the time near the beginning, where headers are."""
    for _ in range(chance.choice((1, 3, 10, 60))):
        if data:
            reach = min(len(data), 4096) if chance.random() < 0.5 else len(data)
            data[chance.randrange(reach)] ^= 1 << chance.randrange(8)
    return data


def cut(data: bytearray, chance: random.Random) -> bytearray:
    """The end, the beginning, or a piece in the middle is missing; or nothing is left but a few bytes."""
    if chance.random() < 0.1:
        return data[: chance.randrange(64)]
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
        at = chance.randrange(min(len(data), 4096 if chance.random() < 0.7 else len(data)) - size + 1)
        data[at : at + size] = struct.pack(form, chance.choice(EXTREMES) & (1 << 8 * size) - 1)
    return data


OF_FORMAT: dict[str, Mutation] = {
    ".mp4": media_mutations.mp4_boxes,
    ".mov": media_mutations.mp4_boxes,
    ".m4a": media_mutations.mp4_boxes,
    ".mkv": media_mutations.ebml_elements,
    ".webm": media_mutations.ebml_elements,
    ".ts": media_mutations.ts_packets,
    ".wav": media_mutations.riff_fields,
    ".avi": media_mutations.riff_fields,
    ".mp3": media_mutations.mp3_headers,
    ".flac": media_mutations.flac_blocks,
    ".png": picture_mutations.png_chunks,
    ".jpg": picture_mutations.jpeg_segments,
    ".webp": media_mutations.riff_fields,
    ".tif": picture_mutations.tiff_entries,
    ".safetensors": data_mutations.safetensors_header,
    ".pt": data_mutations.checkpoint,
    ".npz": data_mutations.zip_entries,
    ".json": data_mutations.json_values,
}
