"""Plans the encoding: container, pixel format, colour tags, and notes on what the codec can't hold."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from ...errors import OptionError, OutputError
from ...files.media_suffixes import MEDIA_SUFFIXES
from ...imaging.roi import Roi
from ...messages import Note, NoteLevel, Remedy
from ..clip import Clip, ColorTags
from ..frame import Frame
from ..pixel_format import (
    IN_MEMORY,
    LUMA_WEIGHTS,
    Layout,
    PixelFormat,
    is_full_range,
    planar_name,
    siting,
    with_alpha,
)  # fmt: skip
from .encoders import ENCODERS, Codec, Encoder, encoder
from .picture_names import sequence_folder
from .writer_options import WriterOptions

MIN_SLICED_SIDE = 32  # pixels: a side of the smallest picture that FFV1 is cut into slices for
BT709 = ColorTags(matrix="bt709", range="tv", primaries="bt709", transfer="bt709", chroma_location="left")
NO_ALPHA_ENCODER = {"yuva420p12le"}  # formats that FFV1 has without alpha alone
PACKED_ONLY = "gbrap"  # the format that FFV1 holds in packed form
LAYER_PIXEL_FORMAT = "yuva444p10le"
PLAYABLE_PIXEL_FORMATS = {  # by what players and browsers take, and how notes name it
    Codec.H264: ({"yuv420p", "yuvj420p"}, "8-bit 4:2:0"),
    Codec.HEVC: ({"yuv420p", "yuvj420p", "yuv420p10le"}, "4:2:0 of 8 or 10 bits"),
}


@dataclass(frozen=True)
class VideoPlan:
    """How frames reach the encoder."""

    pixel_format: str  # of the planes that go to ffmpeg
    convert: Callable[[Frame], tuple[np.ndarray, ...]]
    filters: tuple[str, ...]
    args: tuple[str, ...]  # ffmpeg's, for the output
    notes: tuple[Note, ...]

    @property
    def encoded_format(self) -> str:
        """What the encoder gets after the filters, its alpha left aside; packed RGB of 16 bits as it is called."""
        named = [value for option, value in pairwise(self.args) if option == "-pix_fmt"]
        return planar_name(named[-1] if named else self.pixel_format)


def output_path(path: str | Path, codec: Codec) -> Path:
    """`path` with the codec's container as its suffix, where it has no suffix of media; of a sequence, its folder.

    Raises:
        OptionError: `path` has the suffix of another container, of a sound or of a picture, or ends like a folder.
    """
    if codec.is_sequence:
        return sequence_folder(path, codec.suffix)
    if str(path).endswith(("/", os.sep)) or os.path.isdir(path):
        example = Path(path) / f"dubbed{codec.suffix}"
        raise OptionError(f"{path} is a folder: name a file in it for the result, such as {example}.")
    if not Path(path).name:
        raise OptionError(f"{str(path)!r} names no file for the result: give one, such as dubbed{codec.suffix}.")
    if os.path.exists(path) and not os.path.isfile(path):
        raise OptionError(f"{path} is a device or a pipe: name a file for the result.")
    path = Path(path)
    if codec is Codec.MATCH_SOURCE:
        return path
    suffix = path.suffix.lower()
    kind = mimetypes.guess_type(f"name{suffix}")[0] or ""  # whose table is another one on every system
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
    return samples * ENCODERS[codec].min_bits_per_sample / 8


def plan_video(clip: Clip, options: WriterOptions) -> VideoPlan:
    """Keeps the source's own samples wherever the codec can hold them, and says where it can't."""
    layout = Layout.of(clip)
    row = _encoder(layout, options)
    plan = _color_plan(clip, layout, row, options)
    return _plan_with_alpha(plan, row) if clip.has_alpha else plan


def _color_plan(clip: Clip, layout: Layout, row: Encoder, options: WriterOptions) -> VideoPlan:
    source = layout.pixel_format
    tags = replace(clip.color, range="pc") if source.is_full_range and not source.is_rgb else clip.color
    if options.codec is Codec.FFV1:
        return _ffv1(clip, layout, tags)
    if layout.width < row.min_size[0] or layout.height < row.min_size[1]:
        raise OptionError(
            f"{row.label} holds pictures of {row.min_size[0]}×{row.min_size[1]} pixels or more, and {clip.name} has "
            f"{layout.width}×{layout.height}: choose another codec."
        )
    if row.has_quality:
        return _with_quality(clip, layout, tags, row, options)
    return _mezzanine(clip, layout, tags, row)


def _encoder(layout: Layout, options: WriterOptions) -> Encoder:
    """The table's row for frames of `layout`: DNxHR has a profile of its own for full chroma."""
    form = layout.pixel_format
    is_full_chroma = form.name != IN_MEMORY and not form.chroma_shift_x and not form.chroma_shift_y
    if options.codec is Codec.DNXHR and not options.variant and is_full_chroma:
        return encoder(Codec.DNXHR, "DNXHR 444")
    return encoder(options.codec, options.variant)


