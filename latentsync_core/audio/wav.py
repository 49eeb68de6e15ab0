"""Writes 32-bit float WAV files of any length, so that audio in memory can be muxed without loss."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import torch

from ..errors import OutputError
from ..files.scratch import atomic_write

WAVE_FORMAT_IEEE_FLOAT = 3  # WAVE_FORMAT_IEEE_FLOAT
MAX_RIFF_BYTES = 0xFFFFFFFF  # bytes; longer files carry their sizes in a "ds64" chunk (EBU Tech 3306, RF64)


def ensure_float_wav(target: Path, rate: int, channels: int, samples: int, blocks: Iterable[torch.Tensor]) -> Path:
    """The file `target`, called by its content: written as `write_float_wav` does where it isn't there, and whole.

    Raises:
        OutputError: it can't be written.
    """
    if target.is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as partial:
            write_float_wav(partial, rate, channels, samples, blocks)
    except OSError as problem:
        raise OutputError(
            f"The sound can't be written to {target} ({problem.strerror or problem}): free some room there."
        ) from None
    return target


def write_float_wav(path: Path, rate: int, channels: int, samples: int, blocks: Iterable[torch.Tensor]) -> None:
    """Writes `blocks`, (channels, n) float32 each and `samples` long in all, as a WAV file, or RF64 from 4 GiB on."""
    frame = 4 * channels  # bytes
    size = samples * frame
    byte_rate = min(rate * frame, MAX_RIFF_BYTES)  # a hint that no reader needs; extreme sample rates go beyond it
    fmt = struct.pack("<4sIHHIIHHH", b"fmt ", 18, WAVE_FORMAT_IEEE_FLOAT, channels, rate, byte_rate, frame, 32, 0)
    fact = struct.pack("<4sII", b"fact", 4, min(samples, MAX_RIFF_BYTES))
    body = 4 + len(fmt) + len(fact) + 8 + size
    if body <= MAX_RIFF_BYTES:
        head = struct.pack("<4sI4s", b"RIFF", body, b"WAVE")
        data = struct.pack("<4sI", b"data", size)
    else:
        ds64 = struct.pack("<4sIQQQI", b"ds64", 28, body + 36, size, samples, 0)
        head = struct.pack("<4sI4s", b"RF64", MAX_RIFF_BYTES, b"WAVE") + ds64
        data = struct.pack("<4sI", b"data", MAX_RIFF_BYTES)
    with path.open("wb") as file:
        file.write(head + fmt + fact + data)
        for block in blocks:
            file.write(block.T.contiguous().numpy().astype("<f4", copy=False).data)
