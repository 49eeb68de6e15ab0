"""Lies in files of weights, faces and marks: headers, zip archives, pickles, arrays and JSON."""

from __future__ import annotations

import contextlib
import io
import json
import pickletools
import random
import struct
import warnings
import zipfile
import zlib

HOSTILE_VALUES = (
    None,
    True,
    -1,
    0,
    1,
    0.5,
    1e308,
    -1e308,
    float("nan"),
    float("inf"),
    2**31,
    2**63,
    10**40,
    "",
    "x" * 5000,
    "\0",
    "\ud800",
    "../../x",
    [],
    {},
    [[]],
    [1] * 9,
)
DAMAGED_ZIP = (
    zipfile.BadZipFile,
    OSError,
    ValueError,
    NotImplementedError,
    EOFError,
    zlib.error,
    RuntimeError,
    struct.error,
)
DAMAGED_PICKLE = (ValueError, LookupError, AttributeError, OverflowError, EOFError, struct.error)
OPCODES = tuple(opcode.code.encode("latin-1") for opcode in pickletools.opcodes)


def safetensors_header(data: bytearray, rng: random.Random) -> bytearray | None:
    """An entry of the header has another value, its length being right."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError):
        return None
    text = json.dumps(_replaced(header, rng)).encode()
    return bytearray(struct.pack("<Q", len(text)) + text + data[8 + length :])


def checkpoint(data: bytearray, rng: random.Random) -> bytearray | None:
    """A .pt file of either form."""
    return zip_entries(data, rng) if data[:2] == b"PK" else pickle_operations(data, rng)


def zip_entries(data: bytearray, rng: random.Random) -> bytearray | None:
    """What lies inside the zip is damaged, its checksums being right; or its directory lies."""
    try:
        with zipfile.ZipFile(io.BytesIO(bytes(data))) as file:
            entries = [(info.filename, bytearray(file.read(info))) for info in file.infolist()]
    except DAMAGED_ZIP:
        return None
    if not entries:
        return None
    way = rng.choice(("content", "content", "content", "content", "gone", "name", "directory"))
    if way == "directory":  # a field of a file's entry: flags, compression, sizes, name's length, place
        at = data.rfind(b"PK\1\2") if rng.random() < 0.5 else data.find(b"PK\1\2")
        place = at + rng.choice((8, 10, 16, 20, 24, 28, 30, 42))
        data[place : place + 2] = struct.pack("<H", rng.choice((0, 1, 8, 12, 14, 99, 0x7FFF, 0xFFFF)))
        return data
    number = 0 if rng.random() < 0.6 else rng.randrange(len(entries))
    name, content = entries[number]
    if way == "gone":
        entries.pop(number)
    elif way == "name":
        entries[number] = (rng.choice(("../../x", "/x", "a" * 300, entries[-1][0], "\0")), content)
    else:
        changed = content
        if name.endswith(".pkl"):
            changed = pickle_operations(content, rng)
        elif name.endswith(".npy") and rng.random() < 0.7:
            changed = _array_header(content, rng)
        entries[number] = (name, changed or content[: len(content) // 2])
    written = io.BytesIO()
    kind = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with warnings.catch_warnings(), zipfile.ZipFile(written, "w", kind) as file:
        warnings.simplefilter("ignore")  # of two files with one name
        for name, content in entries:
            file.writestr(zipfile.ZipInfo(name), bytes(content), kind)
    return bytearray(written.getvalue())


def pickle_operations(data: bytearray, rng: random.Random) -> bytearray | None:
    """An operation of the pickle is another one, missing, twice or elsewhere, or has another argument."""
    places = []
    with contextlib.suppress(*DAMAGED_PICKLE):  # by an earlier mutation: what comes before that is enough
        for _, _, place in pickletools.genops(bytes(data)):
            places.append(place)
    if len(places) < 3:
        return None
    for _ in range(rng.choice((1, 1, 2, 4))):
        number = rng.randrange(len(places) - 1)
        first, last = places[number], places[number + 1]
        piece = bytes(data[first:last])
        way = rng.choice(("operation", "gone", "twice", "elsewhere", "argument", "argument"))
        if way == "operation":
            data[first : first + 1] = rng.choice(OPCODES)
        elif way == "argument" and last - first > 1:
            data[first + 1 : last] = bytes(rng.choice((0, 1, 0x7F, 0xFF, byte)) for byte in piece[1:])
        else:
            data[first:last] = piece * 2 if way == "twice" else b""
            if way == "elsewhere":
                place = rng.choice(places)
                data[place:place] = piece
            break  # the places behind it are others now
    return data


def _array_header(data: bytearray, rng: random.Random) -> bytearray | None:
    """The header of a .npy file says another shape or type."""
    if data[:6] != b"\x93NUMPY":
        return None
    length = int.from_bytes(data[8:10], "little")
    kind = rng.choice(("<f4", "<i8", "|O", "|b1", "<f8", "<U9", "|V0"))
    shape = rng.choice(("()", "(0,)", "(-1,)", "(1099511627776, 4)", "(3000000000,)", "(2, 2)", "(1, 'a')", "9"))
    text = f"{{'descr': '{kind}', 'fortran_order': {rng.random() < 0.3}, 'shape': {shape}, }}\n".encode()
    return data[:8] + struct.pack("<H", len(text)) + text + data[10 + length :]


def json_values(data: bytearray, rng: random.Random) -> bytearray | None:
    """A value, or the whole, is another one."""
    try:
        content = json.loads(bytes(data))
    except (ValueError, RecursionError):
        return None
    return bytearray(json.dumps(_replaced(content, rng)).encode())


def _replaced(value: object, rng: random.Random) -> object:
    """`value` with something in it replaced, at any depth."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(sorted(value))
        changed = dict(value)
        if rng.random() < 0.15:
            changed[rng.choice(("", "x" * 300, "__proto__", "0", "\ud800"))] = changed.pop(key)
        else:
            changed[key] = _replaced(value[key], rng)
        return changed
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        return [*value[:place], _replaced(value[place], rng), *value[place + 1 :]]
    if isinstance(value, (int, float)) and not isinstance(value, bool) and rng.random() < 0.4:
        return rng.choice((-value, value + 1, value * 2, value * 2**20, value / 3))
    return rng.choice(HOSTILE_VALUES)