def plan_layer(clip: Clip) -> VideoPlan:
    """ProRes 4444 of frames with four planes, 10-bit Y'CbCr 4:4:4 and alpha, laid out as `layer_clip` says.

    Of the codecs that editing and compositing programs read it is the one with alpha (kept without loss).
    """
    args = ("-c:v", "prores_ks", "-profile:v", "4444", "-alpha_bits", "16", "-vendor", "apl0")
    plan = _video_plan(
        Layout.of(clip), lambda frame: frame.planes, clip.color, clip, (*args, "-pix_fmt", LAYER_PIXEL_FORMAT), []
    )
    return replace(plan, pixel_format=LAYER_PIXEL_FORMAT)


def plan_pictures(clip: Clip, codec: Codec) -> VideoPlan:
    """Pictures of frames that are RGB of 16 bits already."""
    row = encoder(codec)
    notes = [f"{row.label[0].upper()}{row.label[1:]} holds RGB: every sample was converted, to 16 bits a channel."]
    plan = _video_plan(Layout.of(clip), lambda frame: frame.planes, clip.color, clip, row.args, notes)
    return _plan_with_alpha(plan, row) if clip.has_alpha else plan


def _plan_with_alpha(plan: VideoPlan, row: Encoder) -> VideoPlan:
    """`plan` for frames with alpha, which goes along untouched where the encoder holds it."""
    piped = with_alpha(plan.pixel_format)
    bits = PixelFormat.of(plan.pixel_format).bits
    if row.alpha_args is None or piped in NO_ALPHA_ENCODER:
        holds = f"{row.label} files hold no alpha channel: the clip's was left out, and its colours are as they are."
        return replace(plan, notes=(*plan.notes, Note(holds, NoteLevel.WARNING, (Remedy.KEEP_ALPHA,))))
    encoded = () if piped != PACKED_ONLY else ("-pix_fmt", "bgra")
    return replace(
        plan,
        pixel_format=piped,
        convert=lambda frame: (*plan.convert(frame), frame.alpha_levels(bits)),
        args=(*plan.args, *row.alpha_args, *encoded),  # of an option that is there twice the last counts
    )


def layer_clip(clip: Clip) -> Clip:
    """What a layer over `clip` is as a clip: its size, times, rotation and colours in 10-bit 4:4:4."""
    color = BT709 if Layout.of(clip).pixel_format.is_rgb else clip.color
    color = replace(color, range="tv", chroma_location=None)
    return replace(clip, images=None, pixel_format="yuv444p10le", color=color, audio_codec=None, has_alpha=False)


