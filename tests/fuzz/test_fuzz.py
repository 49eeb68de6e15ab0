"""150 damaged and lying inputs of every kind: each works or is refused with a sentence, in bounded time and memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.mutations import mutated
from tests.fuzz.seeds import hostile_files, make_seeds

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tried(tmp_path_factory) -> list[dict]:
    """The campaign's rows. It runs in a process of its own, which holds no threads when it forks."""
    if sys.platform == "win32":
        pytest.skip("Windows can't fork")
    report = tmp_path_factory.mktemp("fuzz") / "report.json"
    command = [sys.executable, "-m", "tests.fuzz", "--count", "150", "--seed", "13", "--report", str(report)]
    done = subprocess.run([*command, "--kept", str(report.parent / "kept")], cwd=ROOT, capture_output=True, text=True)
    assert report.is_file(), done.stderr
    return json.loads(report.read_text("utf-8"))


def test_no_mutation_does_more_than_being_refused(tried):
    mutations = [row for row in tried if row["seed"] is not None]
    assert len(mutations) == 150
    assert [row for row in mutations if row["outcome"] not in ("right", "refused")] == []
    assert {row["outcome"] for row in mutations} == {"right", "refused"}


def test_the_files_that_mutations_start_from_are_right(tried, tmp_path):
    whole = {row["name"]: row["outcome"] for row in tried if row["seed"] is None}
    names = {path.relative_to(tmp_path).as_posix() for path in make_seeds(tmp_path)}
    assert {name: whole[name] for name in names} == dict.fromkeys(names, "right")


def test_files_made_on_purpose_are_refused_with_a_sentence(tried):
    whole = {row["name"]: row for row in tried if row["seed"] is None}
    for name in hostile_files():
        assert whole[name]["outcome"] == "refused", whole[name]
        assert "\n" not in whole[name]["words"]


def test_a_mutation_is_the_same_each_time_and_a_change(tmp_path):
    for path in make_seeds(tmp_path):
        data = path.read_bytes()
        made = [mutated(data, path.suffix, seed) for seed in range(8)]
        assert made == [mutated(data, path.suffix, seed) for seed in range(8)]
        assert sum(other != data for other in made) >= 5
