"""Advice on files that can't be used as they are: commands for ffmpeg that are tried out before they are recommended.

Every command that a message recommends is made here. It takes the ffmpeg that this package uses, whether or not one is
installed beside it, and converts to FFV1, which keeps every sample. Streams are chosen one by one, since a file may
hold some that no container takes, such as timecode or a camera's data.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import OutputError, VideoError
from ...files.scratch import ScratchFolder
from ...media.ffmpeg import ffmpeg_executable, run_ffmpeg
from ...media.opening import ffmpeg_input, ffmpeg_output, typed_input, typed_name
from ...media.streams import decodable_audio_streams, required_video_stream
from ..clip import ColorTags
from ..pixel_format import LUMA_WEIGHTS, has_alpha, is_supported, nearest_supported, planar_name

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

CONVERTED_NAME = "{}_converted{}"
MAX_NAME_BYTES = 255  # of a file's name, in every usual file system
TRIAL_SECONDS = "0.1"
COPIED_SOUND = {"aac", "mp3", "mp3float", "ac3", "eac3", "alac"}  # decoders of what MOV and MKV take as it is
PCM_OF_SAMPLES = {"u8": "pcm_s16le", "s16": "pcm_s16le", "s32": "pcm_s32le", "dbl": "pcm_f64le"}  # by sample format
SAFE_IN_CMD = re.compile(r"[A-Za-z0-9_.:\\/+=-]+")


@dataclass(frozen=True)
class Conversion:
    """What has to be done to a video stream."""

    pixel_format: str  # ffmpeg's name
    matrix: str | None = None  # ffmpeg's name of the one to change to
    is_exact: bool = True  # whether ffmpeg's usual scaler doesn't round
    is_full_range: bool = False  # of Y'CbCr
    rate: Fraction | None = None  # frames a second, where the file's own time stamps can't be used


def unsupported_message(path: Path, container: InputContainer, pixel_format: str, color: ColorTags) -> str | None:
    """The sentence for a clip whose samples aren't supported, with the way out; None where they are."""
    conversion = needed_conversion(pixel_format, color)
    if conversion is None:
        return None
    wrong = []
    is_format_wrong = conversion.pixel_format != planar_name(pixel_format)
    if is_format_wrong:
        wrong.append(f"pixel format {pixel_format}")
    if conversion.matrix:
        wrong.append(f"colour matrix {color.matrix}")
    wanted = f"{conversion.pixel_format}{' without alpha' if has_alpha(pixel_format) and is_format_wrong else ''}"
    command = conversion_command(path, container, conversion)
    if command is None:
        matrix = f", with the colour matrix {conversion.matrix}" if conversion.matrix else ""
        way_out = f"export it again as {wanted}{matrix}."
    else:
        way_out = f"convert it to {wanted}, run: {command}"
    return f"The {' and the '.join(wrong)} of {path} {'are' if wrong[1:] else 'is'} not supported: {way_out}"


def needed_conversion(pixel_format: str, color: ColorTags) -> Conversion | None:
    """What makes a stream of `pixel_format` one that is supported; None where it is. No conversion takes bits away."""
    name = planar_name(pixel_format)
    target = name if is_supported(name) else nearest_supported(pixel_format)
    if target.startswith("gbr"):  # it has no matrix, whatever the file says
        return None if target == name else Conversion(target, is_exact=not name.startswith("gbr"))
    matrix = None
    if color.matrix is not None and color.matrix not in LUMA_WEIGHTS:
        matrix = "bt2020nc" if color.primaries == "bt2020" else "bt709"
    is_full_range = color.range == "pc" or name.startswith("yuvj")
    return None if target == name and matrix is None else Conversion(target, matrix, is_full_range=is_full_range)


