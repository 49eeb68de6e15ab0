"""A long film in parts over two workers against one worker's run: called by benchmarks.batch film.

The film is cut together from pieces of the bundled scenes, with cuts where pieces meet, and one long take; its voice is
the bundled one, repeated.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from pathlib import Path

from latentsync_core.errors import VideoError
from latentsync_core.faces.tracking.shot_log import log_shots
from latentsync_core.faces.tracking.shots import shot_ranges
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.sample_scene import SCENE, TWO_PEOPLE, VOICE
from latentsync_core.video.clip import Clip
from latentsync_core.video.reading.probing import probe

PIECES = ((SCENE, 0.3, 2.4), (TWO_PEOPLE, 0.2, 3.2), (SCENE, 3.0, 1.6), (TWO_PEOPLE, 4.7, 2.0), (SCENE, 6.0, 1.2))
LONG_TAKE = (SCENE, 0.3, 2.4, 12)  # played forwards and backwards so many times: about a minute without a cut
OVERHEAD_SECONDS = 0.05  # of a job beside its frames: the limit that `benchmarks.batch list` is held to
LOSSLESS = ("-c:v", "libx264", "-qp", "0", "-preset", "ultrafast", "-g", "25", "-an")


def write_film(folder: Path, seconds: float, fps: int, height: int, long_take: bool = True) -> Path:
    """A film of at least `seconds`, film.mp4, and film.wav in `folder`; returns a list of it."""
    width = round(height * 16 / 9 / 2) * 2
    shown = (
        f"fps={fps},scale={width}:{height}:force_original_aspect_ratio=increase,crop={width}:{height},format=yuv420p"
    )
    pieces = []
    for number, (source, start, length) in enumerate(PIECES):
        piece = folder / f"piece{number}.mp4"
        run_ffmpeg(
            ["-y", "-ss", str(start), "-i", str(source), "-t", str(length), "-vf", shown, *LOSSLESS, str(piece)],
            error=VideoError, what="making a piece of the film",
        )  # fmt: skip
        pieces.append(piece)
    rng, chosen, total = random.Random(0), [], 0.0
    if long_take and seconds >= 60:
        source, start, length, times = LONG_TAKE
        take, both = folder / "take.mp4", "[0:v]split[a][b];[b]reverse[c];[a][c]concat"
        run_ffmpeg(
            ["-y", "-ss", str(start), "-t", str(length), "-i", str(source), "-lavfi", f"{both},{shown}", *LOSSLESS,
             str(take)],
            error=VideoError, what="making a take",
        )  # fmt: skip
        chosen, total = [take] * times, times * float(probe(take).duration)
    while total < seconds:
        piece = rng.choice([one for one in pieces if not chosen or one != chosen[-1]])
        chosen.append(piece)
        total += float(probe(piece).duration)
    (folder / "pieces.txt").write_text("".join(f"file '{piece}'\n" for piece in chosen), "utf-8")
    film, voice = folder / "film.mp4", folder / "film.wav"
    joined = ["-y", "-f", "concat", "-safe", "0", "-i", str(folder / "pieces.txt"), "-c", "copy", str(film)]
    run_ffmpeg(joined, error=VideoError, what="joining the film")
    run_ffmpeg(
        ["-y", "-stream_loop", "-1", "-i", str(VOICE), "-t", f"{total:.3f}", "-ar", "16000", str(voice)],
        error=VideoError, what="making its voice",
    )  # fmt: skip
    path = folder / "film.csv"
    path.write_text("video,audio,out\nfilm.mp4,film.wav,film.mkv\n", "utf-8")
    return path


def filmed(folder: Path, options: argparse.Namespace) -> dict:
    """Runs the film whole on one worker and in parts on two, and compares the bytes of both."""
    path = write_film(folder, options.seconds, options.fps, options.height)
    runs = {}
    for name, workers, split_over in (("whole", 1, 0.0), ("parts", 2, options.split_over)):
        started = time.perf_counter()
        records = folder / f"{name}.batch"
        done = subprocess.run(
            [sys.executable, "-m", "latentsync_core", "batch", str(path), "--json", "--records", str(records),
             "--model", "untrained", "--steps", "1", "--codec", "ffv1", "--workers", str(workers), "--threads", "1",
             "--split-over", str(split_over)],
            stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        (row,) = json.loads(done.stdout)["rows"]
        runs[name] = {"wall seconds": round(time.perf_counter() - started, 1), "seconds by phase": row["seconds"]}
        (folder / "film.mkv").rename(folder / f"{name}.mkv")
    clip = probe(folder / "film.mp4")
    same = (folder / "whole.mkv").read_bytes() == (folder / "parts.mkv").read_bytes()
    return {
        "frames": clip.frame_count,
        "seconds of film": round(float(clip.duration), 1),
        "size": f"{clip.width}x{clip.height}",
        "whole on one worker": runs["whole"],
        "in parts on two": runs["parts"],
        "equal in every byte": same,
        "costs": _costs(runs, clip),
        "shots": [stop - start for start, stop in shot_ranges(log_shots(clip).starts, clip.frame_count)],
    }


def _costs(runs: dict[str, dict], clip: Clip) -> dict[str, float]:
    """Seconds of one worker as benchmarks.batch_simulation takes them; of a frame but for `model` and `job`."""
    phases, frames = runs["whole"]["seconds by phase"], clip.frame_count
    started = time.perf_counter()
    log_shots(clip)
    shots = (time.perf_counter() - started) / frames
    a_frame = {name: phases[name] / frames for name in ("faces", "voice", "sampling", "compositing")}
    beside = runs["whole"]["wall seconds"] - sum(phases.values())  # the interpreter's start, and the job's own overhead
    return {"model": phases["model"] + max(beside, 0.0), "job": OVERHEAD_SECONDS, "shots": shots, **a_frame}