def matte_clip(clip: Clip, codec: Codec) -> Clip:
    """What a matte of `clip` is as a clip: its size, times and rotation, grey in the format that `codec` holds best."""
    whole = clip.width % 2 == 0 and clip.height % 2 == 0
    formats = {
        Codec.H264: "yuv420p" if whole else "yuv444p",
        Codec.PRORES: "yuv422p10le",
        Codec.FFV1: "yuv444p10le",
        Codec.HEVC: "yuv420p10le" if whole else "yuv444p10le",
        Codec.DNXHR: "yuv422p10le",
    }
    color = replace(BT709, chroma_location=None)
    return replace(clip, images=None, pixel_format=formats[codec], color=color, audio_codec=None, has_alpha=False)


def _ffv1(clip: Clip, layout: Layout, tags: ColorTags) -> VideoPlan:
    # Slices that share a chroma sample lose some in ffmpeg 7 and are refused by ffmpeg 9; version 1 has none at all.
    whole = layout.width % 2 == 0 and layout.height % 2 == 0 and min(layout.width, layout.height) >= MIN_SLICED_SIDE
    args = [*ENCODERS[Codec.FFV1].args, *(("-level", "3", "-slicecrc", "1") if whole else ("-level", "1"))]
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


def _mezzanine(clip: Clip, layout: Layout, tags: ColorTags, row: Encoder) -> VideoPlan:
    """A codec of one pixel format and video range, for editing."""
    (name,) = row.pixel_formats
    args = (*row.args, "-pix_fmt", name)
    source = layout.pixel_format
    if source.is_rgb:
        target = _target_layout(name, layout, BT709)
        notes = [f"RGB was converted to bt709 {name}, which {row.label} holds: every sample was converted."]
        return _video_plan(target, lambda frame: _converted(frame, target), BT709, clip, args, notes)
    is_matrix_kept = row.matrix is None or layout.luma_weights == LUMA_WEIGHTS[row.matrix]
    if source.name == name and not layout.is_full_range and is_matrix_kept:
        return _video_plan(layout, lambda frame: frame.planes, tags, clip, args, [])
    matrix = next(name for name, weights in LUMA_WEIGHTS.items() if weights == layout.luma_weights)
    matrix = tags.matrix or matrix
    target = matrix if is_matrix_kept or row.matrix is None else row.matrix
    ranges = f"in_range={'pc' if layout.is_full_range else 'tv'}:out_range=tv"
    scale = f"scale={ranges}:in_color_matrix={_scale_name(matrix)}:out_color_matrix={_scale_name(target)}"
    changes = [
        *(["from full to video range"] if layout.is_full_range else []),
        *([f"from the matrix {matrix} to {target}"] if target != matrix else []),
    ]
    holds = f"{name} only" if target == matrix else f"{name} of the matrix {target} only"
    notes = [
        f"{row.label} holds {holds}: the source's {source.name} samples were converted"
        f"{', ' if changes else ''}{' and '.join(changes)}."
    ]
    tagged = replace(tags, range="pc" if layout.is_full_range else tags.range)
    filters = [
        f"{scale}:interl=-1:flags=bicubic+accurate_rnd",
        *([f"setparams=colorspace={target}"] if target != matrix else []),
    ]
    return _video_plan(layout, lambda frame: frame.planes, tagged, clip, args, notes, extra_filters=tuple(filters))


