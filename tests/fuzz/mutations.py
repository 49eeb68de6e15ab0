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
    rng = random.Random(seed)
    own = OF_FORMAT.get(suffix)
    ways: list[Mutation] = [flip_bits, flip_bits, truncate, fill_run, move_piece, set_extreme] + (
        [own] * 7 if own else []
    )
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        made = rng.choice(ways)(bytearray(changed), rng)
        changed = flip_bits(changed, rng) if made is None else made  # None: an earlier one left nothing of the format
    return bytes(changed)


def flip_bits(data: bytearray, rng: random.Random) -> bytearray:
    """Some bits, half of the time near the beginning, where headers are."""
    for _ in range(rng.choice((1, 3, 10, 60))):
        if data:
            reach = min(len(data), 4096) if rng.random() < 0.5 else len(data)
            data[rng.randrange(reach)] ^= 1 << rng.randrange(8)
    return data


def truncate(data: bytearray, rng: random.Random) -> bytearray:
    """The end, the beginning, or a piece in the middle is missing; or nothing is left but a few bytes."""
    if rng.random() < 0.1:
        return data[: rng.randrange(64)]
    first, last = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return rng.choice((data[:first], data[first:], data[:first] + data[last:]))


def fill_run(data: bytearray, rng: random.Random) -> bytearray:
    """A stretch of one value."""
    at = rng.randrange(len(data) + 1)
    count = min(rng.choice((4, 64, 1000)), len(data) - at)
    data[at : at + count] = bytes([rng.choice((0, 0xFF, 0x20))]) * count
    return data


def move_piece(data: bytearray, rng: random.Random) -> bytearray:
    """A piece stands elsewhere, or twice."""
    first, last = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    piece = data[first : min(last, first + 5000)]
    rest = data if rng.random() < 0.5 else data[:first] + data[first + len(piece) :]
    at = rng.randrange(len(rest) + 1)
    return rest[:at] + piece + rest[at:]


def set_extreme(data: bytearray, rng: random.Random) -> bytearray:
    """A number of two, four or eight bytes has an extreme value."""
    form = rng.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
    size = struct.calcsize(form)
    if len(data) > size:
        at = rng.randrange(min(len(data), 4096 if rng.random() < 0.7 else len(data)) - size + 1)
        data[at : at + size] = struct.pack(form, rng.choice(EXTREMES) & (1 << 8 * size) - 1)
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
