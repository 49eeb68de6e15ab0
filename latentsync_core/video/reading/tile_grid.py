"""Reads photos that are stored as a grid of tiles, as phones write HEIC: the tiles, how they lie, and their planes.

The file's header names the picture's items; decoders know the tiles alone. ISO/IEC 23008-12 (HEIF), 14496-12 (boxes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from ...errors import VideoError
from ...media.opening import MAX_FRAME_PIXELS
from ...media.truncation import has_picture_brand, is_truncated
from ..clip import Crop
from ..orientation import Orientation
from ..pixel_format import PixelFormat, planar_name
from .planes import color_planes

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

MAX_HEADER_BYTES = 1 << 24  # of the "meta" box; a phone's has a few thousand
MAX_GRID_BYTES = 12  # of what a grid says of itself
MAX_TILES = 4096  # a photo of 200 megapixels in tiles of 512 pixels has 763; each gets a decoder


@dataclass(frozen=True)
class TileGrid:
    """How a picture is put together."""

    tiles: tuple[int, ...]  # the tiles' items, row by row: the ids of their streams
    columns: int
    width: int  # pixels, as stored; tiles may reach beyond
    height: int
    orientation: Orientation


def tile_grid(path: Path) -> TileGrid | None:
    """The grid that the file's picture is made of; None where it is no HEIF file, or its picture is no grid.

    Raises:
        VideoError: the grid is damaged, or has more than MAX_FRAME_PIXELS.
    """
    if not has_picture_brand(path):
        return None
    try:
        grid = _read_grid(path)
    except (struct.error, IndexError, KeyError):
        raise _damaged(path, "its header ends too early") from None
    except OSError as problem:
        raise VideoError(f"Can't read {path}: {problem.strerror or problem}.") from None
    if grid is not None and grid.width * grid.height > MAX_FRAME_PIXELS:
        raise VideoError(
            f"{path} has {grid.width}×{grid.height} pixels, more than {MAX_FRAME_PIXELS >> 20} million: scale it down "
            f"first."
        )
    return grid


def first_tile(path: Path, container: InputContainer, grid: TileGrid) -> VideoFrame:
    """The decoded tile at the top left, whose format and colours are those of all. Raises as `joined_planes`."""
    (frame,) = _decoded_tiles(path, container, grid.tiles[:1])
    return frame[1]


def joined_planes(path: Path, container: InputContainer, grid: TileGrid) -> tuple[str, tuple[np.ndarray, ...]]:
    """The whole picture: its planar format, and its three planes as stored.

    Raises:
        VideoError: a tile is missing, can't be decoded or differs from the others, or tiles don't cover the picture.
    """
    known: tuple[int, int, str] | None = None
    planes: tuple[np.ndarray, ...] = ()
    for item, tile in _decoded_tiles(path, container, grid.tiles):
        found = (tile.width, tile.height, planar_name(tile.format.name))
        form = PixelFormat.of(found[2])
        if known is None:
            known, shapes = found, form.plane_shapes(grid.width, grid.height)
            _check_cover(path, grid, tile.width, tile.height, form)
            planes = tuple(np.zeros(shape, form.dtype) for shape in shapes)
        if found != known:
            raise _damaged(path, "its tiles differ in size or format")
        parts = color_planes(tile, form, tile.width, tile.height, Crop())
        for place in (place for place, one in enumerate(grid.tiles) if one == item):
            row, column = divmod(place, grid.columns)
            for whole, part in zip(planes, parts, strict=True):
                spot = whole[row * part.shape[0] :, column * part.shape[1] :][: part.shape[0], : part.shape[1]]
                spot[:] = part[: spot.shape[0], : spot.shape[1]]
    return (known or (0, 0, ""))[2], planes


def _decoded_tiles(path: Path, container: InputContainer, tiles: tuple[int, ...]) -> Iterator[tuple[int, VideoFrame]]:
    """Every tile once, in the file's order, with its item."""
    from av.error import FFmpegError

    streams = {stream.id: stream for stream in container.streams.video if stream.id in tiles}
    missing = len(set(tiles) - set(streams))
    for stream in streams.values():
        if stream.codec_context is None:
            raise VideoError(f"The codec of {path} has no decoder here: export it as PNG, JPEG or TIFF.")
        stream.codec_context.thread_count = 1  # each tile has a decoder of its own
    try:
        for packet in container.demux(*streams.values()) if streams else ():
            for frame in packet.decode():
                item = cast("VideoStream", packet.stream).id
                if streams.pop(item, None) is not None:
                    yield item, cast("VideoFrame", frame)
            if not streams:
                break
    except FFmpegError as problem:
        raise _damaged(path, f"a tile can't be decoded ({problem.strerror or problem})") from None
    if missing or streams:
        raise _damaged(path, f"{missing + len(streams)} of its tiles are missing")


def _check_cover(path: Path, grid: TileGrid, width: int, height: int, form: PixelFormat) -> None:
    """Raises unless tiles of that size cover the picture and begin on whole chroma samples."""
    rows = len(grid.tiles) // grid.columns
    is_covered = grid.columns * width >= grid.width and rows * height >= grid.height
    is_aligned = width % (1 << form.chroma_shift_x) == 0 and height % (1 << form.chroma_shift_y) == 0
    if not is_covered or not is_aligned:
        shape = f"{grid.columns}×{rows} tiles of {width}×{height} pixels"
        raise _damaged(path, f"{shape} don't make a picture of {grid.width}×{grid.height}")


def _damaged(path: Path, fact: str) -> VideoError:
    if is_truncated(path):
        return VideoError(f"{path} is cut short, its end is missing: copy or export it again.")
    return VideoError(f"{path} is damaged: {fact}. Copy or export it again.")


