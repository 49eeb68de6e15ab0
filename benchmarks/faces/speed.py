"""How fast faces are found and followed, and in how much memory: python -m benchmarks.faces.speed

A real clip is enlarged to 1080p and 2160p (H.264 and HEVC) and prepared including decoding; then looped to ten minutes
at 640x360, during which resident memory is read. Wall seconds say what a user waits; processor seconds tell whether
something else was running beside it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch

from latentsync_core.media.ffmpeg import ffmpeg_executable

CASES = {  # name: (seconds, width, height, encoder)
    "1080p H.264": (6, 1920, 1080, "libx264"),
    "1080p HEVC": (6, 1920, 1080, "libx265"),
    "2160p H.264": (3, 3840, 2160, "libx264"),
    "2160p HEVC": (3, 3840, 2160, "libx265"),
    "360p 10 min": (600, 640, 360, "libx264"),
}
MEMORY_SAMPLES = 5  # of a clip, at whose ends memory is read


def main() -> None:
    """Prints the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--video", type=Path, default=Path("../shared/media/demo1_video.mp4"))
    arguments.add_argument("--only", help="run just this case")
    arguments.add_argument("--threads", type=int, help="of each of torch's operations; its own choice by default")
    arguments.add_argument("--seconds", type=float, help="of film, instead of each case's own")
    arguments.add_argument("--job", help=argparse.SUPPRESS)  # the child process: the clip
    options = arguments.parse_args()
    if options.job:
        run_job(Path(options.job), options.threads)
        return
    print(f"{'case':12} {'frames':>7} {'fps':>6} {'s of CPU per frame':>19}  resident MB along the clip")
    for name, (seconds, width, height, encoder) in CASES.items():
        if options.only not in (None, name):
            continue
        with tempfile.TemporaryDirectory() as folder:
            clip = Path(folder) / "clip.mp4"
            enlarge(options.video, clip, options.seconds or seconds, (width, height), encoder)
            job = [sys.executable, "-m", "benchmarks.faces.speed", "--job", str(clip)]
            if options.threads:
                job += ["--threads", str(options.threads)]
            done = json.loads(subprocess.run(job, check=True, capture_output=True, text=True).stdout)
        memory = " ".join(f"{megabytes:.0f}" for megabytes in done["memory"])
        print(f"{name:12} {done['frames']:7} {done['fps']:6.1f} {done['cpu']:19.4f}  {memory}", flush=True)


def enlarge(video: Path, target: Path, seconds: float, size: tuple[int, int], encoder: str) -> None:
    """The clip repeated to `seconds`, fitted into `size` without a change of its shape, black beside it."""
    width, height = size
    fit = f"scale={width}:{height}:force_original_aspect_ratio=decrease:flags=bicubic,pad={width}:{height}:-1:-1"
    command = [ffmpeg_executable(), "-loglevel", "error", "-y", "-stream_loop", "-1", "-i", str(video)]
    command += ["-t", str(seconds), "-vf", fit, "-an", "-c:v", encoder, "-preset", "veryfast", "-crf", "20"]
    subprocess.run([*command, "-pix_fmt", "yuv420p", str(target)], check=True)


def run_job(path: Path, threads: int | None) -> None:
    """Prepares one clip, in a process of its own."""
    from latentsync_core.faces.tracking.find_tracks import track_faces
    from latentsync_core.video.reading.probing import probe

    if threads:
        torch.set_num_threads(threads)
    clip = probe(path)
    process = psutil.Process()
    memory: list[float] = []

    def on_progress(done: int, total: int) -> None:
        if done * MEMORY_SAMPLES // total > (done - 1) * MEMORY_SAMPLES // total:
            memory.append(process.memory_info().rss / 1e6)

    track_faces(clip.subclip(0, min(5, clip.frame_count)))  # networks are loaded once a process
    started, cpu_seconds = time.perf_counter(), time.process_time()
    track_faces(clip, on_progress=on_progress)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_seconds
    print(json.dumps({"frames": clip.frame_count, "fps": clip.frame_count / seconds,
                      "cpu": cpu_seconds / clip.frame_count, "memory": memory[-MEMORY_SAMPLES:]}))  # fmt: skip


if __name__ == "__main__":
    main()