def _with_quality(clip: Clip, layout: Layout, tags: ColorTags, row: Encoder, options: WriterOptions) -> VideoPlan:
    """H.264 and HEVC: the source's chroma, and its bits where there are as many."""
    args = (*row.args, "-crf", str(options.crf), "-preset", options.preset)
    source = layout.pixel_format
    is_odd = layout.width % (1 << max(source.chroma_shift_x, source.is_rgb)) or layout.height % (
        1 << max(source.chroma_shift_y, source.is_rgb)
    )
    depths = sorted({PixelFormat.of(name).bits for name in row.pixel_formats})
    wanted = depths[0] if source.name == IN_MEMORY else source.bits
    bits = next((depth for depth in depths if depth >= wanted), depths[-1])
    depth = f"{bits}le" if bits > 8 else ""
    notes = []
    if source.is_rgb:
        chroma = 444 if is_odd or source.name != IN_MEMORY else 420
        target = _target_layout(f"yuv{chroma}p{depth}", layout, BT709)
        notes.append(f"RGB was converted to bt709 {target.pixel_format.name}: every sample was converted.")
        tags = BT709

        def convert(frame: Frame) -> tuple[np.ndarray, ...]:
            return _converted(frame, target)

    else:
        chroma = "444" if is_odd else source.name[3:].lstrip("j")[:3]
        target = replace(layout, pixel_format=PixelFormat.of(f"yuv{chroma}p{depth}"))
        if source.bits > bits:
            notes.append(
                f"{row.label.split()[0]} is written with {bits} bits at most: the source's {source.bits}-bit samples "
                "were rounded."
            )
        elif source.bits < bits:
            notes.append(f"The source's {source.bits}-bit samples were written with {bits} bits, none was rounded.")
        if is_odd:
            notes.append(
                f"{row.label.split()[0]} can't hold {source.name} of an odd size ({layout.width}×{layout.height}): "
                f"chroma was interpolated to {target.pixel_format.name}, luma is untouched."
            )
            tags = replace(tags, chroma_location=None)

        def convert(frame: Frame) -> tuple[np.ndarray, ...]:
            planes = frame.without_subsampling() if is_odd else frame.planes
            if source.bits > bits:
                return tuple(_reduce_bit_depth(plane, source.bits - bits, bits) for plane in planes)
            return _raise_bit_depth(planes, layout, bits) if source.bits < bits else planes

    playable, named = PLAYABLE_PIXEL_FORMATS[options.codec]
    if target.pixel_format.name not in playable:
        notes.append(
            f"The picture keeps {target.pixel_format.name}: editing programs read it, few players and browsers do "
            f"(they want {named} of an even size)."
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
    aspect = stored_aspect(clip)
    filters = ([f"setparams={':'.join(known)}"] if known else []) + list(extra_filters)
    filters.append(f"setsar={aspect.numerator}/{aspect.denominator}")
    # Else full range is converted unasked.
    tag_args = [] if extra_filters or not tags.range else ["-color_range", tags.range]
    tag_args += ["-chroma_sample_location", tags.chroma_location] if tags.chroma_location else []
    return VideoPlan(
        _pipe_name(target.pixel_format), convert, tuple(filters), (*args, *tag_args), tuple(map(Note, notes))
    )


def stored_aspect(clip: Clip) -> Fraction:
    """How many times a stored sample is as wide as it is high."""
    return Fraction(clip.sample_aspect if clip.rotation % 180 == 0 else 1 / clip.sample_aspect)


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


def _reduce_bit_depth(plane: np.ndarray, shift: int, bits: int) -> np.ndarray:
    """Samples with `shift` bits fewer, to nearest: `bits` of them, at least 9."""
    top = (1 << 16 if plane.dtype == np.uint16 else 1 << 8) - 1
    half = 1 << (shift - 1)
    return np.minimum((np.minimum(plane, top - half) + half) >> shift, (1 << bits) - 1).astype(np.uint16)


def _raise_bit_depth(planes: tuple[np.ndarray, ...], layout: Layout, bits: int) -> tuple[np.ndarray, ...]:
    """Samples of the same colours with `bits` bits. No two levels become one."""
    old = layout.pixel_format.bits
    if not layout.is_full_range:
        return tuple(plane.astype(np.uint16) << (bits - old) for plane in planes)
    scale = (2**bits - 1) / (2**old - 1)
    centres = (0, 1 << (old - 1), 1 << (old - 1))  # of luma and chroma, which keep their places
    return tuple(
        ((plane.astype(np.float32) - centre) * scale + (centre << (bits - old))).round().clip(0, 2**bits - 1)
        .astype(np.uint16)
        for plane, centre in zip(planes, centres, strict=True)
    )  # fmt: skip


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
