"""A job counts as finished only where its result is there, unchanged, and made from the same inputs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from latentsync_core.batch.job_records import (
    FINISHED,
    STARTED,
    JobRecord,
    JobRecords,
    file_facts,
    fingerprint,
    job_key,
)
from latentsync_core.errors import OutputError

KEY = "0123"
HOLDER = """
import sys
from pathlib import Path
from latentsync_core.batch.job_records import JobRecords
with JobRecords(Path(sys.argv[1])).lock(sys.argv[2]) as is_ours:
    print(is_ours, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def records(tmp_path):
    return JobRecords(tmp_path / "records")


@pytest.fixture
def result(tmp_path):
    path = tmp_path / "result.mkv"
    path.write_bytes(b"frames")
    return path


def test_a_finished_job_is_known_again(records, result):
    records.write(KEY, JobRecord(FINISHED, "same", str(result), file_facts(result), {"frames": 3}))
    again = JobRecords(records.folder).finished(KEY, "same")
    assert again is not None
    assert again.report == {"frames": 3}


@pytest.mark.parametrize("change", ["another input", "result replaced", "result gone", "record torn", "never begun"])
def test_a_job_is_done_again_after(records, result, change):
    if change != "never begun":
        records.write(KEY, JobRecord(FINISHED, "same", str(result), file_facts(result)))
    if change == "result replaced":
        result.write_bytes(b"other frames")
    if change == "result gone":
        result.unlink()
    if change == "record torn":
        path = next((records.folder / "records").iterdir())
        path.write_text(path.read_text("utf-8")[:20], "utf-8")
    assert records.finished(KEY, "other" if change == "another input" else "same") is None


def test_a_result_in_place_counts_where_the_process_was_killed_before_it_wrote_that_down(records, result):
    before = file_facts(result)
    records.write(KEY, JobRecord(STARTED, "same", str(result), before))
    assert records.finished(KEY, "same") is None  # the file is still the one that was there before
    result.write_bytes(b"new frames")
    found = records.finished(KEY, "same")
    assert found is not None
    assert found.state == FINISHED
    result.write_bytes(b"edited by somebody")
    assert records.finished(KEY, "same") is None


def test_a_result_of_unknown_name_does_not_count_before_the_job_has_ended(records):
    records.write(KEY, JobRecord(STARTED, "same"))
    assert records.finished(KEY, "same") is None


def test_only_one_process_has_a_job_and_a_killed_one_gives_it_back(records):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(records.folder), KEY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"True\n"
        with records.lock(KEY) as is_ours, records.lock("another") as other_is_ours:
            assert (is_ours, other_is_ours) == (False, True)
    finally:
        holder.kill()
        holder.wait()
    with records.lock(KEY) as is_ours:
        assert is_ours


def test_the_fingerprint_follows_settings_and_the_contents_of_files_and_folders(tmp_path):
    voice, pictures = tmp_path / "voice.wav", tmp_path / "shot"
    voice.write_bytes(b"one")
    pictures.mkdir()
    (pictures / "1.png").write_bytes(b"picture")
    seen = {fingerprint({"seed": 1}, {"audio": voice, "video": pictures})}
    assert fingerprint({"seed": 1}, {"video": pictures, "audio": voice}) in seen  # their order is no matter
    seen.add(fingerprint({"seed": 2}, {"audio": voice, "video": pictures}))
    voice.write_bytes(b"longer")
    seen.add(fingerprint({"seed": 1}, {"audio": voice, "video": pictures}))
    (pictures / "2.png").write_bytes(b"picture")
    seen.add(fingerprint({"seed": 1}, {"audio": voice, "video": pictures}))
    voice.unlink()
    seen.add(fingerprint({"seed": 1}, {"audio": voice, "video": pictures}))
    assert len(seen) == 5


def test_two_jobs_share_a_record_only_where_they_write_the_same_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert job_key(tmp_path / "a.mp4") == job_key((tmp_path / "a.mp4").relative_to(tmp_path))
    assert job_key(tmp_path / "a.mp4") != job_key(tmp_path / "b.mp4")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"Can't write to .*file"):
        JobRecords(tmp_path / "file" / "below")
