"""Writes H.264 in separate field pictures (PAFF), as broadcasters and AVCHD cameras do and no encoder here can."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from latentsync_core.errors import VideoError
from latentsync_core.media.ffmpeg import run_ffmpeg
from tests.clips import require_transport_streams

SIDE = 32  # pixels: both sides of the frame
CLOCK = Fraction(1, 90_000)  # seconds


class _Bits:
    """Bits of an H.264 payload, written one syntax element at a time."""

    def __init__(self) -> None:
        self._bits = ""

    def unsigned(self, value: int, width: int) -> _Bits:
        self._bits += f"{value:0{width}b}"
        return self

    def exp_golomb(self, *values: int) -> _Bits:
        for value in values:
            digits = f"{value + 1:b}"
            self._bits += "0" * (len(digits) - 1) + digits
        return self

    def align(self) -> _Bits:
        self._bits += "0" * (-len(self._bits) % 8)
        return self

    def samples(self, values: np.ndarray) -> _Bits:
        self._bits += "".join(f"{value:08b}" for value in values.reshape(-1).tolist())
        return self

    def unit(self, header: int) -> bytes:
        """The NAL unit: start code, header, payload with its stop bit and emulation prevention."""
        bits = self._bits + "1"
        bits += "0" * (-len(bits) % 8)
        payload = int(bits, 2).to_bytes(len(bits) // 8, "big")
        out, zeros = bytearray(b"\0\0\0\1" + bytes([header])), 0
        for byte in payload:
            if zeros >= 2 and byte <= 3:
                out.append(3)
                zeros = 0
            out.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return bytes(out)


def pictures(kinds: Sequence[str], seed: int = 0) -> list[list[bytes]]:
    """A frame each of `kinds`: "fields" (two pictures), "frame" (one), "lone" (one field whose pair is missing).

    Every access unit is a list entry of its own; the first begins with the parameter sets.
    """
    draw = np.random.default_rng(seed)
    sps = _Bits().unsigned(77, 8).unsigned(0, 8).unsigned(30, 8).exp_golomb(0, 0, 0, 4, 1).unsigned(0, 1)
    sps.exp_golomb(SIDE // 16 - 1, SIDE // 32 - 1)
    sps.unsigned(0b00, 2).unsigned(1, 1).unsigned(0, 1).unsigned(0, 1)  # fields allowed; direct_8x8, no crop, no VUI
    pps = _Bits().exp_golomb(0, 0).unsigned(0, 2).exp_golomb(0, 0, 0).unsigned(0, 3).exp_golomb(0, 0, 0).unsigned(4, 3)
    headers = sps.unit(0x67) + pps.unit(0x68)
    units = []
    for number, kind in enumerate(kinds):
        parts = {"fields": (0, 1), "frame": (None,), "lone": (0,)}[kind]
        units.append([_picture(number, bottom, draw) for bottom in parts])
    units[0][0] = headers + units[0][0]
    return units


def _picture(number: int, bottom: int | None, draw: np.random.Generator) -> bytes:
    """One access unit of I_PCM macroblocks: the top or bottom field of frame `number`, or None: the whole frame."""
    is_idr = number == 0 and bottom != 1
    slice_ = _Bits().exp_golomb(0, 7, 0).unsigned(number % 16, 4)
    slice_.unsigned(0, 1) if bottom is None else slice_.unsigned(1, 1).unsigned(bottom, 1)
    if is_idr:
        slice_.exp_golomb(0)
    slice_.unsigned((2 * number + (bottom or 0)) % 256, 8).unsigned(0, 2 if is_idr else 1)
    slice_.exp_golomb(0, 1)  # quantiser unchanged, no deblocking
    for _ in range((SIDE // 16) ** 2 // (1 if bottom is None else 2)):
        slice_.exp_golomb(25).align().samples(draw.integers(16, 236, 384))
    delimiter = _Bits().unsigned(0, 3).unit(0x09)
    return delimiter + slice_.unit(0x65 if is_idr else 0x61)


def write_fields(
    path: Path, kinds: Sequence[str], *, rate: int = 25, joined: bool = False, stamps: str = "all"
) -> Path:
    """Muxes such pictures and returns `path`.

    Args:
        joined: both fields of a frame go into one packet, as some broadcasters have them, rather than one each.
        stamps: "all" packets carry one, or only "first" fields do.
    """
    units = pictures(kinds)
    if path.suffix == ".h264":
        path.write_bytes(b"".join(itertools.chain.from_iterable(units)))
        return path
    if path.suffix != ".ts":
        require_transport_streams()
        source = write_fields(path.with_suffix(".ts"), kinds, rate=rate, joined=joined, stamps=stamps)
        run_ffmpeg(["-y", "-i", str(source), "-c", "copy", str(path)], error=VideoError, what="remuxing fields")
        return path
    step = Fraction(1, rate) / CLOCK
    with av.open(str(path), "w") as out:
        stream = out.add_stream("h264", rate=rate)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        stream.time_base = CLOCK
        for number, unit in enumerate(units):
            parts = [b"".join(unit)] if joined else unit
            for place, part in enumerate(parts):
                packet = av.Packet(part)
                packet.stream, packet.time_base = stream, CLOCK
                stamp = int(number * step + place * step / 2) + 9000
                packet.dts = stamp
                packet.pts = stamp
                if stamps == "first" and place:
                    packet.pts = None
                packet.is_keyframe = number == 0 and not place
                out.mux(packet)
    return path
