"""Writes patches with alpha as a folder of PNG files, one a frame: what every compositing program reads."""

from __future__ import annotations

import errno
import os
import struct
import zlib
from pathlib import Path
from types import TracebackType

import numpy as np
import torch

from ..errors import OutputError
from ..files.output_checks import check_disk_space, check_target
from ..files.scratch import ScratchFolder
from ..messages import Note, NoteLevel, Remedy
from ..video.clip import Clip
from ..video.pixel_format import Layout
from .layer import Layer

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOR_TYPE_RGBA = 6  # PNG's colour type of truecolour with alpha
MIN_PNG_BYTES = 100  # bytes of an empty picture
COMPRESSION_LEVEL = 1  # of zlib: most of a layer is empty, and more saves little


class PngLayerWriter:
    """Writes patches with alpha to ``folder/name_000000.png`` and on; the folder appears, whole, when all went well.

    Pictures are upright, of the clip's displayed size, 16 bits a channel where the clip has more than 8. Colours are
    straight, as PNG demands, in the clip's own display values.

    Args:
        folder: must not be there yet; its name names the pictures.
        frames: how many are to come.

    Attributes:
        path: the folder.
        notes: for the user.

    Raises:
        OutputError: there is something of that name already, nothing can be written there, or there is no room.
    """

    def __init__(self, folder: str | Path, clip: Clip, *, frames: int) -> None:
        self.path = Path(folder)
        self._size = (clip.width, clip.height)
        self._deep = Layout.of(clip).pixel_format.bits > 8
        self._frames, self._written = frames, 0
        self.notes: list[Note] = []
        if len(set(np.diff(clip.times).round(3))) > 2:  # two: a rate whose stamps are rounded
            fact = "A sequence of pictures has no times, and this clip's frames aren't evenly spaced."
            self.notes.append(Note(fact, NoteLevel.WARNING))

    def preflight(self) -> None:
        """Raises what opening and writing would, as far as that can be known before."""
        if self.path.exists():
            raise OutputError(f"There is already {self.path}: choose another name for the pictures' folder.")
        check_target(self.path)
        check_disk_space(self.path.parent, MIN_PNG_BYTES * self._frames, self.path.name)

    def __enter__(self) -> PngLayerWriter:
        self.preflight()
        try:
            self._scratch = ScratchFolder(self.path.parent)
            self._temporary = self._scratch.path / "pictures"
            self._temporary.mkdir()
        except OSError as problem:
            raise self._failure(problem) from None
        return self

    def write(self, layer: Layer | None) -> None:
        """Appends a picture with the layer in it, or an empty one."""
        if self._written == self._frames:
            raise OutputError(f"{self.path.name} was opened for {self._frames} pictures; one more came.")
        width, height = self._size
        rgba = torch.zeros(4, height, width) if layer is None else layer.rgba(width, height)
        path = self._temporary / f"{self.path.name}_{self._written:06d}.png"
        try:
            path.write_bytes(png_bytes(rgba, deep=self._deep))
        except OSError as problem:
            raise self._failure(problem) from None
        self._written += 1

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if self._written < self._frames:
                    raise OutputError(f"Only {self._written} of {self._frames} pictures came; no folder was made.")
                try:
                    os.rename(self._temporary, self.path)
                except OSError as trouble:
                    raise self._failure(trouble) from None
        finally:
            self._scratch.close()

    def _failure(self, problem: OSError) -> OutputError:
        if problem.errno in (errno.ENOSPC, errno.EFBIG):
            return OutputError(f"There is no room left in {self.path.parent}.", "free some", Remedy.MOVE_RESULT)
        return OutputError(f"Can't write {self.path}: {problem.strerror or problem}.")


def png_bytes(rgba: torch.Tensor, *, deep: bool) -> bytes:
    """A PNG file of (4, H, W) float32 in [0, 1], `deep` with 16 bits a channel, else with 8 (ISO/IEC 15948)."""
    _, height, width = rgba.shape
    top, dtype, bits = (65535, ">u2", 16) if deep else (255, "u1", 8)
    samples = rgba.mul(top).round_().movedim(0, -1).numpy().astype(dtype)  # CHW -> HWC
    scanlines = np.zeros((height, 1 + samples[0].nbytes), np.uint8)  # each begins with its filter's number: none
    scanlines[:, 1:] = samples.reshape(height, -1).view(np.uint8)
    header = struct.pack(">IIBBBBB", width, height, bits, COLOR_TYPE_RGBA, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(scanlines.data, COMPRESSION_LEVEL)), (b"IEND", b""))
    return PNG_SIGNATURE + b"".join(map(_chunk, *zip(*chunks, strict=True)))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
