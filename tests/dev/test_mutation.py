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
from dev.mutation.mutants import Mutant, Target, find_test_files, mutants_of, mutated_source, sample_mutants
from dev.mutation.reach import Reach

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


REACH = """
import sys
from pathlib import Path

from dev.mutation.campaign import _ended, _run_recorded, _start

root = Path(sys.argv[1])
process, answer = _start(_run_recorded, root, "tests/test_reach.py", [root / "tiny" / "grades.py"])
process.join()
assert _ended(process, answer)[0] == 0, (root / "mutation.log").read_text()
"""
REACH_TESTS = """import subprocess
import sys

import pytest
from tiny.grades import countdown, grade

TABLE = [grade(points) for points in (0, 50)]


@pytest.fixture(scope="module")
def ended():
    return countdown(3)

@pytest.mark.parametrize("points", [0, 50])
def test_grade(points):
    grade(points)

def test_failing_grade():
    with pytest.raises(ValueError):
        grade(-1)

def test_end(ended):
    assert ended == 0

def test_end_again(ended):
    assert ended == 0

def test_child():
    subprocess.run([sys.executable, "-c", "import tiny.grades; tiny.grades.grade(-1)"])
"""


def test_it_is_recorded_which_tests_run_a_line(project):
    (project / "tests" / "test_reach.py").write_text(REACH_TESTS)
    settings = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-c", REACH, str(project)]
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    reach = Reach.load(project / "mutation-reach.json")
    names = ("test_grade[0]", "test_grade[50]", "test_failing_grade", "test_end", "test_end_again", "test_child")
    every = [f"tests/test_reach.py::{name}" for name in names]
    assert list(reach.seconds) == every
    assert reach.everywhere == every[-1:], "its child's lines aren't seen"

    path, target = project / "tiny" / "grades.py", Target("tiny", ("tiny",), ("tests",))
    tests = {(one.line, one.change): reach.tests(one) for one in mutants_of(project, path, target)}
    (error,) = (found for (line, _), found in tests.items() if line == 10)
    assert error == [every[2], every[5]]
    assert tests[11, "total >= 50 → total > 50"] == every, "it runs while tests are collected"
    assert tests[16, "start -= 1 → start += 1"] == every, "it runs in a fixture that tests share"
    assert tests[6, "0 → 1"] == every, "a default runs on import"


def test_a_mutant_runs_against_the_tests_of_its_line_those_that_kill_most_a_second_first():
    target = Target("tiny", ("tiny",), ("tests",))
    lines = range(3, 5), range(9, 10), None
    first, unreached, on_import = (Mutant(target, "tiny/a.py", 0, 3, "", of) for of in lines)
    slow, quick = "tests/test_b.py::slow", "tests/test_b.py::quick"
    other = "tests/test_a.py::other"
    suite = _Suite({
        "tests/test_a.py": Reach({other: 2.0}, 1.0, {"tiny/a.py": {4: [other]}}, []),
        "tests/test_b.py": Reach({slow: 5.0, quick: 0.1}, 1.0, {"tiny/a.py": {3: [quick], 4: [slow]}}, []),
    })  # fmt: skip
    tests, limit = suite.plan(first)
    assert tests == [other, quick, slow]
    assert limit > 3 * 9.1
    suite.kills[slow] += 99
    assert suite.plan(first)[0] == [slow, quick, other]
    for mutant in (unreached, on_import):
        assert suite.plan(mutant)[0] == [slow, quick, other], "all of them"


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
