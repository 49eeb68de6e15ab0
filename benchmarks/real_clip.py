"""The whole job on a real clip, and what it left untouched: python -m benchmarks.real_clip

The clip in four forms (as it is, yuv422p10le, yuv444p, variable rate) goes through the command line to FFV1 with small
networks of random weights, some then to H.264. For each: frames and stamps against the source's, and every sample
outside the patch against ffmpeg's own raw decode of the source.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

from latentsync_core.compositing.compositor import soft_mask
from latentsync_core.errors import VideoError
from latentsync_core.faces.alignment.align import crop_size
from latentsync_core.faces.crop_path import path_transforms
from latentsync_core.faces.tracking.find_tracks import track_faces
from latentsync_core.media.ffmpeg import FfmpegStream, run_ffmpeg
from latentsync_core.video.clip import Clip
from latentsync_core.video.pixel_format import PixelFormat
from latentsync_core.video.reading.probing import probe

RESOLUTION = 256
EDITS = "select='not(eq(mod(n\\,7)\\,3))',settb=1/12800,setpts='PTS+mod(N\\,3)*77'"
VARIANTS = {  # name: how ffmpeg makes it of the clip; nothing for the clip itself
    "as it is": [],
    "yuv422p10le": ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "10", "-pix_fmt", "yuv422p10le"],
    "yuv444p": ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "10", "-pix_fmt", "yuv444p"],
    "variable rate": [
        "-vf", EDITS, "-fps_mode", "passthrough", "-enc_time_base:v", "1/12800", "-video_track_timescale", "12800",
        "-c:v", "libx264", "-preset", "ultrafast", "-crf", "10",
    ],
}  # fmt: skip

H264_VARIANTS = ("as it is", "variable rate")  # forms that also go to H.264, whose container keeps every stamp exactly


def main() -> None:
    """Prints the table; results stay in the folder given."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--video", type=Path, default=Path("../shared/media/demo1_video.mp4"))
    arguments.add_argument("--audio", type=Path, default=Path("../shared/media/demo1_audio.wav"))
    arguments.add_argument("--model", default="untrained")
    arguments.add_argument("--folder", type=Path, default=Path("demo/real_clip"))
    options = arguments.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    heading = "frames out/in  synced  stamps   samples outside the patch  of them changed  seconds"
    print(f"{'form':14} {'codec':6} {heading}")
    for form, recipe in VARIANTS.items():
        source = options.video
        if recipe:
            source = options.folder / f"{form.replace(' ', '_')}.mp4"
            run_ffmpeg(
                ["-y", "-i", str(options.video), "-an", *recipe, str(source)], error=VideoError, what="converting"
            )
        for codec, suffix in (("ffv1", "mkv"), ("h264", "mp4")) if form in H264_VARIANTS else (("ffv1", "mkv"),):
            out = options.folder / f"{form.replace(' ', '_')}_synced.{suffix}"
            started = time.perf_counter()
            report = sync(source, options.audio, out, codec, options.model)
            seconds = time.perf_counter() - started
            before, after = probe(source), probe(out)
            # Matroska keeps whole milliseconds.
            tick = Fraction(1, 1000) if suffix == "mkv" else Fraction(0)
            max_pts_error = max(abs(a - b) for a, b in zip(times(before), times(after), strict=True))
            pts = (
                "equal"
                if max_pts_error == 0
                else f"{float(max_pts_error) * 1e3:.2f} ms"
                if max_pts_error <= tick
                else "WRONG"
            )
            untouched = "-" if codec != "ffv1" else "{:,}  {:>15,}".format(*outside_patch(before, source, out))
            print(
                f"{form:14} {codec:6} {after.frame_count:6}/{before.frame_count:<6} {report['synced_frames']:7}  "
                f"{pts:7}  {untouched:>41}  {seconds:7.0f}",
                flush=True,
            )


def sync(source: Path, audio: Path, out: Path, codec: str, model: str) -> dict:
    """The command line's own job, in a process of its own; returns its report."""
    command = [sys.executable, "-m", "latentsync_core", "sync", "--video", source, "--audio", audio, "--out", out]
    command += [
        "--model",
        model,
        "--resolution",
        RESOLUTION,
        "--steps",
        "1",
        "--cfg",
        "1",
        "--codec",
        codec,
        "--preset",
        "veryfast",
        "--json",
    ]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def times(clip: Clip) -> list[Fraction]:
    return [int(pts) * clip.time_base for pts in clip.pts]


def outside_patch(clip: Clip, source: Path, out: Path) -> tuple[int, int]:
    """How many samples lie outside the patch, over all planes and frames, and how many of them changed."""
    transforms = path_transforms(track_faces(clip), RESOLUTION)
    counted = changed = 0
    decoded = zip(raw_frames(source, clip), raw_frames(out, clip), strict=True)
    for transform, (before, after) in zip(transforms, decoded, strict=True):
        patch_mask = np.zeros((clip.height, clip.width), bool)
        if np.isfinite(transform).all():
            roi, *_ = soft_mask(transform, crop_size(RESOLUTION), (clip.width, clip.height))
            patch_mask[roi.y0 : roi.y1, roi.x0 : roi.x1] = True
        for plane, other in zip(before, after, strict=True):
            down, across = clip.height // plane.shape[0], clip.width // plane.shape[1]
            outside = ~patch_mask.reshape(plane.shape[0], down, plane.shape[1], across).any(axis=(1, 3))
            counted += int(outside.sum())
            changed += int((plane != other)[outside].sum())
    return counted, changed


def raw_frames(path: Path, clip: Clip):
    """Yields every frame's planes as ffmpeg decodes them, in the clip's own pixel format."""
    layout = PixelFormat.of(clip.pixel_format)
    shapes = layout.plane_shapes(clip.width, clip.height)
    sizes = [rows * columns * layout.dtype.itemsize for rows, columns in shapes]
    arguments = ["-i", str(path), "-map", "0:v:0", "-fps_mode", "passthrough"]
    raw = [*arguments, "-f", "rawvideo", "-pix_fmt", clip.pixel_format, "-"]
    with FfmpegStream(raw, error=VideoError, what="decoding") as stream:
        while data := stream.read(sum(sizes)):
            parts = np.split(np.frombuffer(data, np.uint8), np.cumsum(sizes)[:-1])
            yield [part.view(layout.dtype).reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


if __name__ == "__main__":
    main()