def even_stamps_advice(path: Path, container: InputContainer) -> str:
    """The end of a sentence on time stamps that can't be used: how to have the frames shown at the file's rate."""
    stream = required_video_stream(container, path)
    rate = stream.guessed_rate or stream.average_rate or stream.base_rate
    pixel_format = stream.codec_context.pix_fmt
    if rate and pixel_format:
        needed = needed_conversion(pixel_format, ColorTags()) or Conversion(planar_name(pixel_format))
        if command := conversion_command(path, container, replace(needed, rate=Fraction(rate))):
            return f"have them shown at {rate} frames a second, run: {command}"
    return "export it again."


def one_format_advice(path: Path, container: InputContainer, pixel_format: str, color_range: str | None) -> str:
    """The end of a sentence on a file that changes its size or format: how to keep those of its beginning."""
    name = pixel_format.replace("yuvj", "yuv")
    is_full_range = not name.startswith("gbr") and (color_range == "pc" or name != pixel_format)
    conversion = Conversion(name, is_full_range=is_full_range)
    if command := conversion_command(path, container, conversion):
        return f"split it there, or bring all of it to the first size and format, run: {command}"
    return "split it there."


def conversion_command(path: Path, container: InputContainer, conversion: Conversion) -> str | None:
    """A line for the user's shell that converts the file; None where ffmpeg couldn't convert the file's beginning."""
    timing = [] if conversion.rate is None else ["-r", str(conversion.rate)]
    args = list(_output_args(container, path, conversion))
    suffix = _suffix(container, conversion)
    try:
        with ScratchFolder() as folder:
            trial = [*timing, *ffmpeg_input(path, VideoError), *args, "-t", TRIAL_SECONDS]
            run_ffmpeg(["-y", *trial, ffmpeg_output(folder / f"trial{suffix}")], error=OutputError, what="ffmpeg")
    except (OutputError, OSError):
        return None
    target = typed_name(_converted_path(path, suffix))
    return shell_line([ffmpeg_executable(), *timing, *typed_input(path), *args, target])


def shell_line(command: Sequence[str], is_windows: bool = os.name == "nt") -> str:
    """A command as it can be pasted into a POSIX shell, or into Windows' cmd."""
    if not is_windows:
        return shlex.join(command)
    # Names there hold no double quotes, and none of these arguments ends with a backslash.
    return " ".join(part if SAFE_IN_CMD.fullmatch(part) else f'"{part}"' for part in command)


def _output_args(container: InputContainer, path: Path, conversion: Conversion) -> Iterator[str]:
    yield from ("-map", f"0:{required_video_stream(container, path).index}")
    sounds = decodable_audio_streams(container)
    for stream in sounds:
        yield from ("-map", f"0:{stream.index}")
    if conversion.matrix or not conversion.is_exact:
        yield from ("-vf", "zscale" + (f"=matrix={conversion.matrix}" if conversion.matrix else ""))
    yield from ("-c:v", "ffv1", "-pix_fmt", conversion.pixel_format)
    if conversion.is_full_range:  # else it would be reduced unasked
        yield from ("-color_range", "pc")
    # Every frame once, at its own time.
    yield from ("-fps_mode", "passthrough", "-enc_time_base:v", "demux")
    for number, stream in enumerate(sounds):
        yield from (f"-c:a:{number}", _sound_encoder(stream))


def _sound_encoder(stream: AudioStream) -> str:
    """What of a sound's samples nothing is lost by."""
    context = stream.codec_context
    if context.name in COPIED_SOUND:
        return "copy"
    return PCM_OF_SAMPLES.get(context.format.name.removesuffix("p") if context.format else "", "pcm_f32le")


def _suffix(container: InputContainer, conversion: Conversion) -> str:
    """MOV's, which keeps every time stamp; Matroska's where the source is one, or of full range, which MOV lacks."""
    return ".mkv" if conversion.is_full_range or "matroska" in container.format.name else ".mov"


def _converted_path(path: Path, suffix: str) -> Path:
    name = CONVERTED_NAME.format(path.stem, suffix)
    return path.with_name(name if len(os.fsencode(name)) <= MAX_NAME_BYTES else CONVERTED_NAME.format("clip", suffix))
