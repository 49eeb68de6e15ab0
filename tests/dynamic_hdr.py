"""Writes HEVC films with HDR10+ in their messages (SMPTE ST 2094-40) or with Dolby Vision's configuration box."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from latentsync_core.errors import VideoError
from latentsync_core.media.ffmpeg import run_ffmpeg
from tests.clips import make_clip
from tests.cropped import add_to_sample_entry

PARAMS = "log-level=none:keyint=1:repeat-headers=1"
HDR_TAGS = "range=tv:colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084"
ENCODER = ("-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1")
FIRST_SLICE = re.compile(rb"\x00\x00\x00?\x01(?=[\x00-\x2a]\x01[\x80-\xff])")  # of a picture: units of types 0 to 21


def write_hdr10plus(path: Path, frames: int = 3) -> Path:
    """A film of `frames` whose every picture has HDR10+ metadata of its own."""
    plain = make_clip(
        path.with_suffix(".hevc"), pixel_format="yuv420p10le", frames=frames, params=HDR_TAGS,
        encoder=(*ENCODER, "-x265-params", PARAMS),
    )  # fmt: skip
    number = iter(range(frames))
    message = FIRST_SLICE.sub(lambda found: _message(next(number)) + found[0], plain.read_bytes())
    plain.write_bytes(message)
    args = ["-y", "-r", "25", "-i", str(plain), "-c", "copy", "-tag:v", "hvc1", str(path)]
    run_ffmpeg(args, error=VideoError, what="muxing HDR10+")
    plain.unlink()
    return path


def write_dolby_vision(path: Path, profile: int, compatibility: int, frames: int = 3) -> Path:
    """An MP4 that says it is Dolby Vision: of profile 8, whose pictures are HDR10's, or 5, whose need its metadata."""
    tags = HDR_TAGS if compatibility else "range=pc"
    make_clip(path, pixel_format="yuv420p10le", frames=frames, params=tags, encoder=(*ENCODER, "-x265-params", PARAMS))
    level, has_rpu, has_enhancement, has_base = 1, 1, 0, 1
    flags = profile << 9 | level << 3 | has_rpu << 2 | has_enhancement << 1 | has_base
    payload = struct.pack(">BBHB19x", 1, 0, flags, compatibility << 4)
    kind = b"dvvC" if profile > 7 else b"dvcC"
    return add_to_sample_entry(path, struct.pack(">I4s", 8 + len(payload), kind) + payload, b"hvc1")


def _message(number: int) -> bytes:
    """A NAL unit that holds an ITU-T T.35 message: ST 2094-40 for one window, other values for each frame."""
    fields = [(1, 2), (1000, 27), (0, 1)]  # windows; the target's luminance; no table of it
    fields += [(10_000 + number, 17)] * 3 + [(500 + number, 17)]  # greatest R, G, B; average
    fields += [(1, 4), (99, 7), (9_000, 17), (0, 10)]  # a percentile; the share of bright pixels
    fields += [(0, 1), (0, 1), (0, 1)]  # no table of the mastering display, tone mapping or saturation
    bits = "".join(f"{value:0{width}b}" for value, width in fields)
    bits += "0" * (-len(bits) % 8)
    metadata = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    # Country, provider, its own code, application 4, version 1.
    payload = b"\xb5" + struct.pack(">HHBB", 0x3C, 1, 4, 1) + metadata
    content = bytes([4, len(payload)]) + payload + b"\x80"
    protected = re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", content)
    return b"\0\0\0\1" + bytes([39 << 1, 1]) + protected
