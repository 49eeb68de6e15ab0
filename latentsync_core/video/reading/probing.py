"""Probes a clip without decoding it: streams, frame count, PTS, colour tags, truncation.

Counts and stamps come from the packets, where these tell; names of formats and colours are ffmpeg's.
"""

from __future__ import annotations

import dataclasses
import hashlib
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...errors import ClipChangedError, VideoError
from ...media.opening import MAX_FRAME_PIXELS, check_file, open_container, unreadable_message
from ...media.streams import (
    audio_note,
    audio_stream,
    has_video,
    required_video_stream,
    time_base,
    video_note,
    video_stream,
)
from ...media.truncation import has_picture_brand, is_truncated
from ...messages import Note, NoteLevel, Remedy
from ...progress import Progress
from ...required_packages import importing
from ..clip import Clip, ColorTags, Crop, FileIdentity
from ..orientation import MATRIX_BYTES, Orientation
from ..pixel_format import IN_MEMORY, Layout, PixelFormat, has_alpha, planar_name
from .advice import even_stamps_advice, unsupported_message
from .listing.decoding import has_coded_alpha, shown_frames
from .listing.frame_list import list_frames
from .listing.rates import MAX_FPS, STILL_IMAGE_FPS, detect_fps, snap_to_standard_rate, stated_rate_note
from .picture_sequence import decoded_picture, read_picture, sequence_files, sequence_identity
from .pictures import is_picture, picture_clip
from .stream_facts import StreamFacts, stream_facts
from .tile_grid import TileGrid, first_tile, tile_grid

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

DIGEST_BYTES = 1 << 20  # bytes of a file's head and of its tail that tell it from another
MIN_FPS = Fraction(1, 3600)  # frames a second, on average: slower than any time-lapse

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


def probe(path: str | Path, fps: Fraction | None = None, on_progress: Progress | None = None) -> Clip:
    """Every fact about the clip at `path`; a single picture becomes a clip of one frame in memory.

    Reads all packets of the video stream; only the first frames are decoded, unless packets and stamps aren't those of
    the frames that a player shows.

    Args:
        path: a file; or a folder of numbered pictures, or their names with a placeholder ("shot_%04d.png").
        fps: of a sequence of pictures, which doesn't tell; a file's is its own, and another gives a note.
        on_progress: called for each frame where all of them have to be decoded; what it raises ends that.

    Raises:
        VideoError: no such file, no video in it, no frames, cut short, or a format that isn't supported; a sequence
            without `fps`.
    """
    path = Path(path)
    if files := sequence_files(path):
        return _sequence_clip(path, files, fps)
    check_file(path, VideoError)
    identity = _file_identity(path)
    if is_picture(path):
        return picture_clip(path, identity)
    with importing("av"):
        from av.error import FFmpegError

    try:
        with open_container(path, VideoError) as container:
            clip = _probe_container(path, identity, container, on_progress)
    except FFmpegError as problem:
        raise VideoError(unreadable_message(path, problem, VideoError)) from None
    note = stated_rate_note(clip.fps, fps)
    return clip if note is None else dataclasses.replace(clip, notes=(*clip.notes, note))


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


def _probe_container(
    path: Path, identity: FileIdentity, container: InputContainer, on_progress: Progress | None
) -> Clip:
    stream, sound = video_stream(container), audio_stream(container)
    audio = None if sound is None else sound.codec_context.name
    if stream is None and has_video(container):
        raise VideoError(
            f"The codec of {path}'s video has no decoder here: export it as ProRes or H.264 where it was made."
        )
    if stream is None:
        found = f"; its audio has the codec {audio}" if audio else ""
        raise VideoError(f"{path} has no video stream{found}: name a video file.")
    if (grid := tile_grid(path)) is not None:
        return _tiled_clip(path, identity, container, grid)
    context = stream.codec_context
    if context.width * context.height > MAX_FRAME_PIXELS:
        raise VideoError(
            f"{path} has frames of {context.width}×{context.height} pixels, more than {MAX_FRAME_PIXELS >> 20} "
            f"million: scale it down first."
        )
    frame = _first_frame(path, container, stream)
    pixel_format = planar_name(frame.format.name)
    facts = stream_facts(path, stream.index)
    color = _color_tags(frame, context, facts.chroma_location)
    if unsupported := unsupported_message(path, container, frame.format.name, color):
        raise VideoError(unsupported)
    crop = _aligned_crop(facts.crop, frame.width, frame.height, PixelFormat.of(pixel_format))
    width, height = frame.width - crop.left - crop.right, frame.height - crop.top - crop.bottom
    orientation = _orientation(_frame_with_matrix(path) if has_coded_alpha(stream) else frame)
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    if orientation.rotation % 180:
        width, height, aspect = height, width, 1 / aspect

    nominal = snap_to_standard_rate(stream.guessed_rate or STILL_IMAGE_FPS)
    frames = list_frames(identity, nominal, time_base(stream), on_progress)
    pts, tick = frames.pts, frames.time_base
    if len(pts) == 1 and has_picture_brand(path):
        nominal, pts, tick = STILL_IMAGE_FPS, np.zeros(1, np.int64), 1 / STILL_IMAGE_FPS
    if not len(pts):
        raise VideoError(f"{path} has a video stream without frames.")
    _check_not_truncated(path, len(pts), stream.frames)
    declared = [rate for rate in (stream.average_rate, stream.base_rate) if rate and len(pts) > 1]
    fps = detect_fps(pts, tick, declared or [nominal])
    if fps < MIN_FPS:
        raise VideoError(
            f"{path} shows less than a frame an hour, its times are damaged: {even_stamps_advice(path, container)}"
        )
    dolby = _dolby_vision_note(facts)
    found = (video_note(container), dolby, audio_note(container), _skew_note(orientation))
    notes = [note for note in found if note]
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
        pixel_format=pixel_format,
        rotation=orientation.rotation,
        sample_aspect=aspect,
        color=color,
        audio_codec=audio,
        notes=(*notes, *frames.notes),
        mirrored=orientation.mirrored,
        crop=crop,
        has_alpha=has_alpha(frame.format.name),
        file_pts=frames.file_pts,
        video_codec=context.codec.canonical_name,
        video_profile=context.profile,
    )
    Layout.of(clip)  # refuses formats and matrices that can't be worked on
    return clip


