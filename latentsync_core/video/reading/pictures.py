"""Reads pictures: a still is a clip of one frame in memory; GIF, APNG, WebP and TIFF pages that move are streamed."""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...errors import VideoError
from ...media.opening import MAX_IMAGE_PIXELS, can_open_avif, open_image
from ...messages import Note, NoteLevel
from ..clip import Clip, FileIdentity
from ..pixel_format import IN_MEMORY
from .listing.rates import STILL_IMAGE_FPS, detect_fps
from .listing.stamps import rate_text

if TYPE_CHECKING:
    from PIL import Image

PILLOW_SUFFIXES = {".png", ".apng", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
MAGIC = (b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
AVIF_BRANDS = (b"avif", b"avis")
MOVING_FORMATS = {"PNG", "GIF", "WEBP", "AVIF", "TIFF"}  # Pillow's names; other files' further pictures are no frames
# What Pillow raises on bytes that aren't what their header says; it states no complete list.
DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, struct.error, zlib.error)
DEEP = "gbrp16le"  # the format of frames with 16 bits
UNSET_SECONDS = Fraction(1, 10)  # that a frame without a duration is shown, as browsers and ffmpeg do
MIN_SECONDS = Fraction(1, 1000)
MIN_GIF_SECONDS = Fraction(1, 50)  # less counts as unset in a GIF, for both
TICK = Fraction(1, 1_000_000)  # seconds, where durations aren't whole milliseconds: APNG's are fractions


def is_picture(path: Path) -> bool:
    """Whether Pillow is to read the file: by its suffix, or by what it begins with."""
    if path.suffix.lower() in PILLOW_SUFFIXES:
        return True
    with path.open("rb") as file:
        head = file.read(16)
    is_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    is_avif = head[4:8] == b"ftyp" and head[8:12] in AVIF_BRANDS and can_open_avif()
    return is_webp or is_avif or head.startswith(MAGIC)


def picture_clip(path: Path, identity: FileIdentity) -> Clip:
    """A still as a clip of one float RGB frame in memory; pictures that move as a clip of the file, in planar RGB.

    Transparency is left out.

    Raises:
        VideoError: it can't be read, or is too large.
    """
    from PIL import Image

    try:
        with open_image(path) as picture:
            first = _first_number(picture)
            if _frame_count(picture) - first > 1:
                listing = _list_frames(picture, first)
                if listing is not None:
                    return _moving_clip(identity, listing)
                picture.seek(0)
            return _still_clip(picture)
    except Image.DecompressionBombError:
        raise VideoError(f"The picture {path} grows beyond {MAX_IMAGE_PIXELS >> 20} million pixels.") from None
    except DECODE_ERRORS as problem:
        raise VideoError(f"The picture {path} is damaged ({problem}): export it again.") from None


def picture_frames(picture: Image.Image, clip: Clip, start: int) -> Iterator[tuple[np.ndarray, ...]]:
    """The planes (G, B, R) of the file's frames from number `start` on, each (H, W) uint8 or uint16.

    Raises:
        VideoError: a frame can't be decoded or has another size.
    """
    from PIL import Image

    first = _first_number(picture)
    for number in range(start, _frame_count(picture) - first):
        try:
            picture.seek(first + number)
            pixels = _pixels(picture)
        except (Image.DecompressionBombError, *DECODE_ERRORS) as problem:
            raise VideoError(
                f"Frame {number} of {clip.name} can't be decoded ({problem}): the file is damaged."
            ) from None
        if pixels.shape[:2] != (clip.height, clip.width):
            raise VideoError(f"{clip.name} changes its size at frame {number}: split it there.")
        if pixels.dtype == np.uint8 and clip.pixel_format == DEEP:
            pixels = pixels.astype(np.uint16) * 257
        planes = (pixels,) * 3 if pixels.ndim == 2 else (pixels[..., 1], pixels[..., 2], pixels[..., 0])
        yield tuple(plane.copy() for plane in planes)


@dataclass(frozen=True)
class _Listing:
    size: tuple[int, int]  # width, height, upright
    seconds: tuple[Fraction | None, ...]  # of each frame; None in formats without times
    is_deep: bool  # whether a frame has 16 bits


def _list_frames(picture: Image.Image, first: int) -> _Listing | None:
    """What the file says of each frame, decoding one at a time; None where pages of several sizes are no film."""
    sizes: set[tuple[int, int]] = set()  # as stored
    shown, seconds, is_deep = (0, 0), [], False
    for number in range(first, _frame_count(picture)):
        picture.seek(number)
        sizes.add(picture.size)
        if len(sizes) > 1:
            return None
        picture.load()  # WebP's durations are known only then
        seconds.append(_seconds(picture))
        is_deep |= _is_deep(picture)
        if number == first:
            height, width = _pixels(picture).shape[:2]
            shown = (width, height)
    return _Listing(shown, tuple(seconds), is_deep)


def _moving_clip(identity: FileIdentity, listing: _Listing) -> Clip:
    count, notes = len(listing.seconds), ()
    known = [one for one in listing.seconds if one is not None]
    if len(known) == count:
        tick = TICK if any((one * 1000).denominator > 1 for one in known) else Fraction(1, 1000)
        begins = itertools.accumulate(known[:-1], initial=Fraction(0))
        pts = np.array([round(begin / tick) for begin in begins], np.int64)
        fps = detect_fps(pts, tick, [1 / known[0]])
    else:
        pts, fps, tick = np.arange(count, dtype=np.int64), STILL_IMAGE_FPS, 1 / STILL_IMAGE_FPS
        fact = f"The file's {count} pages have no times: they are shown at {rate_text(fps)} frames a second."
        notes = (Note(fact, NoteLevel.WARNING),)
    width, height = listing.size
    form = DEEP if listing.is_deep else "gbrp"
    return Clip(identity, None, count, 0, fps, tick, pts, width, height, form, notes=notes)


def _still_clip(picture: Image.Image) -> Clip:
    pixels = _pixels(picture)
    values = torch.from_numpy(pixels.astype(np.float32) * np.float32(1 / (255 if pixels.dtype == np.uint8 else 65535)))
    if values.ndim == 2:
        values = values[..., None].expand(-1, -1, 3)
    notes, pages = (), _frame_count(picture)
    if pages > 1 and picture.format == "TIFF":
        fact = f"Only the first of the file's {pages} pages is used: the others have other sizes."
        notes = (Note(fact, NoteLevel.WARNING),)
    rate, pts = STILL_IMAGE_FPS, np.zeros(1, np.int64)
    height, width = pixels.shape[:2]
    return Clip(None, values[None], 1, 0, rate, 1 / rate, pts, width, height, IN_MEMORY, notes=notes)


def _frame_count(picture: Image.Image) -> int:
    return getattr(picture, "n_frames", 1) if picture.format in MOVING_FORMATS else 1


def _first_number(picture: Image.Image) -> int:
    """The number of the first frame; an APNG may have a picture before it, for programs that show stills only."""
    return int(bool(picture.info.get("default_image")))


def _seconds(picture: Image.Image) -> Fraction | None:
    """How long the current frame is shown; None in a format without times."""
    if picture.format == "TIFF":
        return None
    shown = Fraction(picture.info.get("duration") or 0).limit_denominator(1_000_000) / 1000
    shortest = MIN_GIF_SECONDS if picture.format == "GIF" else MIN_SECONDS
    return shown if shown >= shortest else UNSET_SECONDS


def _is_deep(picture: Image.Image) -> bool:
    return picture.mode.startswith("I;16")


def _pixels(picture: Image.Image) -> np.ndarray:
    """The current frame upright: (H, W, 3) uint8, or (H, W) uint16 of a deep grey one."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(picture)
    return np.asarray(upright, np.uint16) if _is_deep(upright) else np.asarray(upright.convert("RGB"))
