"""The file of timings: what is kept of it, and what happens to it where it is damaged, full, shared or read-only."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from latentsync_core.estimates.timings import (
    CACHE_FOLDER_VARIABLE,
    FILE_NAME,
    MAX_BYTES,
    MAX_KINDS,
    MAX_RUNS,
    Run,
    Work,
    cache_folder,
    read_timings,
    record_timings,
)

DECODING = Work("decode", {"patches": 16}, "128 px cpu")


def test_what_is_recorded_is_read_again_the_latest_last(tmp_path):
    record_timings([(DECODING, 2.0)], tmp_path)
    record_timings([(Work("decode", {"patches": 32}, "128 px cpu"), 3.0)], tmp_path)
    assert read_timings(tmp_path) == {"decode 128 px cpu": [Run(2.0, {"patches": 16}), Run(3.0, {"patches": 32})]}


def test_only_the_last_runs_of_the_kinds_measured_last_are_kept(tmp_path):
    record_timings([(DECODING, float(second + 1)) for second in range(MAX_RUNS + 3)], tmp_path)
    assert [run.seconds for run in read_timings(tmp_path)[DECODING.key]] == [float(n) for n in range(4, MAX_RUNS + 4)]
    record_timings([(Work("write", {"frames": 1}, str(n)), 1.0) for n in range(MAX_KINDS)], tmp_path)
    timings = read_timings(tmp_path)
    assert len(timings) == MAX_KINDS
    assert DECODING.key not in timings
    assert (tmp_path / FILE_NAME).stat().st_size < MAX_BYTES


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff\xfe", b"[]", b'{"version": 1}', b'{"version": 0, "timings": {}}', b"[" * 100_000,
        b'{"version": 1, "timings": {"decode": [[1]]}}', b'{"version": 1, "timings": {"decode": 5}}',
        b'{"version": 1, "timings": {"decode": [[-1, {"patches": 1}]]}}',
        b'{"version": 1, "timings": {"decode": [[1, {"patches": NaN}]]}}',
        b'{"version": 1, "timings": {"decode": [[1e999, {"patches": 1}]]}}',
        b'{"version": 1, "timings": {"decode": [["a", {"patches": 1}]]}}',
        b'{"version": 1, "timings": {"decode": [[1, [1]]]}}', b" " * (MAX_BYTES + 1),
    ],
)  # fmt: skip
def test_a_damaged_file_counts_as_empty_and_is_replaced(tmp_path, content):
    (tmp_path / FILE_NAME).write_bytes(content)
    assert read_timings(tmp_path) == {}
    record_timings([(DECODING, 2.0)], tmp_path)
    assert read_timings(tmp_path) == {DECODING.key: [Run(2.0, {"patches": 16})]}


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_that_no_work_takes_is_left_out(tmp_path, seconds):
    record_timings([(DECODING, seconds), (Work("decode", {"patches": 0}), 1.0)], tmp_path)
    assert not (tmp_path / FILE_NAME).exists()


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "file").write_text("", "utf-8")
    record_timings([(DECODING, 2.0)], tmp_path / "file" / "folder")
    assert read_timings(tmp_path / "file" / "folder") == {}


def _record(folder: Path, number: int) -> None:
    for _ in range(5):
        record_timings([(Work("write", {"frames": 1}, f"process {number}"), 1.0)], folder)


def test_processes_that_record_at_once_lose_nothing(tmp_path):
    context = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn")
    processes = [context.Process(target=_record, args=(tmp_path, number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert {key: len(runs) for key, runs in read_timings(tmp_path).items()} == {
        f"write process {number}": 5 for number in range(4)
    }


def test_the_folder_is_the_users_own_or_the_environments(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_FOLDER_VARIABLE, str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv(CACHE_FOLDER_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder().is_absolute()
    assert "latentsync-dub" in cache_folder().parts


def test_the_file_holds_nothing_but_kinds_of_work_and_numbers(tmp_path):
    record_timings([(DECODING, 2.0)], tmp_path)
    assert json.loads((tmp_path / FILE_NAME).read_text("utf-8")) == {
        "version": 1, "timings": {"decode 128 px cpu": [[2.0, {"patches": 16}]]}
    }  # fmt: skip
