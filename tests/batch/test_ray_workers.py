"""The same worklist over Ray actors: each job once, killed actors replaced, a cancelled job cleared up after.

Quick: test_worklist.py holds all of this with processes instead of actors.
"""

from __future__ import annotations

import importlib.util

import pytest

from latentsync_core.batch.ray_workers import LOCAL, RayWorkers
from latentsync_core.batch.worklist import OutcomeKind, run_jobs
from latentsync_core.errors import ToolError
from tests.batch.recorded_jobs import Maker, job

HAS_RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed: pip install ray")


@needs_ray
@pytest.mark.slow
def test_actors_do_every_job_once_and_a_killed_one_is_replaced(tmp_path):
    """Quick: test_the_job_of_a_killed_worker_is_done_by_a_new_one"""
    jobs = [job(number, {3: "die once", 5: "fail", 7: "die"}.get(number, "run")) for number in range(1, 13)]
    outcomes = {one.number: outcome for one, outcome in run_jobs(jobs, RayWorkers(Maker(tmp_path), LOCAL, 2))}
    assert {number for number, outcome in outcomes.items() if outcome.kind is OutcomeKind.FAILED} == {5, 7}
    assert outcomes[5].text == "no such file"
    assert "3 times" in outcomes[7].text
    runs = [Maker(tmp_path).runs(number) for number in sorted(outcomes)]
    assert runs == [1, 1, 2, 1, 1, 1, 3, 1, 1, 1, 1, 1]


@needs_ray
@pytest.mark.slow
def test_a_cancelled_actor_clears_up_after_its_job(tmp_path):
    """Quick: test_stopping_cancels_the_job_in_hand_which_clears_up_after_itself"""

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_jobs([job(1, "wait"), job(2)], RayWorkers(Maker(tmp_path), LOCAL), stop))
    assert (tmp_path / "1.cancelled").exists()
    assert not (tmp_path / "2.runs").exists()


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_without_ray_its_package_is_named(tmp_path):
    with pytest.raises(ToolError, match="ray is not installed"):
        RayWorkers(Maker(tmp_path), LOCAL)
