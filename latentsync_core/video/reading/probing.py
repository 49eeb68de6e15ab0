"""Probes a clip without decoding it: streams, frame count, PTS, colour tags, truncation.

Counts and stamps come from the packets; names of formats and colours are ffmpeg's.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...errors import ClipChangedError, VideoError
from ...media.description import describe
from ...media.opening import MAX_FRAME_PIXELS, check_file, open_container, open_image, unreadable_message
from ...media.streams import (
    audio_note,
    audio_stream,
    has_video,
    required_video_stream,
    time_base,
    video_note,
    video_stream,
)
from ...media.truncation import is_truncated
from ...messages import Note, NoteLevel, Remedy
from ...required_packages import importing
from ..clip import Clip, ColorTags, FileIdentity
from ..pixel_format import IN_MEMORY, SITINGS, Layout, has_alpha, planar_name
from .advice import even_stamps_advice, unsupported_message
from .picture_sequence import decoded_picture, read_picture, sequence_files, sequence_identity

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
STILL_IMAGE_FPS = Fraction(25)
# What Pillow raises on bytes that aren't what their header says; it states no complete list.
IMAGE_DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, struct.error, zlib.error)
DIGEST_BYTES = 1 << 20  # bytes of a file's head and of its tail that tell it from another
MIN_FPS = Fraction(1, 3600)  # frames a second, on average: slower than any time-lapse
STANDARD_RATES = tuple(
    Fraction(base * thousand, divisor)
    for base in (12, 15, 24, 25, 30, 48, 50, 60, 100, 120)
    for thousand, divisor in ((1, 1), (1000, 1001))
)
MAX_FPS = 1000  # of a sequence
RATE_TOLERANCE = 2e-4  # relative; 24 and 24000/1001 lie 1e-3 apart
# Formats whose packets don't tell all times.
FORMATS_WITHOUT_PTS = {"avi", "h264", "hevc", "m4v", "mpegvideo", "av1", "vc1"}

UNSPECIFIED = 2
# ITU-T H.273 code points as ffmpeg names them; 2 is "unspecified" everywhere
MATRICES = {0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc"}
MATRICES |= {10: "bt2020c", 11: "smpte2085", 12: "chroma-derived-nc", 13: "chroma-derived-c", 14: "ictcp"}
PRIMARIES = {1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020"}
PRIMARIES |= {10: "smpte428", 11: "smpte431", 12: "smpte432"}
TRANSFERS = {1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "linear", 9: "log100"}
TRANSFERS |= {10: "log316", 11: "iec61966-2-4", 12: "bt1361e", 13: "iec61966-2-1", 14: "bt2020-10"}
TRANSFERS |= {15: "bt2020-12", 16: "smpte2084", 17: "smpte428", 18: "arib-std-b67"}
RANGES = {1: "tv", 2: "pc"}


def probe(path: str | Path, fps: Fraction | None = None) -> Clip:
    """Every fact about the clip at `path`; a single picture becomes a clip of one frame in memory.

    Reads all packets of the video stream (none is decoded but the first frames).

    Args:
        path: a file; or a folder of numbered pictures, or their names with a placeholder ("shot_%04d.png").
        fps: of a sequence of pictures, which doesn't tell; a file's is its own.

    Raises:
        VideoError: no such file, no video in it, no frames, cut short, or a format that isn't supported; a sequence
            without `fps`.
    """
    path = Path(path)
    if files := sequence_files(path):
        return _sequence_clip(path, files, fps)
    check_file(path, VideoError)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return _still_image_clip(path)
    identity = _file_identity(path)
    with importing("av"):
        from av.error import FFmpegError

    try:
        with open_container(path, VideoError) as container:
            return _probe_container(path, identity, container)
    except FFmpegError as problem:
        raise VideoError(unreadable_message(path, problem, VideoError)) from None


def clip_from_images(images: torch.Tensor, fps: Fraction) -> Clip:
    """A float RGB batch (N, H, W, 3) of any float dtype as a clip; the batch is kept, not copied nor quantised.

    Raises:
        VideoError: not such a batch, no frames, or no positive rate.
    """
    if images.ndim != 4 or images.shape[-1] != 3 or not images.is_floating_point():
        raise VideoError(
            f"Images must be a float batch of shape (frames, height, width, 3), not {images.dtype} "
            f"{tuple(images.shape)}."
        )
    if 0 in images.shape:
        raise VideoError(f"The image batch is empty, its shape being {tuple(images.shape)}: give at least one frame.")
    if fps <= 0:
        raise VideoError(f"The frame rate must be above 0, not {fps}.")
    images = images.detach().to("cpu")
    if images.dtype == torch.bfloat16:  # numpy has no such dtype; every value fits into float32
        images = images.to(torch.float32)
    count, height, width, _ = images.shape
    fps = Fraction(fps)
    pts = np.arange(count, dtype=np.int64)
    return Clip(None, images, count, 0, fps, 1 / fps, pts, width, height, IN_MEMORY)


def check_identity(clip: Clip) -> None:
    """Raises ClipChangedError where the clip's file is no longer the one that was probed."""
    known = clip.identity
    if known is None:
        return
    if clip.pictures:
        if sequence_identity(known.path, clip.pictures) != known:
            raise ClipChangedError(
                f"The clip {known.path} changed since its faces were prepared.", Remedy.PREPARE_AGAIN
            )
        return
    if not known.path.is_file():
        raise ClipChangedError(f"The clip {known.path} is gone: put it back.")
    if _file_identity(known.path) != known:
        raise ClipChangedError(f"The clip {known.path} changed since its faces were prepared.", Remedy.PREPARE_AGAIN)


