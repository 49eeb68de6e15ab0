"""Makes small test clips of any format, size, rate and shape, and asks ffmpeg itself what is in a file."""

from __future__ import annotations

import functools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from latentsync_core.errors import VideoError
from latentsync_core.media.ffmpeg import ffmpeg_executable, run_ffmpeg
from latentsync_core.video.pixel_format import PixelFormat
from latentsync_core.video.writing.encoders import Codec

CODECS = (Codec.H264, Codec.PRORES, Codec.FFV1)  # one for each container; tests/video/test_codecs.py has all
LOSSLESS = ("-c:v", "libx264", "-qp", "0", "-preset", "ultrafast", "-bf", "2")
MAX_KEPT = 500_000  # bytes of a file that is kept for the next test

_kept: dict[tuple[str, ...], bytes] = {}


def make_clip(
    path: Path,
    *,
    pixel_format: str = "yuv420p",
    size: tuple[int, int] = (64, 48),
    rate: Fraction | int = 25,
    frames: int = 10,
    encoder: tuple[str, ...] = ("-c:v", "libx264", "-preset", "veryfast"),
    pts: str | None = None,
    time_base: str = "1/12800",
    rotation: int = 0,
    mirrored: bool = False,
    sample_aspect: str = "1",
    params: str | None = None,
    audio: tuple[str, ...] | None = None,
    smooth: bool = False,
) -> Path:
    """Writes `path` and returns it.

    Args:
        pts: a setpts expression of N, the frame's number, in ticks of `time_base`: a variable-rate clip.
        rotation: clockwise degrees that a player turns the picture by.
        mirrored: a player then mirrors it left to right.
        params: setparams options, such as "range=tv:colorspace=bt709".
        smooth: without hard edges.
        audio: encoder arguments of a tone to go with it.
    """
    filters = [f"scale={size[0]}:{size[1]}", *(["gblur=16"] if smooth else [])]
    filters += [f"format={pixel_format}", f"setsar={sample_aspect}"]
    if params:
        filters.append(f"setparams={params}")
    if pts:
        filters.append(f"settb={time_base},setpts={pts}")
    args = ["-y", "-f", "lavfi", "-i", f"testsrc2=s={max(size[0], 64)}x{max(size[1], 64)}:r={rate}"]
    sound = []
    if audio:
        args += ["-f", "lavfi", "-i", f"sine=r=44100:d={float(frames / Fraction(rate))}"]
        sound = ["-map", "0:v", "-map", "1:a", *audio]
    args += ["-frames:v", str(frames), "-vf", ",".join(filters), "-fps_mode", "passthrough", *encoder, *sound]
    if pts:
        args += ["-enc_time_base:v", time_base, "-video_track_timescale", time_base.split("/")[1]]
    plain = path.with_name(f"plain_{path.name}") if rotation or mirrored else path
    _write_once(plain, args)
    if plain != path:
        flip = ["-display_hflip"] if mirrored else []
        turned = ["-y", "-display_rotation", str(-rotation), *flip, "-i", str(plain), "-map", "0", "-c", "copy"]
        run_ffmpeg([*turned, str(path)], error=VideoError, what="turning a test clip")
        plain.unlink()
    return path


def part_of(source: Path, path: Path, first: int, frames: int) -> Path:
    """Writes some frames of a clip of 25 fps to `path`, losslessly and without its sound, and returns it."""
    args = ["-y", "-i", str(source), "-vf", f"select=gte(n\\,{first}),setpts=N/25/TB", "-frames:v", str(frames)]
    run_ffmpeg([*args, "-an", *LOSSLESS, str(path)], error=VideoError, what="cutting a test clip")
    return path


def make_sound(path: Path, *args: str, seconds: float = 1.0, rate: int = 44100) -> Path:
    """A tone, encoded by `args` or as the suffix asks."""
    source = ["-y", "-f", "lavfi", "-i", f"sine=r={rate}:d={seconds}"]
    _write_once(path, [*source, *args])
    return path


def _write_once(path: Path, args: list[str]) -> None:
    """Writes what ffmpeg makes of `args`, which name no file; of the same ones it is not asked again."""
    key = (path.suffix, *args)
    if key in _kept:
        path.write_bytes(_kept[key])
        return
    run_ffmpeg([*args, str(path)], error=VideoError, what="making a test file")
    if path.is_file() and path.stat().st_size <= MAX_KEPT:  # a pattern of pictures is no file
        _kept[key] = path.read_bytes()


def raw_planes(path: Path, pixel_format: str, width: int, height: int) -> list[tuple[np.ndarray, ...]]:
    """What ffmpeg decodes, frame by frame, unturned and in `pixel_format` (give the native one: nothing converts)."""
    if path.suffix == ".ts":
        require_transport_streams()
    args = ["-noautorotate", "-i", str(path), "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "rawvideo"]
    data = run_ffmpeg([*args, "-pix_fmt", pixel_format, "-"], error=VideoError, what="decoding")
    layout = PixelFormat.of(pixel_format)
    shapes = layout.plane_shapes(width, height)
    samples = np.frombuffer(data, layout.dtype).reshape(-1, sum(rows * columns for rows, columns in shapes))
    cuts = np.cumsum([rows * columns for rows, columns in shapes])[:-1]
    return [
        tuple(part.reshape(shape) for part, shape in zip(np.split(frame, cuts), shapes, strict=True))
        for frame in samples
    ]


def require_transport_streams() -> None:
    """Skips the test where ffmpeg itself can't read MPEG-TS: the one in imageio-ffmpeg 0.6.0 ends with a crash."""
    if not _reads_transport_streams():
        pytest.skip(f"{ffmpeg_executable()} ends with a segmentation fault on every MPEG transport stream")


@functools.cache
def _reads_transport_streams() -> bool:
    made = ["-f", "lavfi", "-i", "color=s=16x16:r=25", "-frames:v", "1", "-c:v", "mpeg2video", "-f", "mpegts", "-"]
    stream = run_ffmpeg(made, error=VideoError, what="making a transport stream")
    try:
        run_ffmpeg(["-f", "mpegts", "-i", "-", "-f", "null", "-"], error=VideoError, what="reading it", input=stream)
    except VideoError:
        return False
    return True


def packet_times(path: Path) -> list[Fraction]:
    """Presentation times in seconds of every video packet, rising, as ffmpeg's framecrc lists them."""
    args = ["-copyts", "-i", str(path), "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "-"]
    text = run_ffmpeg(args, error=VideoError, what="listing packets").decode()
    lines = text.splitlines()
    time_base = next(Fraction(line.split(":")[1].strip()) for line in lines if line.startswith("#tb 0"))
    return sorted(int(line.split(",")[2]) * time_base for line in lines if not line.startswith("#"))
