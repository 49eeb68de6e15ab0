"""Plans the encoding as H.264, ProRes or FFV1: container, pixel format, colour tags, and notes for the user."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from ...errors import OptionError, OutputError
from ...imaging.roi import Roi
from ...messages import Note
from ..clip import Clip, ColorTags
from ..frame import Frame
from ..pixel_format import IN_MEMORY, LUMA_WEIGHTS, Layout, PixelFormat, is_full_range, siting
from .writer_options import Codec, WriterOptions

# Suffixes of media that Python's own table lacks on some systems.
MEDIA_SUFFIXES = {
    ".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mxf", ".gif", ".ts", ".mts", ".m2ts", ".wmv", ".flv",
}  # fmt: skip
MIN_SLICED_SIDE = 32  # pixels: a side of the smallest picture that FFV1 is cut into slices for
BT709 = ColorTags(matrix="bt709", range="tv", primaries="bt709", transfer="bt709", chroma_location="left")
LAYER_PIXEL_FORMAT = "yuva444p10le"
PLAYABLE_PIXEL_FORMATS = {"yuv420p", "yuvj420p"}


MIN_BITS_PER_SAMPLE = {Codec.H264: 0.005, Codec.PRORES: 0.5, Codec.FFV1: 1.0}  # a sample


@dataclass(frozen=True)
class VideoPlan:
    """How frames reach the encoder."""

    pixel_format: str  # of the planes that go to ffmpeg
    convert: Callable[[Frame], tuple[np.ndarray, ...]]
    filters: tuple[str, ...]
    args: tuple[str, ...]  # ffmpeg's, for the output
    notes: tuple[Note, ...]


def output_path(path: str | Path, codec: Codec) -> Path:
    """`path` with the codec's container as its suffix, where it has no suffix of media.

    Raises:
        OptionError: `path` has the suffix of another container, of a sound or of a picture, or ends like a folder.
    """
    if str(path).endswith(("/", os.sep)) or os.path.isdir(path):
        example = Path(path) / f"dubbed{codec.suffix}"
        raise OptionError(f"{path} is a folder: name a file in it for the result, such as {example}.")
    if not Path(path).name:
        raise OptionError(f"{str(path)!r} names no file for the result: give one, such as dubbed{codec.suffix}.")
    if os.path.exists(path) and not os.path.isfile(path):
        raise OptionError(f"{path} is a device or a pipe: name a file for the result.")
    path = Path(path)
    suffix = path.suffix.lower()
    kind = mimetypes.guess_type(f"name{suffix}")[0] or ""
    if suffix not in MEDIA_SUFFIXES and not kind.startswith(("video/", "audio/", "image/")) and suffix != codec.suffix:
        return path.with_name(path.name + codec.suffix)
    if suffix != codec.suffix:
        raise OptionError(
            f"{codec.label} is written to a {codec.suffix} file, not to {path.name}: name it "
            f"{path.stem}{codec.suffix}, or choose another codec."
        )
    return path


def min_frame_bytes(layout: Layout, codec: Codec) -> float:
    """Bytes that a frame takes at the very least, of pictures that people film; mostly it is several times as many."""
    samples = sum(rows * columns for rows, columns in layout.pixel_format.plane_shapes(layout.width, layout.height))
    return samples * MIN_BITS_PER_SAMPLE[codec] / 8


def plan_video(clip: Clip, options: WriterOptions) -> VideoPlan:
    """Keeps the source's own samples wherever the codec can hold them, and says where it can't."""
    layout = Layout.of(clip)
    source = layout.pixel_format
    tags = replace(clip.color, range="pc") if source.is_full_range and not source.is_rgb else clip.color
    if options.codec is Codec.FFV1:
        return _ffv1(clip, layout, tags)
    if options.codec is Codec.PRORES:
        return _prores(clip, layout, tags)
    return _h264(clip, layout, tags, options)


def plan_layer(clip: Clip) -> VideoPlan:
    """ProRes 4444 of frames with four planes, 10-bit Y'CbCr 4:4:4 and alpha, laid out as `layer_clip` says.

    Of the codecs that editing and compositing programs read it is the one with alpha (kept without loss).
    """
    args = ("-c:v", "prores_ks", "-profile:v", "4444", "-alpha_bits", "16", "-vendor", "apl0")
    plan = _video_plan(
        Layout.of(clip), lambda frame: frame.planes, clip.color, clip, (*args, "-pix_fmt", LAYER_PIXEL_FORMAT), []
    )
    return replace(plan, pixel_format=LAYER_PIXEL_FORMAT)


def layer_clip(clip: Clip) -> Clip:
    """What a layer over `clip` is as a clip: its size, times, rotation and colours in 10-bit 4:4:4."""
    color = BT709 if Layout.of(clip).pixel_format.is_rgb else clip.color
    color = replace(color, range="tv", chroma_location=None)
    return replace(clip, images=None, pixel_format="yuv444p10le", color=color, audio_codec=None)


def matte_clip(clip: Clip, codec: Codec) -> Clip:
    """What a matte of `clip` is as a clip: its size, times and rotation, grey in the format that `codec` holds best."""
    whole = clip.width % 2 == 0 and clip.height % 2 == 0
    formats = {
        Codec.H264: "yuv420p" if whole else "yuv444p",
        Codec.PRORES: "yuv422p10le",
        Codec.FFV1: "yuv444p10le",
    }
    color = replace(BT709, chroma_location=None)
    return replace(clip, images=None, pixel_format=formats[codec], color=color, audio_codec=None)


def _ffv1(clip: Clip, layout: Layout, tags: ColorTags) -> VideoPlan:
    # Slices that share a chroma sample lose some in ffmpeg 7 and are refused by ffmpeg 9; version 1 has none at all.
    whole = layout.width % 2 == 0 and layout.height % 2 == 0 and min(layout.width, layout.height) >= MIN_SLICED_SIDE
    args = ["-c:v", "ffv1", "-g", "1", *(("-level", "3", "-slicecrc", "1") if whole else ("-level", "1"))]
    notes = []
    if any((int(pts) * clip.time_base * 1000).denominator != 1 for pts in clip.pts):
        notes.append("Matroska keeps times in whole milliseconds: each frame's time is the source's, rounded to that.")
    if clip.pixel_format == IN_MEMORY:
        target = _target_layout("gbrp16le", layout, ColorTags(matrix="gbr", range="pc"))
        notes.append("Images in memory were written as 16-bit RGB (gbrp16le): 8-bit levels stay exact.")
        return _video_plan(target, lambda frame: _converted(frame, target), ColorTags("gbr", "pc"), clip, args, notes)
    if layout.pixel_format.is_rgb:
        tags = replace(tags, matrix="gbr", range=tags.range or "pc")
    return _video_plan(layout, lambda frame: frame.planes, tags, clip, args, notes)


def _prores(clip: Clip, layout: Layout, tags: ColorTags) -> VideoPlan:
    args = ("-c:v", "prores_ks", "-profile:v", "hq", "-vendor", "apl0", "-pix_fmt", "yuv422p10le")
    source = layout.pixel_format
    if source.is_rgb:
        target = _target_layout("yuv422p10le", layout, BT709)
        notes = ["RGB was converted to bt709 yuv422p10le, which ProRes 422 HQ holds: every sample was converted."]
        return _video_plan(target, lambda frame: _converted(frame, target), BT709, clip, args, notes)
    if source.name == "yuv422p10le" and not layout.is_full_range:
        return _video_plan(layout, lambda frame: frame.planes, tags, clip, args, [])
    matrix = next(name for name, weights in LUMA_WEIGHTS.items() if weights == layout.luma_weights)
    matrix = tags.matrix or matrix
    ranges = f"in_range={'pc' if layout.is_full_range else 'tv'}:out_range=tv"
    scale = f"scale={ranges}:in_color_matrix={_scale_name(matrix)}:out_color_matrix={_scale_name(matrix)}"
    notes = [
        f"ProRes 422 HQ holds yuv422p10le only: the source's {source.name} samples were converted"
        f"{', from full to video range' if layout.is_full_range else ''}."
    ]
    tagged = replace(tags, range="pc" if layout.is_full_range else tags.range)
    return _video_plan(
        layout,
        lambda frame: frame.planes,
        tagged,
        clip,
        args,
        notes,
        extra_filters=(f"{scale}:flags=bicubic+accurate_rnd",),
    )


def _h264(clip: Clip, layout: Layout, tags: ColorTags, options: WriterOptions) -> VideoPlan:
    args = ("-c:v", "libx264", "-crf", str(options.crf), "-preset", options.preset)
    source = layout.pixel_format
    is_odd = layout.width % (1 << max(source.chroma_shift_x, source.is_rgb)) or layout.height % (
        1 << max(source.chroma_shift_y, source.is_rgb)
    )
    notes = []
    if source.is_rgb:
        deep = "10le" if source.bits in (10, 12, 16) else ""
        chroma = 444 if is_odd or source.name != IN_MEMORY else 420
        target = _target_layout(f"yuv{chroma}p{deep}", layout, BT709)
        notes.append(f"RGB was converted to bt709 {target.pixel_format.name}: every sample was converted.")
        tags = BT709

        def convert(frame: Frame) -> tuple[np.ndarray, ...]:
            return _converted(frame, target)

    else:
        bits = min(source.bits, 10)
        chroma = "444" if is_odd else source.name[3:].lstrip("j")[:3]
        target = replace(layout, pixel_format=PixelFormat.of(f"yuv{chroma}p{'10le' if bits == 10 else ''}"))
        if source.bits > bits:
            notes.append("H.264 is written with 10 bits at most: the source's 12-bit samples were rounded.")
        if is_odd:
            notes.append(
                f"H.264 can't hold {source.name} of an odd size ({layout.width}×{layout.height}): chroma was "
                f"interpolated to {target.pixel_format.name}, luma is untouched."
            )
            tags = replace(tags, chroma_location=None)

        def convert(frame: Frame) -> tuple[np.ndarray, ...]:
            planes = frame.without_subsampling() if is_odd else frame.planes
            return (
                planes
                if source.bits == bits
                else tuple(_reduce_bit_depth(plane, source.bits - bits) for plane in planes)
            )

    if target.pixel_format.name not in PLAYABLE_PIXEL_FORMATS:
        notes.append(
            f"The picture keeps {target.pixel_format.name}: editing programs read it, few players and browsers do "
            f"(they want 8-bit 4:2:0 of an even size)."
        )
    return _video_plan(target, convert, tags, clip, (*args, "-pix_fmt", _pipe_name(target.pixel_format)), notes)


def _video_plan(
    target: Layout,
    convert: Callable[[Frame], tuple[np.ndarray, ...]],
    tags: ColorTags,
    clip: Clip,
    args: Sequence[str],
    notes: list[str],
    extra_filters: tuple[str, ...] = (),
) -> VideoPlan:
    tag_options = {
        "range": tags.range,
        "colorspace": tags.matrix,
        "color_primaries": tags.primaries,
        "color_trc": tags.transfer,
    }
    known = [f"{key}={value}" for key, value in tag_options.items() if value]
    aspect = clip.sample_aspect if clip.rotation % 180 == 0 else 1 / clip.sample_aspect
    filters = ([f"setparams={':'.join(known)}"] if known else []) + list(extra_filters)
    filters.append(f"setsar={Fraction(aspect).numerator}/{Fraction(aspect).denominator}")
    # Else full range is converted unasked.
    tag_args = [] if extra_filters or not tags.range else ["-color_range", tags.range]
    tag_args += ["-chroma_sample_location", tags.chroma_location] if tags.chroma_location else []
    return VideoPlan(
        _pipe_name(target.pixel_format), convert, tuple(filters), (*args, *tag_args), tuple(map(Note, notes))
    )


def _target_layout(name: str, layout: Layout, tags: ColorTags) -> Layout:
    """Where RGB frames of `layout` are drawn to."""
    pixel_format = PixelFormat.of(name)
    return replace(
        layout,
        pixel_format=pixel_format,
        luma_weights=None if pixel_format.is_rgb else LUMA_WEIGHTS[tags.matrix or "bt709"],
        is_full_range=is_full_range(tags, pixel_format),
        siting=siting(tags.chroma_location, pixel_format),
        rotation=0,
        mirrored=False,
    )


def _converted(frame: Frame, target: Layout) -> tuple[np.ndarray, ...]:
    """The frame's stored picture in the planes of `target`."""
    stored = Frame(frame.planes, 0, 0, replace(frame.layout, rotation=0, mirrored=False))
    shapes = target.pixel_format.plane_shapes(target.width, target.height)
    converted = Frame(tuple(np.zeros(shape, target.pixel_format.dtype) for shape in shapes), 0, 0, target)
    whole = Roi(0, 0, target.width, target.height)
    converted.paste(whole, stored.rgb(), torch.ones(target.height, target.width))
    return converted.planes


def _reduce_bit_depth(plane: np.ndarray, shift: int) -> np.ndarray:
    """Samples with `shift` bits fewer, to nearest."""
    top = (1 << 16 if plane.dtype == np.uint16 else 1 << 8) - 1
    half = 1 << (shift - 1)
    return np.minimum((np.minimum(plane, top - half) + half) >> shift, 1023).astype(np.uint16)


def _pipe_name(pixel_format: PixelFormat) -> str:
    return pixel_format.name.replace("yuvj", "yuv")  # the colour range is kept apart from the format


def _scale_name(matrix: str) -> str:
    return {"bt2020nc": "bt2020", "bt470bg": "smpte170m"}.get(matrix, matrix)


def check_pts(pts: np.ndarray) -> np.ndarray:
    """`pts` as int64, strictly rising and at least one; OutputError otherwise."""
    pts = np.asarray(pts, np.int64)
    if pts.ndim != 1 or not len(pts):
        raise OutputError("There is no frame to write.")
    if (np.diff(pts) <= 0).any():
        raise OutputError(f"Frame {int(np.argmax(np.diff(pts) <= 0)) + 1} is to be shown before the one ahead of it.")
    return pts
