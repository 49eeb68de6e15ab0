"""Jobs go to whoever is free; killed workers, killed batches and other batches lose no job and do none twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass

import pytest

from latentsync_core.batch.local_workers import DoJob, LocalWorkers
from latentsync_core.batch.worklist import MAX_ATTEMPTS, OutcomeKind, run_jobs
from tests.batch.recorded_jobs import BATCH, PARTS, POLL_SECONDS, Maker, job
from tests.shared_reference import ROOT


@pytest.fixture
def maker(tmp_path):
    return Maker(tmp_path)


def test_every_job_is_done_once_by_one_of_the_workers(maker):
    jobs = [job(number) for number in range(1, 21)]
    ended = list(run_jobs(jobs, LocalWorkers([maker, maker])))
    assert sorted(one.number for one, _ in ended) == [one.number for one in jobs]
    assert {outcome.kind for _, outcome in ended} == {OutcomeKind.FINISHED}
    assert len({outcome.report["process"] for _, outcome in ended} - {os.getpid()}) == 2
    assert [maker.runs(one.number) for one in jobs] == [1] * len(jobs)


def test_a_failed_job_stops_no_other_and_its_reason_comes_through(maker):
    outcomes = dict(run_jobs([job(1, "fail"), job(2)], LocalWorkers([maker])))
    assert outcomes[job(1, "fail")].text == "no such file"
    assert outcomes[job(2)].kind is OutcomeKind.FINISHED
    assert maker.runs(1) == 1  # what is wrong with its files stays wrong


def test_the_job_of_a_killed_worker_is_done_by_a_new_one(maker):
    outcomes = dict(run_jobs([job(1, "die once"), job(2)], LocalWorkers([maker])))
    assert {outcome.kind for outcome in outcomes.values()} == {OutcomeKind.FINISHED}
    assert (maker.runs(1), maker.runs(2)) == (2, 1)


def test_a_job_that_kills_every_worker_is_given_up_and_says_how_they_died(maker):
    outcomes = dict(run_jobs([job(1, "die"), job(2)], LocalWorkers([maker])))
    assert outcomes[job(1, "die")].kind is OutcomeKind.FAILED
    assert f"{MAX_ATTEMPTS} times" in outcomes[job(1, "die")].text
    assert ("signal 9" if os.name != "nt" else "exit code") in outcomes[job(1, "die")].text
    assert maker.runs(1) == MAX_ATTEMPTS
    assert outcomes[job(2)].kind is OutcomeKind.FINISHED


@dataclass(frozen=True)
class Broken:
    """Makes nothing: its process ends before it has taken a job."""

    def __call__(self) -> DoJob:
        sys.exit(5)


def test_workers_that_can_not_start_end_the_jobs_that_wait_for_them():
    outcomes = dict(run_jobs([job(1), job(2)], LocalWorkers([Broken()])))
    assert {outcome.kind for outcome in outcomes.values()} == {OutcomeKind.FAILED}
    assert "exit code 5" in outcomes[job(1)].text


def test_a_worker_that_dies_between_jobs_is_started_again(maker):
    workers = LocalWorkers([maker])
    with closing(run_jobs([job(1), job(2)], workers)) as ended:
        _, first = next(ended)
        os.kill(first.report["process"], signal.SIGTERM)
        _, second = next(ended)
    assert second.kind is OutcomeKind.FINISHED
    assert second.report["process"] != first.report["process"]


def test_a_job_that_another_batch_has_comes_back_later(maker):
    ended = list(run_jobs([job(1, "busy once"), job(2)], LocalWorkers([maker])))
    assert [one.number for one, _ in ended] == [2, 1]
    assert {outcome.kind for _, outcome in ended} == {OutcomeKind.FINISHED}


def test_progress_names_the_job_and_its_phase(maker):
    seen = []
    list(run_jobs([job(1)], LocalWorkers([maker]), lambda at, progress: seen.append((at.number, progress.phase))))
    assert seen == [(1, "clip"), (1, "sampling")]


def test_stopping_cancels_the_job_in_hand_which_clears_up_after_itself(maker, tmp_path):
    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_jobs([job(1, "wait"), job(2)], LocalWorkers([maker]), stop))
    assert (tmp_path / "1.cancelled").exists()
    assert not (tmp_path / "2.runs").exists()


@pytest.mark.parametrize("what", ["parts", "parts, one dies", "parts, one is busy"])
def test_a_job_in_parts_comes_once_all_of_them_are_done_and_a_killed_worker_loses_its_own_part(maker, what):
    ((ended, outcome),) = run_jobs([job(1, what)], LocalWorkers([maker, maker]))
    assert (ended, outcome.kind) == (job(1, what), OutcomeKind.FINISHED)
    assert outcome.seconds == 5.0  # those of the job's own two turns and of its parts
    assert maker.runs(1) == 2
    runs = [maker.runs(f"1-{part.name}") for part in PARTS]
    assert runs == [1, 1 if what == "parts" else 2, 1]


@pytest.mark.parametrize(
    ("what", "reason"), [("parts, one fails", "no such frame"), ("parts, one is lost", "lost again and again")]
)
def test_a_job_whose_part_fails_or_is_never_there_fails_with_the_reason_and_others_go_on(maker, what, reason):
    outcomes = dict(run_jobs([job(1, what), job(2)], LocalWorkers([maker])))
    assert outcomes[job(1, what)].kind is OutcomeKind.FAILED
    assert reason in outcomes[job(1, what)].text
    assert outcomes[job(2)].kind is OutcomeKind.FINISHED
    assert maker.runs(f"1-{PARTS[1].name}") == (1 if "fails" in what else MAX_ATTEMPTS)


def test_workers_end_when_their_batch_is_killed(maker, tmp_path):
    batch = subprocess.Popen(
        [sys.executable, "-c", BATCH, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert batch.stdout is not None
    assert batch.stdout.readline() == b"running\n"
    batch.kill()
    batch.wait()
    while not (tmp_path / "1.cancelled").exists():  # written by the worker, on its own
        time.sleep(POLL_SECONDS)
