"""Writes HEIC and AVIF pictures stored as a grid of tiles, as phones do: boxes of our own around an encoder's tiles."""

from __future__ import annotations

import struct
from pathlib import Path

import av

from latentsync_core.errors import VideoError
from latentsync_core.media.ffmpeg import run_ffmpeg

ENCODERS = {  # of a brand: its item type, the box of its decoder's configuration, and ffmpeg's arguments
    "heic": (b"hvc1", b"hvcC", ("-c:v", "libx265", "-tag:v", "hvc1", "-x265-params", "log-level=none:keyint=1")),
    "avif": (b"av01", b"av1C", ("-c:v", "libaom-av1", "-cpu-used", "8", "-g", "1")),
}
TILE = 64  # pixels, both ways
COLUMNS, ROWS = 3, 2


def write_tiled_picture(
    path: Path,
    *,
    size: tuple[int, int] | None = None,
    rotation: int = 0,
    mirror: int | None = None,
    brand: str = "heic",
    pixel_format: str = "yuv420p",
    listed_tiles: int | None = None,
    grid_in_file: bool = False,
    tiles: Path | None = None,
) -> Path:
    """Writes a picture of COLUMNS by ROWS tiles to `path` and returns it.

    Args:
        size: of the picture; the tiles beyond it are cut off.
        rotation: quarter turns counterclockwise, as "irot" counts them.
        mirror: the axis of "imir".
        listed_tiles: how many of the tiles the grid refers to.
        grid_in_file: the grid's own data lies beside the tiles rather than in the header.
        tiles: where the tiles are kept as a film, one a frame.
    """
    width, height = size or (COLUMNS * TILE, ROWS * TILE)
    film = tiles or path.with_suffix(".mp4")
    coded, configuration = _encode_tiles(film, brand, pixel_format)
    if tiles is None:
        film.unlink()
    kind, configuration_kind, _ = ENCODERS[brand]
    wide = max(width, height) >= 1 << 16
    grid = struct.pack(">BBBBII" if wide else ">BBBBHH", 0, wide, ROWS - 1, COLUMNS - 1, width, height)
    properties = [
        _box(configuration_kind, configuration),
        _full_box(b"ispe", struct.pack(">II", TILE, TILE)),
        _full_box(b"ispe", struct.pack(">II", width, height)),
        *([_box(b"irot", bytes([rotation]))] if rotation else []),
        *([_box(b"imir", bytes([mirror]))] if mirror is not None else []),
    ]
    numbers = range(2, 2 + len(coded))
    infos = [_full_box(b"infe", struct.pack(">HH", 1, 0) + b"grid\0", 2)]
    infos += [_full_box(b"infe", struct.pack(">HH", number, 0) + kind + b"\0", 2) for number in numbers]
    listed = list(numbers)[:listed_tiles]
    reference = _box(b"dimg", struct.pack(f">HH{len(listed)}H", 1, len(listed), *listed))
    of_grid = bytes([3, *(0x80 | number for number in range(4, len(properties) + 1))])
    associations = [struct.pack(">HB", 1, len(of_grid)) + of_grid]
    associations += [struct.pack(">HB", number, 2) + bytes([0x81, 2]) for number in numbers]
    head = _box(b"ftyp", brand.encode() + bytes(4) + b"mif1" + brand.encode())

    def meta(begin: int) -> bytes:
        """The header, where the tiles' data begin at byte `begin` of the file."""
        at = begin + (len(grid) if grid_in_file else 0)
        places = [struct.pack(">HHHHII", 1, not grid_in_file, 0, 1, begin if grid_in_file else 0, len(grid))]
        for number, tile in zip(numbers, coded, strict=True):
            places.append(struct.pack(">HHHHII", number, 0, 0, 1, at, len(tile)))
            at += len(tile)
        parts = [
            _full_box(b"hdlr", bytes(4) + b"pict" + bytes(13)),
            _full_box(b"pitm", struct.pack(">H", 1)),
            _full_box(b"iloc", struct.pack(">BBH", 0x44, 0, len(places)) + b"".join(places), 1),
            _full_box(b"iinf", struct.pack(">H", len(infos)) + b"".join(infos)),
            _full_box(b"iref", reference),
            _box(b"iprp", _box(b"ipco", b"".join(properties))
                 + _full_box(b"ipma", struct.pack(">I", len(associations)) + b"".join(associations))),
            *([] if grid_in_file else [_box(b"idat", grid)]),
        ]  # fmt: skip
        return _full_box(b"meta", b"".join(parts))

    begin = len(head) + len(meta(0)) + 8
    data = (grid if grid_in_file else b"") + b"".join(coded)
    path.write_bytes(head + meta(begin) + _box(b"mdat", data))
    return path


def _encode_tiles(film: Path, brand: str, pixel_format: str) -> tuple[list[bytes], bytes]:
    """A test picture's tiles, row by row, as an encoder writes them, and the configuration that they share."""
    source = ["-f", "lavfi", "-i", f"testsrc2=s={COLUMNS * TILE}x{ROWS * TILE}"]
    cut = f"trim=end_frame=1,untile={COLUMNS}x{ROWS},format={pixel_format}"
    run_ffmpeg(["-y", *source, "-vf", cut, *ENCODERS[brand][2], str(film)], error=VideoError, what="making tiles")
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        configuration = bytes(stream.codec_context.extradata)
        coded = [bytes(packet) for packet in container.demux(stream) if packet.size]
    return coded, configuration


def _box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", 8 + len(payload)) + kind + payload


def _full_box(kind: bytes, payload: bytes, version: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24) + payload)
