"""The Batch node in a real ComfyUI: a folder or list becomes files, broken rows stop nothing, and nothing leads out."""

from __future__ import annotations

import json
import time

import pytest

from latentsync_core.video.reading.probing import probe
from tests.comfyui.harness.graphs import FRAMES, Graph
from tests.comfyui.harness.server import Run

SETTINGS = {"seed": 5, "steps": 1, "cfg": 1.0, "quality": "custom"}


def batched(server, jobs: str, folder: str, **inputs: object) -> Graph:
    graph = Graph(server)
    batch = graph.add(
        "LatentSyncDubBatchOfClips", "batch", model=graph.model(), jobs=jobs, output_folder=folder, **SETTINGS | inputs
    )
    graph.add("TestShowText", "report", text=[batch[0], 1])
    return graph


def report_of(run: Run) -> dict:
    """The node's report, which a helper node showed as text."""
    return json.loads(json.loads(run.outputs["report"]["text"][0]))


def outcomes(report: dict) -> list[str]:
    return [row["outcome"] for row in report["rows"]]


def share_done(server, prompt_id: str) -> float:
    """Share of the rows that the bar has shown so far."""
    shown = [
        state["value"] / state["max"]
        for message in server.messages
        if message.type == "progress_state" and message.data.get("prompt_id") == prompt_id
        for name, state in message.data["nodes"].items()
        if name == "batch"
    ]
    return max(shown, default=0.0)


@pytest.fixture(scope="module")
def shots(dub) -> str:
    """The name of a folder in the input folder: two clips with their voices, and one that is none."""
    files = {"a.mp4": "clip.mp4", "a.flac": "voice.flac", "c.mp4": "silent.mp4", "c.flac": "speech.flac"}
    contents = {f"shots/{name}": (dub.input / source).read_bytes() for name, source in files.items()}
    (dub.input / "shots").mkdir(exist_ok=True)
    dub.put_files(dub.input, contents | {"shots/b.mp4": b"no clip", "shots/b.flac": contents["shots/a.flac"]})
    return "shots"


def test_a_folders_clips_are_done_a_broken_one_is_reported_and_only_what_changed_is_done_again(dub, shots):
    run = batched(dub, shots, "dubbed/a folder").run()
    report = report_of(run)
    assert outcomes(report) == ["finished", "failed", "finished"]
    assert "b.mp4" in report["rows"][1]["error"]
    results = dub.output / "dubbed" / "a folder"
    assert [probe(results / f"{name}.mp4").frame_count for name in "ac"] == [FRAMES, FRAMES]
    table = run.outputs["batch"]["text"]
    assert table[0].split() == ["row", "result", "outcome", "frames", "synced", "seconds"]
    assert table[-1] == "2 finished, 0 skipped, 1 failed"
    shares = [value / most for value, most in run.progress("batch")]
    assert shares == sorted(shares)
    assert any(0 < share < 1 / 3 for share in shares)

    before = (results / "a.mp4").stat().st_mtime_ns
    dub.put_files(dub.input, {"shots/b.mp4": (dub.input / "clip.mp4").read_bytes()})
    again = report_of(batched(dub, shots, "dubbed/a folder").run())
    assert outcomes(again) == ["skipped", "finished", "skipped"]
    assert (results / "a.mp4").stat().st_mtime_ns == before


def test_a_lists_rows_reach_no_file_outside_of_the_folders(dub, tmp_path):
    (tmp_path / "secret.mp4").write_bytes((dub.input / "clip.mp4").read_bytes())
    (tmp_path / "out").mkdir()
    good = {"video": "clip.mp4", "audio": "voice.flac"}
    rows = [
        good | {"out": "below/good"},
        good | {"video": str(tmp_path / "secret.mp4"), "out": "1"},
        good | {"video": "../output/x.mp4", "out": "2"},
        good | {"out": str(tmp_path / "out" / "x.mp4")},
        good | {"out": "../../x"},
        good | {"work-folder": str(tmp_path), "out": "5"},
        good | {"audio": "https://example.org/a.wav", "out": "6"},
        good | {"face": f"picture:{tmp_path / 'secret.mp4'}", "out": "7"},
        good | {"out": "below/good"},
        good | {"out": "other", "seed": 6},
    ]
    dub.put_files(dub.input, {"rows.json": json.dumps(rows).encode()})
    report = report_of(batched(dub, "rows.json", "dubbed/a list").run())
    assert outcomes(report) == ["finished", *["failed"] * 8, "finished"]
    reasons = [row["error"] for row in report["rows"][1:9]]
    expected = [
        "outside of ComfyUI's input folder", "outside of ComfyUI's input folder", "below the output folder",
        "leads out of the output folder", "no column 'work-folder'", "names a URL", "outside of ComfyUI's input folder",
        "Row 1 writes good.mp4 too",
    ]  # fmt: skip
    assert all(part in reason for part, reason in zip(expected, reasons, strict=True)), reasons
    assert not list((tmp_path / "out").iterdir())
    written = {path.relative_to(dub.output / "dubbed" / "a list").as_posix() for path in dub.output.rglob("*.mp4")
               if path.is_relative_to(dub.output / "dubbed" / "a list")}  # fmt: skip
    assert written == {"below/good.mp4", "other.mp4"}


@pytest.mark.parametrize("jobs", ["", "..", "../output", "/etc", "missing.csv", "x\0y"])
def test_jobs_that_are_no_folder_or_list_in_the_input_folder_are_refused(dub, jobs):
    run = dub.wait(dub.queue(batched(dub, jobs, "dubbed").prompt))
    assert (run.status, run.failed_node) == ("error", "batch")
    assert "jobs is" in run.error


def test_it_is_cancelled_within_a_row_and_goes_on_there(dub):
    dub.put_files(
        dub.input, {"long.csv": b"video,audio,out\nclip.mp4,voice.flac,first\nlonger.mp4,voice.flac,second\n"}
    )
    graph = batched(dub, "long.csv", "dubbed/cancelled", steps=8)
    queued = dub.queue(graph.prompt)
    deadline = time.monotonic() + 600  # for a hang; a busy machine may take minutes
    while share_done(dub, queued) < 0.7:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    dub.interrupt(queued)
    assert dub.wait(queued).status == "interrupted"
    assert [path.name for path in (dub.output / "dubbed" / "cancelled").glob("*.mp4")] == ["first.mp4"]
    report = report_of(graph.run())
    assert outcomes(report) == ["skipped", "finished"]