def has_pts(container: InputContainer) -> bool:
    """Whether the container's packets carry presentation stamps; otherwise frames go by their order."""
    return not FORMATS_WITHOUT_PTS & set(container.format.name.split(","))


def _probe_container(path: Path, identity: FileIdentity, container: InputContainer) -> Clip:
    stream, sound = video_stream(container), audio_stream(container)
    audio = None if sound is None else sound.codec_context.name
    if stream is None and has_video(container):
        raise VideoError(
            f"The codec of {path}'s video has no decoder here: export it as ProRes or H.264 where it was made."
        )
    if stream is None:
        found = f"; its audio has the codec {audio}" if audio else ""
        raise VideoError(f"{path} has no video stream{found}: name a video file.")
    context = stream.codec_context
    if context.width * context.height > MAX_FRAME_PIXELS:
        raise VideoError(
            f"{path} has frames of {context.width}×{context.height} pixels, more than {MAX_FRAME_PIXELS >> 20} "
            f"million: scale it down first."
        )
    frame = _first_frame(path, container, stream)
    rotation = round(-getattr(frame, "rotation", 0) / 90) * 90 % 360  # PyAV's is counterclockwise
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    width, height = frame.width, frame.height
    if rotation % 180:
        width, height, aspect = height, width, 1 / aspect
    color = ColorTags(
        matrix=MATRICES.get(int(frame.colorspace)),
        range=RANGES.get(int(frame.color_range)),
        primaries=PRIMARIES.get(int(context.color_primaries)),
        transfer=TRANSFERS.get(int(context.color_trc)),
        chroma_location=_chroma_location(path, stream.index),
    )
    # The matrix's code 0 is both "RGB" and what some demuxers leave unset.
    if color.matrix == "gbr" and not planar_name(frame.format.name).startswith("gbr"):
        color = ColorTags(None, color.range, color.primaries, color.transfer, color.chroma_location)
    if unsupported := unsupported_message(path, container, frame.format.name, color):
        raise VideoError(unsupported)

    with open_container(path, VideoError) as reopened:  # not every format can be rewound
        pts = _packet_pts(path, reopened, required_video_stream(reopened, path))
    if not len(pts):
        raise VideoError(f"{path} has a video stream without frames.")
    _check_not_truncated(path, len(pts), stream.frames)
    tick = time_base(stream)
    declared = [rate for rate in (stream.average_rate, stream.base_rate) if rate]
    if has_pts(container) or pts[-1] > pts[0]:
        fps = _detect_fps(pts, tick, declared)
    else:  # nothing says when: evenly, at the rate that the format tells
        fps = snap_to_standard_rate(stream.guessed_rate or STILL_IMAGE_FPS)
        pts, tick = np.arange(len(pts), dtype=np.int64), 1 / fps
    if fps < MIN_FPS:
        raise VideoError(
            f"{path} shows less than a frame an hour, its times are damaged: {even_stamps_advice(path, container)}"
        )
    clip = Clip(
        identity=identity,
        images=None,
        frame_count=len(pts),
        first_frame=0,
        fps=fps,
        time_base=tick,
        pts=pts,
        width=width,
        height=height,
        pixel_format=planar_name(frame.format.name),
        rotation=rotation,
        sample_aspect=aspect,
        color=color,
        audio_codec=audio,
        notes=tuple(note for note in (video_note(container), _alpha_note(frame), audio_note(container)) if note),
        video_codec=context.codec.canonical_name,
        video_profile=context.profile,
    )
    Layout.of(clip)  # refuses formats and matrices that can't be worked on
    return clip


