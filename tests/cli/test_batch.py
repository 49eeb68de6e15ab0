"""A batch from its list to its files: rows are done as `sync` does them, finished ones skipped, broken ones named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from latentsync_core.batch.job_list import Job
from latentsync_core.batch.worklist import OutcomeKind
from latentsync_core.cli.batches.batch_command import plan_batch
from latentsync_core.cli.batches.batch_rows import RowParser
from latentsync_core.cli.commands import _parser, main
from latentsync_core.errors import LatentSyncError, OptionError
from latentsync_core.sample_scene import SAMPLE, VOICE

CLIP = SAMPLE / "portrait.png"  # of one frame
COMMON = ("--model", "untrained", "--steps", "1", "--codec", "ffv1", "--threads", "1")
LIST = f"""video,audio,out,seed
{CLIP},{VOICE},a.mkv,1
{CLIP},{VOICE},b.mkv,2
missing.mp4,{VOICE},c.mkv,
{CLIP},{VOICE},d.mkv,many
"""


def run(capsys, *arguments: object) -> tuple[int, dict]:
    """The batch's exit code and its JSON summary."""
    code = main(["batch", "--json", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, json.loads(printed.out or printed.err)


def outcomes(summary: dict) -> list[str]:
    return [row["outcome"] for row in summary["rows"]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a list that was run once, and what that run printed."""
    folder = tmp_path_factory.mktemp("batch")
    (folder / "jobs.csv").write_text(LIST, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("builtins.print", lambda text="", **_: printed.append(str(text)))
        code = main(["batch", str(folder / "jobs.csv"), "--json", *COMMON])
    return folder, code, json.loads(printed[-1])


def test_good_rows_are_written_and_broken_ones_reported(finished):
    folder, code, summary = finished
    assert code == 1
    assert outcomes(summary) == ["finished", "finished", "failed", "failed"]
    assert (summary["finished"], summary["skipped"], summary["failed"]) == (2, 0, 2)
    assert [summary["rows"][row]["frames"] for row in (0, 1)] == [1, 1]
    assert "missing.mp4" in summary["rows"][2]["error"]
    assert "--seed" in summary["rows"][3]["error"]
    assert "'many'" in summary["rows"][3]["error"]
    assert sorted(path.name for path in folder.iterdir()) == ["a.mkv", "b.mkv", "jobs.csv", "jobs.csv.batch"]
    assert not list((folder / "jobs.csv.batch" / "work").iterdir())  # of finished rows nothing is kept twice


def test_a_row_gives_the_bytes_of_a_single_run(finished, tmp_path, capsys):
    folder, _, _ = finished
    single = tmp_path / "single.mkv"
    arguments = ["--video", CLIP, "--audio", VOICE, "--out", single, "--seed", 1, *COMMON[:-2]]
    assert main(["sync", "--json", *map(str, arguments)]) == 0
    capsys.readouterr()
    assert single.read_bytes() == (folder / "a.mkv").read_bytes()


def test_only_what_changed_is_done_again(finished):
    folder, _, _ = finished
    (folder / "jobs.csv").write_text(LIST.replace("b.mkv,2", "b.mkv,3"), "utf-8")
    before = {name: (folder / name).stat().st_mtime_ns for name in ("a.mkv", "b.mkv")}
    batch = planned(folder / "jobs.csv", *COMMON)
    doer = batch.makers[0]()
    outcomes = [doer(job, lambda *_: None) for job in batch.jobs]
    assert [outcome.kind.value for outcome in outcomes] == ["skipped", "finished", "failed", "failed"]
    assert outcomes[0].report["frames"] == 1  # a summary is of all rows, whenever they were done
    assert (folder / "a.mkv").stat().st_mtime_ns == before["a.mkv"]
    assert (folder / "b.mkv").stat().st_mtime_ns > before["b.mkv"]


def test_a_dry_run_says_what_would_be_done_and_writes_no_result(finished, tmp_path, capsys):
    folder, _, _ = finished
    rows = f"video,audio,out,seed\n{CLIP},{VOICE},{folder}/a.mkv,1\n{CLIP},{VOICE},new.mkv,1\n{CLIP},none.wav,n.mkv,1\n"
    (tmp_path / "jobs.csv").write_text(rows, "utf-8")
    code, plan = run(capsys, tmp_path / "jobs.csv", "--records", folder / "jobs.csv.batch", "--dry-run", *COMMON)
    assert code == 1
    assert [row["plan"] for row in plan["rows"]] == ["skip: finished", "sync", "fails"]
    assert "none.wav" in plan["rows"][2]["error"]
    assert (plan["plan"]["to_do"], plan["plan"]["frames"]) == (1, 1)
    assert plan["plan"]["seconds"] > 0  # from the rows that are finished
    assert not (tmp_path / "new.mkv").exists()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"vidoe": "a.mp4"}, "no setting 'vidoe'"),
        ({"json": "yes"}, "no setting 'json'"),
        ({"audio": "a.wav"}, "The row has no video"),
        ({"video": "a.mp4"}, "The row has no audio"),
        ({"video": "a.mp4", "audio": "a.wav", "offload": "perhaps"}, "offload is 'perhaps'; write yes or no"),
        ({"video": "a.mp4", "audio": "a.wav", "length": "forever"}, "invalid choice: 'forever'"),
        ({"video": "a.mp4", "audio": "a.wav", "speaker": "person:1"}, "has no voice"),
        ({"video": "a.mp4", "audio": "a.wav", "out": "https://example.org/a.mp4"}, "can't be a URL"),
        ([("video", "a.mp4"), ("audio", "a.wav"), ("audio", "b.wav")], "audio is given 2 times"),
    ],
)
def test_a_row_that_can_not_be_done_says_why(tmp_path, settings, reason):
    pairs = settings.items() if isinstance(settings, dict) else settings
    with pytest.raises(OptionError, match=reason):
        RowParser().read(Job(1, tuple(pairs)), tmp_path)


def test_a_rows_paths_start_from_its_list_and_names_stay_names(tmp_path):
    (tmp_path / "bundle").mkdir()
    settings = (
        ("video", "clips/a.mp4"), ("audio", "https://example.org/a.wav"), ("out", "a.mkv"),
        ("marks", "/abs/marks.json"),
        ("speaker", "picture:anna.png=anna.wav"), ("speaker", "person:2=https://example.org/b.wav?x=1"),
        ("model", "nano"), ("offload", "yes"), ("no-occlusion", "no"), ("grow", "-2"),
    )  # fmt: skip
    options = RowParser().read(Job(1, settings), tmp_path)
    assert options.video == tmp_path / "clips" / "a.mp4"
    assert options.audio.text == "https://example.org/a.wav"
    assert options.out == str(tmp_path / "a.mkv")
    assert options.marks == Path("/abs/marks.json")
    first, second = options.speaker
    assert (first.picture, first.audio) == (tmp_path / "anna.png", tmp_path / "anna.wav")
    assert second.audio.text == "https://example.org/b.wav?x=1"
    assert (options.model, options.offload, options.no_occlusion, options.grow) == ("nano", True, False, -2)
    assert RowParser().read(Job(1, (*settings[:3], ("model", "bundle"))), tmp_path).model == str(tmp_path / "bundle")


def test_what_the_command_gives_holds_for_rows_that_give_none():
    defaults = _parser().parse_args(["batch", "jobs.csv", "--steps", "4", "--speaker", "person:2=b.wav", "--seed", "5"])
    parser = RowParser(defaults)
    row = (("video", "a.mp4"), ("audio", "a.wav"), ("seed", "6"), ("speaker", "left=c.wav"))
    options = parser.read(Job(1, row), Path("/lists"))
    assert (options.steps, options.seed) == (4, 6)
    assert [str(one.audio) for one in options.speaker] == ["b.wav", "/lists/c.wav"]
    assert len(parser.read(Job(2, row), Path("/lists")).speaker) == 2  # no row adds to another one's


def planned(*arguments: object):
    return plan_batch(_parser().parse_args(["batch", *map(str, arguments)]))


def test_a_folder_of_clips_needs_a_folder_for_the_results(tmp_path):
    (tmp_path / "shots").mkdir()
    for name in ("one.mp4", "one.wav"):
        (tmp_path / "shots" / name).touch()
    with pytest.raises(OptionError, match="give --out, a folder for the results"):
        planned(tmp_path / "shots")
    batch = planned(tmp_path / "shots", "--out", tmp_path / "dubbed", "--workers", "1")
    options = batch.makers[0]().read(batch.jobs[0])
    assert options.out == str(tmp_path / "dubbed" / "one.mp4")
    assert options.video == tmp_path / "shots" / "one.mp4"


def test_two_rows_with_one_result_are_refused_before_anything_is_done(tmp_path):
    (tmp_path / "jobs.csv").write_text("video,audio,out\na.mp4,a.wav,x.mp4\nb.mp4,a.wav,./x.mp4\n", "utf-8")
    with pytest.raises(OptionError, match=r"Rows 1 and 2 would both write \./x\.mp4"):
        planned(tmp_path / "jobs.csv")


def test_workers_share_the_devices_that_are_named_and_the_cores(tmp_path):
    (tmp_path / "jobs.csv").write_text("video,audio,out\na.mp4,a.wav,x.mp4\n", "utf-8")
    batch = planned(tmp_path / "jobs.csv", "--devices", "cuda:0,cuda:1", "--workers", "3")
    assert [maker.device for maker in batch.makers] == ["cuda:0", "cuda:1", "cuda:0"]
    assert {maker.threads for maker in batch.makers} == {max((os.cpu_count() or 1) // 3, 1)}
    assert [maker.device for maker in planned(tmp_path / "jobs.csv", "--devices", "cpu").makers] == ["cpu"]
    assert planned(tmp_path / "jobs.csv", "--workers", "1").makers[0].threads is None  # PyTorch's own choice


def test_a_job_that_another_process_is_doing_is_left_to_it(finished):
    folder, _, _ = finished
    batch = planned(folder / "jobs.csv", *COMMON)
    doer = batch.makers[0]()
    options = doer.read(batch.jobs[0])
    with doer.records.lock(doer.key(options)) as is_ours:
        assert is_ours
        assert batch.makers[0]()(batch.jobs[0], lambda *_: None).kind is OutcomeKind.BUSY


@pytest.mark.parametrize(
    ("source", "reason"),
    [("missing.csv", "There is no missing.csv"), ("https://example.org/jobs.csv", "can't be a URL")],
)
def test_a_list_that_can_not_be_read_ends_with_code_2(source, reason, capsys):
    try:
        code = main(["batch", source])
    except SystemExit as left:
        code = left.code
    assert code == 2
    assert reason in capsys.readouterr().err


def test_errors_of_the_records_folder_are_the_users(tmp_path):
    (tmp_path / "jobs.csv").write_text("video,audio,out\na.mp4,a.wav,x.mp4\n", "utf-8")
    (tmp_path / "jobs.csv.batch").touch()
    with pytest.raises(LatentSyncError, match="Can't write to"):
        planned(tmp_path / "jobs.csv")
