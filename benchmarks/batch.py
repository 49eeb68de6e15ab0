"""Batches that are killed at random, and what a second worker gains: python -m benchmarks.batch kills --jobs 200

`kills` renders some talking heads, lists jobs over them, and runs `batch` again and again while it kills a worker or
the batch itself at random moments. In the end it counts results that are missing, that were written twice or in part,
and that differ from those of single runs. `scaling` runs the same list with one worker and with two, each pinned to a
core of its own, in turn. `list` measures how a batch begins and what it adds to a row, with rows that fail at once.
`film` does a long film whole on one worker and in parts on two, and compares the bytes (benchmarks/long_film.py).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from benchmarks.long_film import filmed
from latentsync_core.video.reading.probing import probe
from training.synthetic.scenes.clip_file import write_clip, write_wave
from training.synthetic.scenes.scene import talking_head

CLIPS, SIZE = 4, (256, 256)
WORK_PREFIX = ".latentsync-dub-part-"  # of scratch folders, which a killed process leaves for a day
POLL_SECONDS = 0.05


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("kills", "scaling", "list", "film"))
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--every", type=float, default=15.0, help="mean seconds between two kills")
    parser.add_argument("--frames", type=int, default=4, help="of each clip")
    parser.add_argument("--compare", type=int, default=20, help="results that are compared with a single run's")
    parser.add_argument("--runs", type=int, default=5, help="of `scaling`, of each number of workers")
    parser.add_argument("--ray", action="store_true", help="actors of a local Ray cluster instead of processes")
    parser.add_argument("--seconds", type=float, default=600.0, help="of the film")
    parser.add_argument("--fps", type=int, default=25, help="of the film")
    parser.add_argument("--height", type=int, default=180, help="of the film, in pixels")
    parser.add_argument("--split-over", type=float, default=5.0, help="minutes, as `batch` takes it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measured = {"kills": killed, "scaling": scaled, "list": listed, "film": filmed}[options.what](folder, options)
    print(json.dumps(measured, indent=1))


def write_list(folder: Path, options: argparse.Namespace) -> Path:
    """A list of jobs over a few rendered clips, each job with a seed of its own."""
    for number in range(CLIPS):
        scene = talking_head(number, seconds=options.frames / 25, size=SIZE, split="test")
        write_clip(scene, folder / f"{number}.mp4")
        write_wave(folder / f"{number}.wav", scene.waveform)
    path = folder / "jobs.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("video", "audio", "out", "seed"))
        for number in range(options.jobs):
            rows.writerow((f"{number % CLIPS}.mp4", f"{(number + 1) % CLIPS}.wav", f"out/{number}.mkv", number))
    (folder / "out").mkdir()
    return path


def command(path: Path, workers: int, ray: bool = False) -> list[str]:
    return [
        sys.executable, "-m", "latentsync_core", "batch", str(path), "--json", "--model", "nano", "--codec", "ffv1",
        "--workers", str(workers), "--threads", "1", *(["--ray", "local"] if ray else []),
    ]  # fmt: skip


def killed(folder: Path, options: argparse.Namespace) -> dict:
    path, rng = write_list(folder, options), random.Random(0)
    watch = _Watch(folder / "out")
    killed_of = {"worker": 0, "batch": 0}
    starts = 0
    summary = None
    while summary is None:
        starts += 1
        batch = subprocess.Popen(command(path, 2, options.ray), stdout=subprocess.PIPE, text=True)
        while batch.poll() is None and sum(killed_of.values()) < options.kills:
            try:
                batch.wait(rng.uniform(0.2, 1.8) * options.every)
            except subprocess.TimeoutExpired:
                workers = [one for one in psutil.Process(batch.pid).children(recursive=True) if _is_worker(one)]
                victim = rng.choice(["batch", *["worker"] * len(workers)])
                (batch if victim == "batch" else rng.choice(workers)).kill()
                killed_of[victim] += 1
        printed, _ = batch.communicate()
        if batch.returncode >= 0:
            summary = json.loads(printed)
    watch.stop()
    results = sorted((folder / "out").glob("*.mkv"))
    same = 0
    for result in random.Random(1).sample(results, min(options.compare, len(results))):
        number = int(result.stem)
        single = folder / "single.mkv"
        subprocess.run(
            [sys.executable, "-m", "latentsync_core", "sync", "--video", str(folder / f"{number % CLIPS}.mp4"),
             "--audio", str(folder / f"{(number + 1) % CLIPS}.wav"), "--out", str(single), "--seed", str(number),
             "--model", "nano", "--codec", "ffv1", "--json"],
            check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        same += single.read_bytes() == result.read_bytes()
        single.unlink()
    return {
        "jobs": options.jobs,
        "killed workers": killed_of["worker"],
        "killed batches": killed_of["batch"],
        "starts of the batch": starts,
        "rows of the last run": {name: summary[name] for name in ("finished", "skipped", "failed")},
        "results": len(results),
        "results that aren't whole": sum(probe(one).frame_count != options.frames for one in results),
        "results written more than once": watch.written_again(),
        "other files beside them": [
            one.name
            for one in (folder / "out").iterdir()
            if one not in results and not one.name.startswith(WORK_PREFIX)
        ],
        "compared with single runs": min(options.compare, len(results)),
        "of these equal in every byte": same,
    }


def scaled(folder: Path, options: argparse.Namespace) -> dict:
    path = write_list(folder, options)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for run in range(options.runs):
        for workers in (1, 2) if run % 2 else (2, 1):
            for result in (folder / "out").iterdir():
                result.unlink()
            started = time.perf_counter()
            pinned = ["taskset", "-c", "0" if workers == 1 else "0,1", *command(path, workers)]
            done = subprocess.run(pinned, check=True, stdout=subprocess.PIPE, text=True)
            wall = time.perf_counter() - started
            busy = sum(row["wall_seconds"] for row in json.loads(done.stdout)["rows"])
            seconds[workers].append(wall)
            print(f"{workers} workers: {wall:.1f} s, of which jobs {busy / workers:.1f} s", file=sys.stderr)
    one, two = statistics.median(seconds[1]), statistics.median(seconds[2])
    return {"jobs": options.jobs, "seconds of 1 worker": one, "of 2 workers": two, "share of double": one / two / 2}


def listed(folder: Path, options: argparse.Namespace) -> dict:
    """The first run of 10 000 rows that all fail at once, since their clip isn't there: all time is the batch's own."""
    path = folder / "jobs.csv"
    rows = "".join(f"missing.mp4,missing.wav,{number}.mkv\n" for number in range(options.jobs))
    path.write_text(f"video,audio,out\n{rows}", "utf-8")
    started = time.perf_counter()
    batch = subprocess.Popen(command(path, 2), stdout=subprocess.PIPE, text=True)
    process, first, peak = psutil.Process(batch.pid), None, []
    reader = threading.Thread(target=batch.communicate, daemon=True)
    reader.start()
    while batch.poll() is None:
        if first is None and any((folder / "jobs.csv.batch").glob("locks/*")):
            first = time.perf_counter() - started
        try:
            peak.append(process.memory_info().rss >> 20)
        except psutil.NoSuchProcess:
            break
        time.sleep(POLL_SECONDS)
    reader.join()
    quarter = max(len(peak) // 4, 1)
    return {
        "rows": options.jobs,
        "seconds to the first row": first,
        "milliseconds a row": 1000 * (time.perf_counter() - started - (first or 0)) / options.jobs,
        "MiB of the batch's process after a quarter": peak[quarter],
        "at most": max(peak),
    }


class _Watch:
    """Counts how often each file of a folder was put in its place, as a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, set[tuple[int, int]]] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def written_again(self) -> int:
        return sum(len(versions) > 1 for versions in self._seen.values())

    def _run(self) -> None:
        while not self._stopped.wait(POLL_SECONDS):
            for path in self._folder.glob("*.mkv"):
                facts = path.stat()
                self._seen.setdefault(path.name, set()).add((facts.st_ino, facts.st_mtime_ns))


def _is_worker(process: psutil.Process) -> bool:
    """A worker, and no ffmpeg of one nor Python's own helper."""
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return "spawn_main" in line or "ray::_Actor" in line


if __name__ == "__main__":
    main()
