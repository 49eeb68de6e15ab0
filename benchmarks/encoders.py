"""What each encoder does to the samples outside the patch: python -m benchmarks.encoders

The bundled scene goes through the command line to FFV1, H.264 and ProRes. FFV1 is lossless, so the samples in which its
result differs from the source are the patch's; the other two are compared with the source outside a rectangle around
these. VMAF is of the brightness alone, the rectangle filled with the source's in both.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from latentsync_core.errors import VideoError
from latentsync_core.media.ffmpeg import FfmpegStream, ffmpeg_executable
from latentsync_core.sample_scene import SCENE, VOICE
from latentsync_core.video.reading.probing import probe

MARGIN = 8  # pixels that the rectangle is larger than the samples that changed
PEAK = 255.0
LOSSY = {"h264": "mp4", "prores": "mov"}  # codec: its container


def main() -> None:
    """Prints the table; results stay in the folder given."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--video", type=Path, default=SCENE, help="8-bit, since levels are compared as of 255")
    arguments.add_argument("--audio", type=Path, default=VOICE)
    arguments.add_argument("--model", default="nano")
    arguments.add_argument("--seconds", type=float, default=2.0, help="how much of the clip")
    arguments.add_argument("--folder", type=Path, default=Path("demo/encoders"))
    options = arguments.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    lossless = sync(options, "ffv1", options.folder / "out.mkv")
    print(f"{'codec':7} {'frames':>6} {'luma samples outside':>20} {'changed':>9} {'PSNR':>9} {'VMAF':>6}  MB/s")
    for codec, suffix in LOSSY.items():
        out = sync(options, codec, options.folder / f"out.{suffix}")
        frames = counted = changed = 0
        squares = 0.0
        raw_result, raw_source = (options.folder / f"{name}.gray" for name in ("result", "source"))
        with raw_result.open("wb") as result_file, raw_source.open("wb") as source_file:
            # The result may be shorter than the source: only its first seconds were synced.
            decoded = zip(luma(lossless), luma(out, deep=codec == "prores"), luma(options.video), strict=False)
            for composited, encoded, source in decoded:
                outside = ~rectangle(composited != source)
                difference = encoded[outside].astype(np.float64) - source[outside]
                frames += 1
                counted += difference.size
                changed += int(np.count_nonzero(difference))
                squares += float(np.sum(difference**2))
                result_file.write(np.where(outside, encoded.round(), source).astype(np.uint8).tobytes())
                source_file.write(source.tobytes())
        score = vmaf(raw_result, raw_source, source.shape)
        psnr = f"{10 * np.log10(PEAK**2 * counted / squares):.1f} dB" if squares else "equal"
        rate = out.stat().st_size / 1e6 / probe(out).duration
        print(
            f"{codec:7} {frames:6} {counted:20,} {changed / counted:9.1%} {psnr:>9} {score:6.1f}  {rate:4.1f}",
            flush=True,
        )


def sync(options: argparse.Namespace, codec: str, out: Path) -> Path:
    """The command line's own job with its default settings; the work folder spares the second codec the sampling."""
    command = [
        sys.executable, "-m", "latentsync_core", "sync", "--video", options.video, "--audio", options.audio,
        "--out", out, "--model", options.model, "--codec", codec, "--end", options.seconds,
        "--work-folder", options.folder / "work", "--json",
    ]  # fmt: skip
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, check=True)
    if not json.loads(done.stdout)["synced_frames"]:
        raise SystemExit(f"no frame of {options.video} was synced, so there is no patch to measure around")
    return out


def vmaf(result: Path, source: Path, shape: tuple[int, int]) -> float:
    """The mean VMAF, 0 to 100, of raw 8-bit pictures (h, w) against others; needs an ffmpeg with libvmaf."""
    raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{shape[1]}x{shape[0]}"]
    command = [ffmpeg_executable(), "-hide_banner", *raw, "-i", str(result), *raw, "-i", str(source)]
    pictures = "[0:v]format=yuv420p[a];[1:v]format=yuv420p[b];[a][b]libvmaf"
    done = subprocess.run([*command, "-lavfi", pictures, "-f", "null", "-"], capture_output=True, text=True, check=True)
    return float(done.stderr.rsplit("VMAF score:", 1)[1].split()[0])


def rectangle(changed: np.ndarray) -> np.ndarray:
    """(h, w) bool: true in the rectangle around the changed samples, MARGIN wider on every side; false without any."""
    inside = np.zeros_like(changed)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if rows.size:
        top, left = max(rows[0] - MARGIN, 0), max(columns[0] - MARGIN, 0)
        inside[top : rows[-1] + MARGIN + 1, left : columns[-1] + MARGIN + 1] = True
    return inside


def luma(path: Path, deep: bool = False) -> Iterator[np.ndarray]:
    """Yields every frame's luma, (h, w) of 0 to 255, as ffmpeg decodes it; of a `deep` file 10 bits as fractions."""
    clip = probe(path)
    pixels = ("gray10le", np.dtype("<u2")) if deep else ("gray", np.dtype("u1"))
    # extractplanes takes the plane as it is; a conversion to grey could change its range.
    arguments = ["-i", str(path), "-map", "0:v:0", "-fps_mode", "passthrough", "-vf", "extractplanes=y"]
    size = clip.height * clip.width * pixels[1].itemsize
    with FfmpegStream(
        [*arguments, "-f", "rawvideo", "-pix_fmt", pixels[0], "-"], error=VideoError, what="decoding"
    ) as stream:
        while data := stream.read(size):
            frame = np.frombuffer(data, pixels[1]).reshape(clip.height, clip.width)
            yield frame / 4 if deep else frame


if __name__ == "__main__":
    main()
