"""A batch over two Ray nodes whose network fails: python -m benchmarks.ray_network (Linux, as root, with Ray).

Each node lives in a network namespace of its own, joined by a pair of virtual interfaces. While the batch runs, the
link goes down for some seconds, and later one node is killed for good. In the end every row has to be finished, each
with the bytes of a single run. The namespaces share this machine's files, as machines share a folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.batch import CLIPS, write_list

HEAD, OTHER = "latentsync_head", "latentsync_other"  # namespaces
HEAD_ADDRESS, OTHER_ADDRESS, PORT = "10.99.7.1", "10.99.7.2", 6399
LINKS = {HEAD: "lsync0", OTHER: "lsync1"}
SETTINGS = ("--model", "untrained", "--steps", "1", "--codec", "ffv1", "--threads", "1")
POLL_SECONDS = 0.5


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=12)
    parser.add_argument("--frames", type=int, default=4, help="of each clip")
    parser.add_argument("--down", type=float, default=20.0, help="seconds without a link")
    parser.add_argument("--compare", type=int, default=4, help="results that are compared with a single run's")
    options = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("ip") is None:
        parser.error("it needs root and iproute2 (ip) to make network namespaces")
    with tempfile.TemporaryDirectory() as name, _namespaces():
        print(json.dumps(measured(Path(name), options), indent=1))


def measured(folder: Path, options: argparse.Namespace) -> dict:
    path = write_list(folder, options)
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--num-cpus=1", "--block", "--disable-usage-stats"]
    head = [*ray, "--head", f"--node-ip-address={HEAD_ADDRESS}", f"--port={PORT}", "--include-dashboard=false"]
    other = [*ray, f"--address={HEAD_ADDRESS}:{PORT}", f"--node-ip-address={OTHER_ADDRESS}"]
    nodes = [_started(HEAD, head, folder / "head.log")]
    try:
        _wait_for(folder / "head.log", "Ray runtime started")
        nodes.append(_started(OTHER, other, folder / "other.log"))
        _wait_for(folder / "other.log", "Ray runtime started")
        command = [
            sys.executable, "-m", "latentsync_core", "batch", str(path), "--json", "--ray", f"{HEAD_ADDRESS}:{PORT}",
            "--workers", "2", *SETTINGS,
        ]  # fmt: skip
        started = time.perf_counter()
        with (folder / "batch.log").open("wb") as errors:
            batch = subprocess.Popen(_inside(HEAD, command), stdout=subprocess.PIPE, stderr=errors, text=True)
        _wait_for_rows(path, options.jobs // 4, batch)
        before = _finished_rows(path)
        _ip("-n", HEAD, "link", "set", LINKS[HEAD], "down")
        time.sleep(options.down)
        _ip("-n", HEAD, "link", "set", LINKS[HEAD], "up")
        after = _finished_rows(path)
        _wait_for_rows(path, max(options.jobs // 2, after + 1), batch)
        killed_at = _finished_rows(path)
        _end(OTHER)
        printed, _ = batch.communicate()
    finally:
        for namespace in (OTHER, HEAD):
            _end(namespace)
        for node in nodes:
            node.wait()
    if not printed:
        raise SystemExit((folder / "batch.log").read_text("utf-8", errors="replace"))
    summary = json.loads(printed)
    results = sorted((folder / "out").glob("*.mkv"), key=lambda one: int(one.stem))
    compared = results[:: max(len(results) // options.compare, 1)][: options.compare]
    return {
        "rows": {name: summary.get(name) for name in ("finished", "skipped", "failed")},
        "exit code": batch.returncode,
        "seconds": round(time.perf_counter() - started, 1),
        "seconds without a link": options.down,
        "rows finished when the link went down, and up again": [before, after],
        "rows finished when a node was killed": killed_at,
        "results": len(results),
        "compared with single runs": len(compared),
        "of these equal in every byte": sum(_is_as_single(folder, result) for result in compared),
    }


def _is_as_single(folder: Path, result: Path) -> bool:
    number, single = int(result.stem), folder / "single.mkv"
    clip, voice = folder / f"{number % CLIPS}.mp4", folder / f"{(number + 1) % CLIPS}.wav"
    files = ("--video", str(clip), "--audio", str(voice), "--out", str(single), "--seed", str(number))
    command = [sys.executable, "-m", "latentsync_core", "sync", *files, "--json", *SETTINGS[:-2]]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return single.read_bytes() == result.read_bytes()


@contextmanager
def _namespaces() -> Iterator[None]:
    """Two namespaces with a link between them; gone afterwards."""
    made = []
    try:
        for namespace in (HEAD, OTHER):
            _ip("netns", "add", namespace)
            made.append(namespace)
        _ip("link", "add", LINKS[HEAD], "netns", HEAD, "type", "veth", "peer", "name", LINKS[OTHER], "netns", OTHER)
        for namespace, address in ((HEAD, HEAD_ADDRESS), (OTHER, OTHER_ADDRESS)):
            _ip("-n", namespace, "addr", "add", f"{address}/24", "dev", LINKS[namespace])
            _ip("-n", namespace, "link", "set", LINKS[namespace], "up")
            _ip("-n", namespace, "link", "set", "lo", "up")
        yield
    finally:
        for namespace in made:
            _ip("netns", "del", namespace)


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def _inside(namespace: str, command: Sequence[str]) -> list[str]:
    return ["ip", "netns", "exec", namespace, *command]


def _started(namespace: str, command: Sequence[str], log: Path) -> subprocess.Popen:
    with log.open("wb") as file:
        return subprocess.Popen(_inside(namespace, command), stdout=file, stderr=file)


def _end(namespace: str) -> None:
    """Kills all that runs in a namespace, which this command alone puts anything into."""
    for _ in range(3):  # what a killed process started in the meantime, too
        for process in _ip("netns", "pids", namespace).split():
            try:
                os.kill(int(process), signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(POLL_SECONDS)


def _wait_for(log: Path, text: str) -> None:
    deadline = time.monotonic() + 300  # for a hang; a busy machine may take minutes
    while text not in log.read_text("utf-8", errors="replace"):
        if time.monotonic() > deadline:
            raise TimeoutError(log.read_text("utf-8", errors="replace"))
        time.sleep(POLL_SECONDS)


def _finished_rows(path: Path) -> int:
    return len(list((path.parent / "out").glob("*.mkv")))


def _wait_for_rows(path: Path, rows: int, batch: subprocess.Popen) -> None:
    while _finished_rows(path) < rows and batch.poll() is None:
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    main()