def _alpha_note(frame: VideoFrame) -> Note | None:
    if not has_alpha(frame.format.name):
        return None
    return Note("The clip's alpha channel isn't in the result: its colours are, as they are.", NoteLevel.WARNING)


def _first_frame(path: Path, container: InputContainer, stream: VideoStream) -> VideoFrame:
    for frame in container.decode(stream):
        return frame
    _check_not_truncated(path, 0, stream.frames)
    raise VideoError(f"{path} has a video stream without frames.")


def _packet_pts(path: Path, container: InputContainer, stream: VideoStream) -> np.ndarray:
    """(N,) int64 stamps of every frame that a player shows, rising; all 0 where the packets don't tell them."""
    pts: list[int] = []
    first_key: int | None = None
    with_pts = has_pts(container)
    is_vp8 = stream.codec_context.name.startswith(("vp8", "libvpx")) and "vp9" not in stream.codec_context.name
    for packet in container.demux(stream):
        if packet.size == 0:  # the demuxer's last word
            continue
        if is_vp8 and not bytes(packet)[0] & 0x10:  # a reference picture that is never shown
            continue
        if first_key is None:
            if not packet.is_keyframe:
                continue  # nothing can be shown before the first complete picture
            first_key = packet.pts if packet.pts is not None else 0
        if getattr(packet, "is_discard", False):  # an edit list hides it: decoded, not shown
            continue
        if not with_pts:  # frames are due in the order, and at the pace, in which they are decoded
            pts.append(packet.dts or 0)
        elif packet.pts is None:
            raise VideoError(
                f"{path} doesn't say when its frame {len(pts)} is shown: {even_stamps_advice(path, container)}"
            )
        elif packet.pts >= first_key:  # a picture before it leans on one that was cut away
            pts.append(packet.pts)
    found = np.sort(np.array(pts, np.int64))
    same = np.flatnonzero(np.diff(found) == 0)
    if len(same) and not with_pts:
        return np.zeros(len(found), np.int64)
    if len(same):
        raise VideoError(
            f"{path} has two frames at the same time (frame {int(same[0])}): {even_stamps_advice(path, container)}"
        )
    return found


def _detect_fps(pts: np.ndarray, time_base: Fraction, declared: list[Fraction]) -> Fraction:
    """The exact rate of evenly spaced stamps (each may be rounded to a tick or a millisecond), else the average one."""
    if len(pts) == 1:
        return snap_to_standard_rate(declared[0]) if declared else STILL_IMAGE_FPS
    ticks = (pts - pts[0]).astype(np.float64)
    average = (len(pts) - 1) / (int(pts[-1] - pts[0]) * time_base)
    standard = sorted(STANDARD_RATES, key=lambda rate: abs(rate - average))
    candidates = [*map(snap_to_standard_rate, declared), *standard[:2], 1 / (int(pts[1] - pts[0]) * time_base)]
    for rounding in (1.0, max(1.0, float(Fraction(1, 1000) / time_base))):
        for rate in candidates:
            drift = ticks - np.arange(len(pts)) * float(1 / (rate * time_base))
            if np.ptp(drift) <= rounding + 1e-6:
                return rate
    return average.limit_denominator(100_000)