# ---- the header


def _read_grid(path: Path) -> TileGrid | None:
    with path.open("rb") as file:
        meta = _meta(file.read(64), path)
        if not meta:
            return None
        boxes = dict(_boxes(meta, 4))
        primary = _primary_item(boxes[b"pitm"])
        if _item_kinds(boxes[b"iinf"]).get(primary) != b"grid":
            return None
        data = _item_data(boxes, primary)
        if isinstance(data, tuple):
            at, size = data
            file.seek(at)
            data = file.read(size)
    flags, rows, columns = struct.unpack_from(">xBBB", data)
    width, height = struct.unpack_from(">II" if flags & 1 else ">HH", data, 4)
    tiles = _tiles_of(boxes[b"iref"], primary)
    rows, columns = rows + 1, columns + 1
    if len(tiles) != rows * columns or len(tiles) > MAX_TILES or not width or not height:
        shape = f"its picture of {width}×{height} pixels is a grid of {columns}×{rows} tiles"
        raise _damaged(path, f"{shape} and names {len(tiles)}")
    return TileGrid(tiles, columns, width, height, _orientation(boxes[b"iprp"], primary))


def _meta(head: bytes, path: Path) -> bytes:
    """The payload of the "meta" box, which follows the first box of the file; empty where there is none."""
    (at,) = struct.unpack_from(">I", head)
    size = path.stat().st_size
    with path.open("rb") as file:
        while at >= 8 and at + 8 <= size:
            file.seek(at)
            length, kind = struct.unpack(">I4s", file.read(8))
            if kind == b"meta":
                return file.read(min(length - 8, MAX_HEADER_BYTES)) if length > 8 else b""
            if length < 8:
                return b""
            at += length
    return b""


def _boxes(data: bytes, at: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """The kind and the payload of the boxes in `data`, from byte `at` on."""
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if length < 8:
            return
        yield kind, data[at + 8 : at + length]
        at += length


def _primary_item(box: bytes) -> int:
    return struct.unpack_from(">H" if box[0] == 0 else ">I", box, 4)[0]


def _item_kinds(box: bytes) -> dict[int, bytes]:
    kinds = {}
    for kind, entry in _boxes(box, 6 if box[0] == 0 else 8):
        if kind == b"infe" and entry[0] >= 2:
            form = ">H2x4s" if entry[0] == 2 else ">I2x4s"
            item, kinds_name = struct.unpack_from(form, entry, 4)
            kinds[item] = kinds_name
    return kinds


def _item_data(boxes: dict[bytes, bytes], wanted: int) -> bytes | tuple[int, int]:
    """An item's own data, where they lie in the header; else where they lie in the file: first byte and count."""
    box = boxes[b"iloc"]
    version, sizes = box[0], struct.unpack_from(">BB", box, 4)
    offset_bytes, length_bytes, base_bytes = sizes[0] >> 4, sizes[0] & 15, sizes[1] >> 4
    index_bytes = sizes[1] & 15 if version else 0
    fields = _Fields(box, 6)
    for _ in range(fields.take(4 if version == 2 else 2)):
        item = fields.take(4 if version == 2 else 2)
        method = fields.take(2) & 15 if version else 0
        fields.take(2)  # where other files hold the data
        base, extents = fields.take(base_bytes), fields.take(2)
        if extents > 1 and not offset_bytes + length_bytes + index_bytes:
            raise IndexError("parts without a place")
        places = []
        for _ in range(extents):
            fields.take(index_bytes)
            places.append((base + fields.take(offset_bytes), fields.take(length_bytes)))
        if item == wanted:
            at, size = places[0][0], min(places[0][1] or MAX_GRID_BYTES, MAX_GRID_BYTES)
            return boxes[b"idat"][at : at + size] if method == 1 else (at, size)
    raise KeyError(wanted)


def _tiles_of(box: bytes, grid: int) -> tuple[int, ...]:
    width = 2 if box[0] == 0 else 4
    for kind, entry in _boxes(box, 4):
        fields = _Fields(entry, 0)
        if kind == b"dimg" and fields.take(width) == grid:
            return tuple(fields.take(width) for _ in range(fields.take(2)))
    return ()


def _orientation(box: bytes, item: int) -> Orientation:
    """What an item's "irot" and "imir" ask for: counterclockwise quarter turns, then a swap of sides.

    Axis 0 swaps top and bottom, 1 left and right.
    """
    properties = dict(_boxes(box))
    known = list(_boxes(properties[b"ipco"]))
    version, flags = properties[b"ipma"][0], properties[b"ipma"][3]
    fields = _Fields(properties[b"ipma"], 4)
    angle, mirrored = 0, False
    for _ in range(fields.take(4)):
        owner = fields.take(2 if version == 0 else 4)
        numbers = [fields.take(2 if flags & 1 else 1) & (0x7FFF if flags & 1 else 0x7F) for _ in range(fields.take(1))]
        if owner != item:
            continue
        for kind, payload in (known[number - 1] for number in numbers if 0 < number <= len(known)):
            if kind == b"irot":
                angle -= 90 * (payload[0] & 3)
            elif kind == b"imir":
                mirrored = True
                angle += 0 if payload[0] & 1 else 180  # top to bottom: turned by half, then left to right
    return Orientation(angle % 360, mirrored)


class _Fields:
    """Big-endian integers of any number of bytes, one after the other. IndexError beyond the end."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    def take(self, size: int) -> int:
        end = self._at + size
        if end > len(self._data):
            raise IndexError("the box ends within a number")
        value = int.from_bytes(self._data[self._at : end], "big")
        self._at = end
        return value