def _tiled_clip(path: Path, identity: FileIdentity, container: InputContainer, grid: TileGrid) -> Clip:
    """A photo in tiles as a clip of one frame, which the reader puts together."""
    frame = first_tile(path, container, grid)
    stream = next(one for one in container.streams.video if one.id == grid.tiles[0])
    color = _color_tags(frame, stream.codec_context, stream_facts(path, stream.index).chroma_location)
    if unsupported := unsupported_message(path, container, frame.format.name, color):
        raise VideoError(unsupported)
    width, height = grid.width, grid.height
    if grid.orientation.rotation % 180:
        width, height = height, width
    clip = Clip(
        identity=identity,
        images=None,
        frame_count=1,
        first_frame=0,
        fps=STILL_IMAGE_FPS,
        time_base=1 / STILL_IMAGE_FPS,
        pts=np.zeros(1, np.int64),
        width=width,
        height=height,
        pixel_format=planar_name(frame.format.name),
        rotation=grid.orientation.rotation,
        color=color,
        mirrored=grid.orientation.mirrored,
    )
    Layout.of(clip)  # refuses matrices that can't be worked on
    return clip


def _color_tags(frame: VideoFrame, context: VideoCodecContext, chroma_location: str | None) -> ColorTags:
    matrix = MATRICES.get(int(frame.colorspace))
    # The matrix's code 0 is both "RGB" and what some demuxers leave unset.
    if matrix == "gbr" and not planar_name(frame.format.name).startswith("gbr"):
        matrix = None
    return ColorTags(
        matrix=matrix,
        range=RANGES.get(int(frame.color_range)),
        primaries=PRIMARIES.get(int(context.color_primaries)),
        transfer=TRANSFERS.get(int(context.color_trc)),
        chroma_location=chroma_location,
    )


def _first_frame(path: Path, container: InputContainer, stream: VideoStream) -> VideoFrame:
    for frame in shown_frames(container, stream):
        return frame
    _check_not_truncated(path, 0, stream.frames)
    raise VideoError(f"{path} has a video stream without frames.")


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
        pictures=files,
        has_alpha=has_alpha(frame.format.name),
    )
    Layout.of(clip)  # refuses matrices that can't be worked on
    return clip


def _frame_with_matrix(path: Path) -> VideoFrame:
    """The first frame by the stream's own decoder, which attaches the display matrix."""
    with open_container(path, VideoError) as container:
        return next(container.decode(required_video_stream(container, path)))


def _orientation(frame: VideoFrame) -> Orientation:
    """What the container's or the stream's display matrix says."""
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV knows no name for another part, such as a photo's EXIF: the angle is what it tells
        return Orientation(round(-frame.rotation / 90) * 90 % 360)
    matrix = b"" if data is None else bytes(data)
    return Orientation.of(matrix) if len(matrix) == MATRIX_BYTES else Orientation()


def _dolby_vision_note(facts: StreamFacts) -> Note | None:
    if facts.dolby_vision_only is None:
        return None
    return Note(
        f"The clip is Dolby Vision of profile {facts.dolby_vision_only}, whose colours are right only with its dynamic "
        "metadata, which isn't applied here: they are wrong in the crops and in the result. Convert it to HDR10 first.",
        NoteLevel.WARNING,
    )


def _skew_note(orientation: Orientation) -> Note | None:
    if not orientation.skew:
        return None
    angle = (orientation.rotation + orientation.skew + 180) % 360 - 180
    sense = "clockwise" if angle > 0 else "counterclockwise"
    return Note(
        f"The file asks players to turn the picture by {abs(angle):.1f} degrees {sense}: only quarter turns are "
        f"applied, here {orientation.rotation} degrees clockwise.",
        NoteLevel.WARNING,
    )


def _aligned_crop(stated: Crop, width: int, height: int, pixel_format: PixelFormat) -> Crop:
    """The crop as ffmpeg applies it: position and size in whole chroma samples; none where nothing would be left."""
    left, right = _aligned_edges(stated.left, stated.right, width, pixel_format.chroma_shift_x)
    top, bottom = _aligned_edges(stated.top, stated.bottom, height, pixel_format.chroma_shift_y)
    return Crop() if left + right >= width or top + bottom >= height else Crop(left, right, top, bottom)


def _aligned_edges(before: int, after: int, count: int, shift: int) -> tuple[int, int]:
    if not before and not after:
        return 0, 0
    kept = (count - before - after) >> shift << shift
    first = before >> shift << shift
    return first, count - first - kept


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
