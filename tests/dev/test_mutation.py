"""Mutation testing on a tiny project: blind spots survive, the rest is killed, and the project itself never changes."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dev.mutation.__main__ import ROOT, TARGETS
from dev.mutation.campaign import KILLED, SURVIVED, TIMED_OUT, _Suite
from dev.mutation.mutants import Target, find_test_files, mutants_of, mutated_source, sample_mutants

CODE = '''"""A module."""

from __future__ import annotations


def grade(points: int, bonus: int = 0) -> str:
    """Never mutated: "1 < 2"."""
    total = points + bonus
    if total < 0:
        raise ValueError(f"{total + 1} points")
    return "good" if total >= 50 else "poor"


def countdown(start: int) -> int:
    while start > 0:
        start -= 1
    return start
'''
TESTS = """from tiny.grades import countdown, grade

def test_grades():
    assert [grade(points) for points in (0, 49, 50)] == ["poor", "poor", "good"]

def test_countdown():
    assert countdown(3) == 0
"""
RUN = """
import sys
from pathlib import Path

import pytest  # once, for all runs
from dev.mutation.campaign import Results, run_campaign
from dev.mutation.mutants import Target, sample_mutants
import dev.mutation.campaign as campaign

root, scratch, results, limit = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
campaign.TIMEOUT_SLACK = 3
target = Target("tiny", ("tiny",), ("tests",))
run_campaign(root, sample_mutants(root, [target], limit, seed=3), Results(results), scratch, 2, 300, print)
"""


@pytest.fixture
def project(tmp_path) -> Path:
    root = tmp_path / "project"
    for name, text in {"tiny/grades.py": CODE, "tests/test_grades.py": TESTS, "pyproject.toml": ""}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def run(project: Path, name: str, limit: int) -> tuple[list[str], dict[str, str]]:
    """A campaign of at most `limit` mutants: the lines that it reports, and the outcome of each change."""
    results = project.parent / "results.jsonl"
    scratch = project.parent / name
    scratch.mkdir()
    command = [sys.executable, "-c", RUN, str(project), str(scratch), str(results), str(limit)]
    settings = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # they cost more than these tests
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    return done.stdout.splitlines(), {one["change"]: one["outcome"] for one in outcomes}


def test_blind_spots_survive_the_rest_is_killed_and_a_second_run_goes_on(project):
    _, some = run(project, "first", limit=4)
    assert len(some) == 4
    lines, outcomes = run(project, "second", limit=100)
    assert ", 4 with a result already" in lines[0]
    assert outcomes["total >= 50 → total > 50"] == KILLED
    assert outcomes["50 → 51"] == KILLED
    assert outcomes["return start → return None"] == KILLED
    assert outcomes["start -= 1 → start += 1"] == TIMED_OUT
    assert outcomes["points + bonus → points - bonus"] == SURVIVED, "no test gives a bonus"
    assert outcomes["total < 0 → total <= 0"] == KILLED
    assert sum(line.startswith(KILLED) for line in lines) > len(outcomes) / 2
    assert (project / "tiny" / "grades.py").read_text() == CODE
    assert (project / "tests" / "test_grades.py").read_text() == TESTS
    assert {path.name for path in project.iterdir()} == {"tiny", "tests", "pyproject.toml"}

    count = len((project.parent / "results.jsonl").read_text(encoding="utf-8").splitlines())
    lines, _ = run(project, "third", limit=100)
    assert lines == [f"{count} mutants, {count} with a result already"]
    stronger = TESTS + "\ndef test_bonus():\n    assert grade(40, 10) == 'good'\n"
    (project / "tests" / "test_grades.py").write_text(stronger)
    _, again = run(project, "fourth", limit=100)
    assert again["points + bonus → points - bonus"] == KILLED, "survivors are tried again by other tests"


def test_files_that_kill_most_a_second_come_first():
    suite = _Suite({"slow": 9.0, "quick": 1.0, "middle": 3.0})
    assert suite.order == ["quick", "middle", "slow"]
    suite.kills["slow"] += 12
    assert suite.order == ["slow", "quick", "middle"]
    assert suite.limit > 3 * 13


def test_every_mutant_differs_from_its_module_and_messages_and_annotations_never_change(project):
    path = project / "tiny" / "grades.py"
    mutants = mutants_of(project, path, Target("tiny", ("tiny",), ("tests",)))
    sources = [mutated_source(CODE, mutant.number) for mutant in mutants]
    assert len(set(sources)) == len(sources) > 15
    unchanged = ast.unparse(ast.parse(CODE))
    assert unchanged not in sources
    for source in sources:
        assert "def grade(points: int, bonus: int=" in source
        assert "points')" in source or "raise" not in source
    assert all(CODE.splitlines()[mutant.line - 1].strip() for mutant in mutants)


def test_the_engines_mutants_are_the_same_for_a_seed_and_a_larger_sample_begins_with_the_smaller():
    few, many = (sample_mutants(ROOT, TARGETS, count, seed=1) for count in (50, 300))
    assert many[:50] == few
    assert len(set(many)) == 300
    assert {mutant.target for mutant in few} == set(TARGETS)
    assert sample_mutants(ROOT, TARGETS, 50, seed=2) != few
    assert sample_mutants(ROOT, TARGETS[:1], 10, seed=1) == [one for one in few if one.target is TARGETS[0]]
    for target in TARGETS:
        assert find_test_files(ROOT, target)
    for mutant in few:
        ast.parse(mutated_source((ROOT / mutant.path).read_text(encoding="utf-8"), mutant.number))
