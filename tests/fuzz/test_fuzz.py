"""Damaged and lying inputs of every kind: each works or is refused with a sentence, in bounded time and memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.fuzz.mutations import OF_FORMAT, mutated

ROOT = Path(__file__).parents[2]
KINDS = {
    "mp4", "mov", "mkv", "ts", "wav", "mp3", "flac", "png", "jpg", "webp", "tif", "safetensors", "pt", "json",
    "whisper", "hugging_face", "bundle", "faces", "patches", "others",
}  # fmt: skip


FEW, MANY = 20, 150  # mutations, the kinds taking turns


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where a short campaign left its report and its seed files."""
    return run_campaign(tmp_path_factory.mktemp("fuzz"), FEW, seed=13)


def run_campaign(folder: Path, count: int, seed: int) -> Path:
    """Runs a campaign in a process of its own, without threads; returns the folder with its report and seed files."""
    if sys.platform == "win32":
        pytest.skip("Windows can't fork")
    places = ["--seeds", str(folder / "seeds"), "--kept", str(folder / "kept"), "--report", str(folder / "report.json")]
    command = [sys.executable, "-m", "tests.fuzz", "--count", str(count), "--seed", str(seed), *places]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (folder / "report.json").is_file(), done.stderr
    return folder


def rows(folder: Path) -> list[dict]:
    """A campaign's inputs and their outcomes."""
    return json.loads((folder / "report.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def tried(folder) -> list[dict]:
    return rows(folder)


def assert_mutations_are_harmless(tried: list[dict], count: int) -> None:
    mutations = [row for row in tried if row["seed"] is not None]
    assert [row for row in mutations if row["outcome"] not in ("right", "refused")] == []
    by_kind = Counter(row["kind"] for row in mutations)
    assert by_kind.keys() == KINDS
    assert (sum(by_kind.values()), min(by_kind.values())) == (count, count // len(KINDS))
    outcomes = Counter(row["outcome"] for row in mutations)
    assert min(outcomes["right"], outcomes["refused"]) > count / 5, "both shallow and deep damage is tried"


def test_no_mutation_does_more_than_being_refused(tried):
    assert_mutations_are_harmless(tried, FEW)


@pytest.mark.slow
def test_none_of_many_mutations_does_more_than_being_refused(tmp_path):
    """Quick: test_no_mutation_does_more_than_being_refused."""
    assert_mutations_are_harmless(rows(run_campaign(tmp_path, MANY, seed=13)), MANY)


def test_the_files_that_mutations_start_from_are_right(folder, tried):
    whole = {row["name"]: row["outcome"] for row in tried if row["seed"] is None}
    names = {path.relative_to(folder / "seeds").as_posix() for path in seed_files(folder)}
    assert {name: whole[name] for name in names} == dict.fromkeys(names, "right")


def test_files_made_on_purpose_end_as_they_are_to(folder, tried):
    names = {path.relative_to(folder / "seeds").as_posix() for path in seed_files(folder)}
    made = [row for row in tried if row["seed"] is None and row["name"] not in names]
    assert len(made) > 50
    assert [row for row in made if row["outcome"] not in row["expected"]] == []


def test_a_mutation_is_the_same_each_time_and_a_change(folder):
    for path in seed_files(folder):
        data = path.read_bytes()
        made = [mutated(data, path.suffix, seed) for seed in range(8)]
        assert made == [mutated(data, path.suffix, seed) for seed in range(8)], path.name
        assert sum(other != data for other in made) >= 5, path.name
    assert {path.suffix for path in seed_files(folder)} >= OF_FORMAT.keys()


def seed_files(folder: Path) -> list[Path]:
    """The seed files of a campaign."""
    return sorted(path for path in (folder / "seeds").rglob("*") if path.is_file())
