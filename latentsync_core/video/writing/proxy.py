"""Makes a small copy of a video that every browser plays: 8-bit 4:2:0 H.264 and AAC in an mp4."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from ...errors import OutputError, VideoError
from ...files.scratch import atomic_write
from ...media.ffmpeg import FfmpegStream, run_ffmpeg
from ...media.opening import ffmpeg_input, ffmpeg_output, open_container
from ...media.streams import audio_stream, required_video_stream
from ...progress import Progress
from ...provenance.film_credits import COMMENT, FilmCredits
from ..pixel_format import HD_HEIGHT
from ..reading.probing import MATRICES, TRANSFERS

MAX_HEIGHT = 480  # pixels
HDR_TRANSFERS = {"smpte2084", "arib-std-b67"}  # PQ and HLG
BROWSER_PIXEL_FORMATS = {"yuv420p", "yuvj420p"}
BROWSER_AUDIO_CODECS = {"aac", "mp3", "mp3float"}
VIDEO_ARGS = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-g", "50")
AUDIO_ARGS = ("-c:a", "aac", "-b:a", "160k", "-ac", "2")


def is_browser_playable(path: str | Path) -> bool:
    """Whether web pages play the file as it is: H.264 of 8 bits and 4:2:0, sound they know, in an mp4 or mov.

    Raises:
        VideoError: the file can't be read, or holds no video.
    """
    info = _stream_info(Path(path))
    plays_audio = info.audio is None or info.audio in BROWSER_AUDIO_CODECS
    return info.is_mov and info.codec == "h264" and info.pixel_format in BROWSER_PIXEL_FORMATS and plays_audio


def write_proxy(
    video_path: str | Path, out_path: str | Path, height: int = MAX_HEIGHT, on_progress: Progress | None = None
) -> Path:
    """Writes the proxy and returns its path; it appears, whole, when it is done.

    Upright, with square pixels, no higher than `height` and never enlarged; every frame at its own time. Any range and
    matrix become BT.709 video range; HDR (PQ, HLG) is brought to the BT.709 range of light by ffmpeg's perceptual
    mapping from its version 7.1 on, before that it keeps its tags and leaves the mapping to the page. For judging lips,
    not colours.

    Raises:
        VideoError: the file can't be read, or holds no video.
        OutputError: the proxy can't be written.
    """
    video_path, out_path = Path(video_path), Path(out_path)
    info = _stream_info(video_path)
    args = ["-y", "-progress", "pipe:1", "-stats_period", "0.2", *ffmpeg_input(video_path, VideoError)]
    args += ["-map", f"0:{info.index}", *info.audio_map, "-map_metadata", "-1", "-fps_mode", "passthrough"]
    args += [] if info.credits is None else ["-metadata", f"{COMMENT}={info.credits.text}"]
    args += ["-enc_time_base:v", "demux", "-vf", _filters(info, height), *VIDEO_ARGS, *AUDIO_ARGS]
    args += ["-movflags", "+faststart", "-f", "mp4"]
    what = f"Can't write {out_path}, a copy for the page"
    try:
        with (
            atomic_write(out_path) as partial,
            FfmpegStream([*args, ffmpeg_output(partial)], error=OutputError, what=what) as ffmpeg,
        ):
            for line in ffmpeg.lines():
                name, _, value = line.partition("=")
                if name == "frame" and on_progress:
                    done = int(value)
                    on_progress(done, max(done, info.frames))
            ffmpeg.finish()
    except OSError as problem:
        raise OutputError(f"Can't put {out_path} in place: {problem.strerror or problem}.") from None
    return out_path


@dataclass(frozen=True)
class _StreamInfo:
    """What a file says of its video."""

    index: int  # of the stream
    is_mov: bool
    codec: str
    pixel_format: str | None
    stored_height: int
    matrix: str | None
    transfer: str | None
    frames: int  # about
    audio: str | None  # its codec
    audio_map: tuple[str, ...]  # ffmpeg's arguments that take the sound along
    credits: FilmCredits | None  # of generated lips


def _stream_info(path: Path) -> _StreamInfo:
    import av
    from av.error import FFmpegError

    try:
        with open_container(path, VideoError) as container:
            stream = required_video_stream(container, path)
            context = stream.codec_context
            seconds = (container.duration or 0) / av.time_base
            audio = audio_stream(container)
            return _StreamInfo(
                index=stream.index,
                is_mov="mov" in container.format.name.split(","),
                codec=context.name,
                pixel_format=context.pix_fmt,
                stored_height=context.height,
                matrix=MATRICES.get(int(context.colorspace)),
                transfer=TRANSFERS.get(int(context.color_trc)),
                frames=stream.frames or round(seconds * float(stream.average_rate or 0)),
                audio=None if audio is None else audio.codec_context.name,
                audio_map=() if audio is None else ("-map", f"0:{audio.index}"),
                credits=FilmCredits.of(container.metadata),
            )
    except (FFmpegError, OSError) as problem:
        raise VideoError(f"Can't read {path} ({problem.strerror or problem}).") from None


def _filters(info: _StreamInfo, height: int) -> str:
    rows = f"2*max(1\\,trunc(min({height}\\,ih)/2))"
    options = [f"h={rows}", "w=2*max(1\\,round(oh*dar/2))", "flags=bicubic+accurate_rnd", "out_range=tv"]
    is_rgb = (info.pixel_format or "").startswith(("gbr", "rgb", "bgr"))
    if info.matrix is None and not is_rgb:  # guessed as players do, and as the rest of the engine does
        options.append(f"in_color_matrix={'bt709' if info.stored_height >= HD_HEIGHT else 'smpte170m'}")
    hdr = info.transfer in HDR_TRANSFERS
    if hdr and _supports_color_conversion():
        options += ["out_primaries=bt709", "out_transfer=bt709", "intent=perceptual"]
    options.append(f"out_color_matrix={'bt2020' if hdr and not _supports_color_conversion() else 'bt709'}")
    return f"scale={':'.join(options)},format=yuv420p,setsar=1"


@functools.cache
def _supports_color_conversion() -> bool:
    """Whether ffmpeg's scale filter converts primaries and transfer."""
    shown = run_ffmpeg(["-h", "filter=scale"], error=OutputError, what="Can't ask ffmpeg about its filters")
    return b"out_transfer" in shown
