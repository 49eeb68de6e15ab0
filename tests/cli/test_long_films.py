"""A long film is done in parts by several workers, in any order, and comes to the bytes of a single run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest
import torch

from latentsync_core.batch.job_list import Job, JobPart
from latentsync_core.batch.worklist import OutcomeKind, WorkerEvent, run_jobs
from latentsync_core.cli.batches.batch_command import Batch, plan_batch
from latentsync_core.cli.commands import _parser, main
from tests.shared_reference import ROOT
from training.synthetic.scenes.clip_file import write_clip, write_wave
from training.synthetic.scenes.scene import cuts

SHOTS = (3, 3, 8)  # frames; the last one, of two windows, is longer than a part
SETTINGS = ("--model", "untrained", "--steps", "1", "--window", "4", "--codec", "ffv1")
LIMIT = ("--split-over", "0.008")  # minutes: parts of three frames
POLL_SECONDS = 0.02


class OneAfterTheOther:
    """Workers in this process: the one that got its job last does it first."""

    count = 2

    def __init__(self, batch: Batch) -> None:
        self._doers = [maker() for maker in batch.makers]
        self._in_hand: dict[int, Job] = {}
        self.done: list[tuple[int, Job, OutcomeKind]] = []

    def has_room(self, worker: int) -> bool:
        return True

    def submit(self, worker: int, job: Job) -> None:
        self._in_hand[worker] = job

    def wait(self, timeout: float | None) -> Iterable[tuple[int, WorkerEvent]]:
        worker, job = self._in_hand.popitem()
        outcome = self._doers[worker](job, lambda *_: None)
        self.done.append((worker, job, outcome.kind))
        return [(worker, outcome)]

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """A folder with a film of three shots, its voice, a list of it, and the result of a single run."""
    folder = tmp_path_factory.mktemp("film")
    scene = cuts(3, SHOTS, size=(128, 96))
    write_clip(scene, folder / "film.mp4")
    write_wave(folder / "film.wav", scene.waveform)
    (folder / "jobs.csv").write_text("video,audio,out\nfilm.mp4,film.wav,out.mkv\n", "utf-8")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    inputs = ("--video", folder / "film.mp4", "--audio", folder / "film.wav", "--out", folder / "single.mkv")
    assert main(["sync", "--json", *map(str, inputs), *SETTINGS]) == 0
    torch.set_num_threads(threads)
    return folder


def planned(film: Path, records: Path, *options: str) -> Batch:
    arguments = ["batch", str(film / "jobs.csv"), "--records", str(records), "--workers", "2", "--threads", "1"]
    return plan_batch(_parser().parse_args([*arguments, *SETTINGS, *(options or LIMIT)]))


def parts(workers: OneAfterTheOther, stage: str) -> list[tuple[int, int]]:
    """Of what frames the parts of a stage were, in the order in which they were done."""
    done = [job.part for _, job, kind in workers.done if kind is OutcomeKind.FINISHED and job.part is not None]
    return [(part.first, part.stop) for part in done if part.stage == stage]


def test_parts_done_in_any_order_by_two_workers_come_to_the_bytes_of_a_single_run(film, tmp_path):
    batch = planned(film, tmp_path)
    workers = OneAfterTheOther(batch)
    ((job, outcome),) = run_jobs(batch.jobs, workers)
    assert (job, outcome.kind) == (batch.jobs[0], OutcomeKind.FINISHED)
    assert (film / "out.mkv").read_bytes() == (film / "single.mkv").read_bytes()
    # Faces in parts of whole shots; mouths in parts that are bounded in the long shot, too.
    assert sorted(parts(workers, "faces")) == [(0, 3), (3, 6), (6, 14)]
    sampled = [(0, 3), (3, 6), (6, 10), (10, 14)]
    assert sorted(parts(workers, "sampling")) == sampled != parts(workers, "sampling")
    assert {worker for worker, *_ in workers.done} == {0, 1}
    assert outcome.seconds >= outcome.report["seconds"]["sampling"] > 0  # of all parts
    assert not list((tmp_path / "work").iterdir())


def test_what_one_batch_has_done_no_other_does_again(film, tmp_path):
    (film / "out.mkv").unlink(missing_ok=True)
    batch = planned(film, tmp_path)
    row, doer, other = batch.jobs[0], batch.makers[0](), batch.makers[1]()
    planned_parts = doer(row, lambda *_: None)
    assert planned_parts.kind is OutcomeKind.PARTS
    assert other(row, lambda *_: None).parts == planned_parts.parts
    first = Job(row.number, row.settings, planned_parts.parts[0])
    with doer.records.lock(f"{doer.key(doer.read(row))}-{planned_parts.parts[0].name}"):
        assert other(first, lambda *_: None).kind is OutcomeKind.BUSY
    assert doer(first, lambda *_: None).kind is OutcomeKind.FINISHED
    assert other(first, lambda *_: None).kind is OutcomeKind.SKIPPED
    assert other(row, lambda *_: None).parts == planned_parts.parts[1:]


@pytest.mark.slow
def test_a_damaged_file_of_a_part_costs_time_and_nothing_else(film, tmp_path):
    """Quick: test_files_that_are_damaged_or_of_other_frames_are_made_again"""
    (film / "out.mkv").unlink(missing_ok=True)
    batch = planned(film, tmp_path)
    doer, row = batch.makers[0](), batch.jobs[0]
    while (outcome := doer(row, lambda *_: None)).kind is OutcomeKind.PARTS:
        for part in outcome.parts:
            assert doer(Job(row.number, row.settings, part), lambda *_: None).kind is OutcomeKind.FINISHED
        for file in tmp_path.glob("work/*/parts-*/faces-0-3.npz"):
            file.write_bytes(b"no array")
        for file in tmp_path.glob("work/*/parts-*/sampling-3-6/*.patches"):
            file.write_bytes(b"")
    assert outcome.kind is OutcomeKind.FINISHED
    assert (film / "out.mkv").read_bytes() == (film / "single.mkv").read_bytes()


def test_a_part_that_can_not_be_done_ends_its_row_with_the_reason(film, tmp_path):
    batch = planned(film, tmp_path)
    job = Job(1, (("video", "missing.mp4"), *batch.jobs[0].settings[1:]), JobPart("faces", 0, 3))
    outcome = batch.makers[0]()(job, lambda *_: None)
    assert outcome.kind is OutcomeKind.FAILED
    assert "missing.mp4" in outcome.text


@pytest.mark.slow
def test_a_killed_worker_loses_its_part_alone(film, tmp_path):
    """Quick: test_parts_done_in_any_order_by_two_workers_come_to_the_bytes_of_a_single_run"""
    (film / "out.mkv").unlink(missing_ok=True)
    command = [
        sys.executable, "-m", "latentsync_core", "batch", str(film / "jobs.csv"), "--records", str(tmp_path),
        "--workers", "2", "--threads", "1", "--json", *SETTINGS, *LIMIT,
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as batch:
        finished: dict[Path, int] = {}  # records of parts, and when they were written
        for stage in ("faces", "sampling"):
            while not list(tmp_path.glob(f"work/*/parts-*/{stage}-*.json")):
                assert batch.poll() is None
                time.sleep(POLL_SECONDS)
            assert {path: path.stat().st_mtime_ns for path in finished} == finished
            busy = [one for one in psutil.Process(batch.pid).children() if "spawn_main" in " ".join(one.cmdline())]
            busy[0].kill()
            finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob("work/*/parts-*/*.json")}
        printed, _ = batch.communicate()
    assert batch.returncode == 0
    (row,) = json.loads(printed)["rows"]
    assert row["outcome"] == "finished"
    assert (film / "out.mkv").read_bytes() == (film / "single.mkv").read_bytes()
