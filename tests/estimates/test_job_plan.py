"""A job's plan: the windows that sampling comes to, the time of every phase once a run is known, and in words."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from latentsync_core.cli.commands import main
from latentsync_core.estimates.job_plan import UNKNOWN_TIME, JobPlan, SamplingPlan
from latentsync_core.estimates.timings import CACHE_FOLDER_VARIABLE, read_timings
from latentsync_core.faces.selection import ChooseBy, FaceChoice
from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.pipeline import Speaker, SyncOptions, SyncReport, plan_sync, sync
from latentsync_core.sample_scene import HER_VOICE, HIS_VOICE, SAMPLE, TWO_PEOPLE, VOICE
from latentsync_core.sampling.sampler_options import SamplerOptions, WindowOptions
from latentsync_core.video.writing.writer_options import Codec, WriterOptions
from tests.one_thread import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")

START, END, FRAMES, WINDOW = 1.0, 1.16, 4, 2
PHASES = ["faces", "voice", "sampling", "compositing"]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A folder for timings that holds none yet."""
    monkeypatch.setenv(CACHE_FOLDER_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def options() -> SyncOptions:
    return SyncOptions(
        model=untrained_model(resolution=64),
        choice=FaceChoice(ChooseBy.LEFT),
        sampler=SamplerOptions(steps=2, cfg=1.0, windows=WindowOptions(frames=WINDOW)),
        writer=WriterOptions(Codec.FFV1),
        start=START,
        end=END,
    )


@dataclasses.dataclass
class Measured:
    """A run, and the folder with the timings that it left."""

    report: SyncReport
    plans: list[JobPlan]
    steps: list[int]
    cache: Path


@pytest.fixture(scope="module")
def measured(options, tmp_path_factory) -> Measured:
    folder = tmp_path_factory.mktemp("measured")
    plans: list[JobPlan] = []
    steps: list[int] = []

    def on_progress(phase: str, _done: int, total: int) -> None:
        if phase == "sampling":
            steps.append(total)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_FOLDER_VARIABLE, str(folder / "cache"))
        report = sync(TWO_PEOPLE, HER_VOICE, folder / "a.mkv", options, on_progress, plans.append)
    return Measured(report, plans, steps, folder / "cache")


@pytest.fixture
def after_a_run(measured, cache) -> None:
    """The timings are those of `measured`."""
    shutil.copytree(measured.cache, cache)


@pytest.mark.usefixtures("after_a_run")
def test_a_run_gives_the_next_plan_its_times_and_windows_are_those_that_are_sampled(measured, options, tmp_path):
    report, steps = measured.report, measured.steps
    before, found = measured.plans
    assert (before.sampling.is_exact, found.sampling.is_exact) == (False, True)
    assert before.total_seconds is None
    assert before.text.startswith("at most 2 windows of 2 steps")
    assert UNKNOWN_TIME in before.text
    assert steps[-1] == found.sampling.windows * found.steps == 4
    assert found.sampling.frames == report.synced_frames == FRAMES
    assert list(before.seconds) == PHASES
    assert list(found.seconds) == PHASES[1:]

    plan, clip = plan_sync(TWO_PEOPLE, HER_VOICE, tmp_path / "b.mkv", options)
    assert clip.frame_count == FRAMES
    assert list(plan.seconds) == PHASES
    # Of the same work, one run tells the time of what was measured, which is most of it.
    assert plan.seconds["voice"] == pytest.approx(report.seconds["voice"])
    expected, real = (sum(seconds[phase] for phase in PHASES[2:]) for seconds in (plan.seconds, report.seconds))
    assert 0.5 * real < expected <= real
    assert not (tmp_path / "b.mkv").exists()


@pytest.mark.usefixtures("after_a_run")
def test_more_work_takes_longer_by_the_plan(options, tmp_path):
    seconds = {}
    for name, changes in {
        "as it was": {},
        "steps": {"sampler": dataclasses.replace(options.sampler, steps=20)},
        "speakers": {"other_speakers": (Speaker(HIS_VOICE, FaceChoice(ChooseBy.POINT, point=(590, 200))),)},
        "length": {"end": START + 4 * (END - START)},
    }.items():
        plan, _ = plan_sync(TWO_PEOPLE, HER_VOICE, tmp_path / "b.mkv", dataclasses.replace(options, **changes))
        seconds[name] = plan.seconds
    usual = seconds["as it was"]
    assert seconds["steps"]["sampling"] > 2 * usual["sampling"]
    assert seconds["steps"]["compositing"] == pytest.approx(usual["compositing"])
    assert seconds["speakers"]["voice"] == pytest.approx(2 * usual["voice"])
    assert seconds["speakers"]["sampling"] == pytest.approx(2 * usual["sampling"], rel=0.05)
    assert seconds["length"]["faces"] > 1.5 * usual["faces"]
    assert seconds["length"]["compositing"] == pytest.approx(4 * usual["compositing"])


def test_faces_that_are_read_from_a_folder_are_not_measured(cache, options, tmp_path):
    kept = dataclasses.replace(options, work_folder=tmp_path / "work")
    sync(TWO_PEOPLE, HER_VOICE, tmp_path / "a.mkv", kept)
    sync(TWO_PEOPLE, HER_VOICE, tmp_path / "b.mkv", kept)  # samples nothing again either
    runs = {key.split(" ")[0]: len(each) for key, each in read_timings(cache).items()}
    assert runs["faces"] == 1
    assert runs["denoise"] == runs["encode"] == 1
    assert runs["paste"] == runs["write"] == runs["voice"] == 2


def test_a_plan_in_words_and_for_machines():
    plan = JobPlan(
        SamplingPlan(1, 16, 32.0, True), 1, 1_340_000_000, {"faces": 61.0, "sampling": 12.0, "compositing": 3.0}
    )
    assert plan.text == "1 window of 1 step, about 2 min, 1.3 GB of memory"
    assert plan.phases_text == "Finding faces 2 min, Generating mouths 15 s, Writing the video 5 s"
    assert plan.data["seconds"] == 76.0
    unknown = dataclasses.replace(plan, seconds={"faces": 61.0, "sampling": None})
    assert unknown.total_seconds is None
    assert unknown.phases_text == "Finding faces 2 min"
    assert unknown.data["phases"] == {"faces": 61.0, "sampling": None}


def test_the_command_line_plans_and_writes_nothing(cache, tmp_path, capsys):
    command = ["sync", "--video", SAMPLE / "portrait.png", "--audio", VOICE, "--out", tmp_path / "out.mkv"]
    flags = ["--model", "nano", "--codec", "ffv1", "--length", "hold", "--steps", "3", "--plan"]
    assert main([*map(str, command), *flags, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["frames"], plan["size"], plan["steps"]) == (1, "512x512", 3)
    assert plan["windows"] > 5  # of the voice's length
    assert plan["seconds"] is None
    assert plan["phases"]["model"] > 0
    assert main([*map(str, command), *flags]) == 0
    assert "windows of 3 steps" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
