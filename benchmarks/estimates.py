"""How well a job's time is estimated from one other job on this machine: estimated and real seconds of three jobs.

    python -m benchmarks.estimates [--cpu-time] [--model NAME] [--shares]

A first short job is all that is known. Then jobs of other lengths, sizes, numbers of faces and steps are planned and
done, one right after the other; none of them is learned from. `--cpu-time` measures the processor's seconds in place of
the clock's, which other programs on the machine change. `--shares` prints what a unit of each kind of work costs,
fitted to all four: the table in latentsync_core/estimates/expected_time.py.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latentsync_core import pipeline
from latentsync_core.errors import VideoError
from latentsync_core.estimates.expected_time import SHARES
from latentsync_core.estimates.job_plan import JobPlan
from latentsync_core.estimates.timings import CACHE_FOLDER_VARIABLE, Run, read_timings
from latentsync_core.faces.selection import ChooseBy, FaceChoice
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.media.opening import ffmpeg_input, ffmpeg_output
from latentsync_core.models.loading.weights import load_model
from latentsync_core.pipeline import Speaker, SyncOptions, sync
from latentsync_core.progress import PhaseClock
from latentsync_core.sample_scene import HER_VOICE, HIS_VOICE, SCENE, TWO_PEOPLE, VOICE
from latentsync_core.sampling.sampler_options import SamplerOptions

HER, HIM = FaceChoice(ChooseBy.LEFT), FaceChoice(ChooseBy.POINT, point=(590, 200))
LEARNED = "  first, learned from"


@dataclass(frozen=True)
class TimedJob:
    """A job of the table."""

    name: str
    clip: Path
    seconds: float
    steps: int
    height: int  # pixels, that the clip is scaled to
    two_speakers: bool = False


JOBS = (
    TimedJob(LEARNED, SCENE, 0.8, 2, 360),
    TimedJob("longer, 720p", SCENE, 2.4, 2, 720),
    TimedJob("1080p, more steps", SCENE, 1.0, 6, 1080),
    TimedJob("two people and voices", TWO_PEOPLE, 1.6, 3, 450, two_speakers=True),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--shares", action="store_true")
    options = parser.parse_args()
    if options.cpu_time:
        pipeline.PhaseClock = functools.partial(PhaseClock, clock=time.process_time)
    model = load_model(options.model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        warm_up(model, folder)
        learned, everything = folder / "learned", []
        print(f"{'job':24}{'estimated':>11}{'real':>9}{'of real':>9}   phases: estimated of real")
        for number, job in enumerate(JOBS):
            os.environ[CACHE_FOLDER_VARIABLE] = str(learned)
            plan, own = None, learned
            if number:
                own = folder / f"own {number}"  # what this job takes is not learned from
                plan, _ = pipeline.plan_sync(*arguments(job, model, folder))
            os.environ[CACHE_FOLDER_VARIABLE] = str(own)
            plans: list[JobPlan] = []
            report = sync(*arguments(job, model, folder), on_plan=plans.append)
            everything.append(read_timings(own))
            seconds = {phase: one for phase, one in report.seconds.items() if phase != "model"}
            print(line(job, seconds, plan), flush=True)
        if options.shares:
            print_shares(everything)


def warm_up(model: object, folder: Path) -> None:
    """What is done once in a process, such as loading the detectors, belongs to none of the jobs."""
    os.environ[CACHE_FOLDER_VARIABLE] = str(folder / "warm up")
    sync(*arguments(dataclasses.replace(JOBS[0], steps=1), model, folder))


def arguments(job: TimedJob, model: object, folder: Path) -> tuple:
    clip = folder / f"{job.clip.stem}-{job.height}.mp4"
    if not clip.exists():
        scale = ["-vf", f"scale=-2:{job.height}", "-crf", "12", "-an"]
        run_ffmpeg(
            [*ffmpeg_input(job.clip, VideoError), *scale, ffmpeg_output(clip)],
            error=VideoError,
            what="scaling the scene",
        )
    others = (Speaker(HIS_VOICE, scaled(HIM, job)),) if job.two_speakers else ()
    options = SyncOptions(
        model=model,
        choice=HER if job.two_speakers else FaceChoice(),
        other_speakers=others,
        sampler=SamplerOptions(steps=job.steps),
        start=0.4,
        end=0.4 + job.seconds,
    )
    return clip, HER_VOICE if job.two_speakers else VOICE, folder / "out.mp4", options


def scaled(choice: FaceChoice, job: TimedJob) -> FaceChoice:
    x, y = choice.point
    return dataclasses.replace(choice, point=(x * job.height / 450, y * job.height / 450))


def line(job: TimedJob, seconds: dict[str, float], plan: JobPlan | None) -> str:
    real = sum(seconds.values())
    if plan is None:
        return f"{job.name:24}{'':>11}{real:>7.1f} s"
    expected = sum(one or 0.0 for one in plan.seconds.values())
    phases = ", ".join(f"{name} {plan.seconds[name] or 0:.1f}/{seconds[name]:.1f}" for name in seconds)
    return f"{job.name:24}{expected:>9.1f} s{real:>7.1f} s{expected / real:>8.0%}   {phases}"


def print_shares(everything: list[dict[str, list[Run]]]) -> None:
    """Least squares of the relative errors over all jobs, no cost being below 0."""
    for kind, units in SHARES.items():
        known = [(key, run) for timings in everything for key, each in timings.items() for run in each]
        runs = [run for key, run in known if key.split(" ")[0] == kind]
        if not runs or len(units) == 1:
            continue
        amounts = np.array([[run.amounts.get(unit, 0.0) for unit in units] for run in runs])
        taken = np.array([run.seconds for run in runs])
        costs = np.zeros(len(units))
        free = list(range(len(units)))
        while free:
            costs[:] = 0
            costs[free], *_ = np.linalg.lstsq(amounts[:, free] / taken[:, None], np.ones(len(runs)), rcond=None)
            if costs.min() >= 0:
                break
            free.remove(int(costs.argmin()))
        each = ", ".join(f"{unit} {1000 * cost:.2f} ms" for unit, cost in zip(units, costs, strict=True))
        print(f"{kind}: {each}; {[round(float(one), 2) for one in taken]} s of {amounts.round(1).tolist()}")


if __name__ == "__main__":
    main()