def snap_to_standard_rate(rate: Fraction) -> Fraction:
    """The usual rate that `rate` approximates, or `rate` itself."""
    nearest = min(STANDARD_RATES, key=lambda standard: abs(standard - rate))
    return nearest if abs(nearest - rate) <= RATE_TOLERANCE * nearest else Fraction(rate)


def _chroma_location(path: Path, index: int) -> str | None:
    """What ffmpeg says of the stream's chroma siting (PyAV doesn't)."""
    for line in describe(path, index).splitlines():
        if re.match(rf"\s*Stream #0:{index}\b.*: Video: ", line):
            words = set(re.split(r"[(),\s]+", line))
            return next((name for name in SITINGS if name in words), None)
    return None


def _sequence_clip(path: Path, files: tuple[Path, ...], fps: Fraction | None) -> Clip:
    if fps is None:
        raise VideoError(f"{path} is a sequence of {len(files)} pictures, which has no frame rate.", Remedy.GIVE_FPS)
    if not MIN_FPS <= fps <= MAX_FPS:
        raise VideoError(f"The frame rate is {fps}: give one from {MIN_FPS} to {MAX_FPS}.")
    stored, frame, fps = decoded_picture(files[0]), read_picture(files[0]), snap_to_standard_rate(fps)
    name = planar_name(frame.format.name)
    color = ColorTags(
        matrix=None if name.startswith("gbr") else MATRICES.get(int(stored.colorspace)),
        range=None if name.startswith("gbr") else RANGES.get(int(stored.color_range)),
        primaries=PRIMARIES.get(int(getattr(stored, "color_primaries", UNSPECIFIED))),  # old PyAVs don't tell
        transfer=TRANSFERS.get(int(getattr(stored, "color_trc", UNSPECIFIED))),
    )
    alpha = Note("The pictures' alpha is left out.", NoteLevel.WARNING)
    clip = Clip(
        identity=sequence_identity(path, files),
        images=None,
        frame_count=len(files),
        first_frame=0,
        fps=fps,
        time_base=1 / fps,
        pts=np.arange(len(files), dtype=np.int64),
        width=frame.width,
        height=frame.height,
        pixel_format=name,
        color=color,
        notes=(alpha,) if has_alpha(stored.format.name) else (),
        pictures=files,
    )
    Layout.of(clip)  # refuses matrices that can't be worked on
    return clip


def _still_image_clip(path: Path) -> Clip:
    from PIL import ImageOps

    try:
        with open_image(path) as picture:
            upright = ImageOps.exif_transpose(picture)
            deep = upright.mode.startswith("I;16")
            pixels = np.asarray(upright if deep else upright.convert("RGB"), np.float32)
    except IMAGE_DECODE_ERRORS as problem:
        raise VideoError(f"The picture {path} is damaged ({problem}): export it again.") from None
    pixels *= np.float32(1 / 65535 if deep else 1 / 255)
    images = torch.from_numpy(pixels)
    return clip_from_images((images[..., None].expand(-1, -1, 3) if deep else images)[None], STILL_IMAGE_FPS)


def _file_identity(path: Path) -> FileIdentity:
    try:
        facts = path.stat()
        digest = hashlib.sha256(str(facts.st_size).encode())
        with path.open("rb") as file:
            digest.update(file.read(DIGEST_BYTES))
            if facts.st_size > DIGEST_BYTES:
                file.seek(max(facts.st_size - DIGEST_BYTES, DIGEST_BYTES))
                digest.update(file.read(DIGEST_BYTES))
    except OSError as problem:
        raise VideoError(f"Can't read {path}: {problem.strerror or problem}.") from None
    return FileIdentity(path, facts.st_size, facts.st_mtime_ns, digest.hexdigest())


def _check_not_truncated(path: Path, found: int, listed: int) -> None:
    """Raises where the file ends before what its own structure announces."""
    if is_truncated(path):
        count = f"{found} of {listed} frames" if listed > found else f"only {found} frames"
        raise VideoError(f"{path} is cut short, {count} are there: copy or export it again.")
