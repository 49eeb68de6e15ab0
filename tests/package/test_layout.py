"""The engine's folders import downwards only, in no circle, and stay small enough to be read at a glance."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter

import pytest

from tests.shared_reference import ROOT

ENGINE = ROOT / "latentsync_core"
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"
ORDER = "The engine's folders, from the command line down"
NO_CIRCLE = "No circle between the modules and folders of any folder"
MAX_FILES = 14  # a folder, its __init__.py and __main__.py not counted


def lint(folder) -> subprocess.CompletedProcess:
    """import-linter with the contracts of pyproject.toml, over the engine in `folder`."""
    command = [sys.executable, "-c", LINT, "--no-cache", "--config", str(ROOT / "pyproject.toml")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", errors="replace")


def test_the_engine_keeps_the_order_of_its_folders():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout
    assert "2 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("imaging/roi.py", "from ..faces.limits import Outcome", ORDER),
        ("audio/wav.py", "def late():\n    from ..pipeline import sync\n    return sync", ORDER),
        ("faces/limits.py", "from .face_tracks import FaceTracks", NO_CIRCLE),
    ],
    ids=["upwards", "upwards inside a function", "circle"],
)
def test_a_planted_violation_is_found(tmp_path, file, line, contract):
    for package in (ENGINE, ROOT / "training"):
        shutil.copytree(
            package, tmp_path / package.name, ignore=shutil.ignore_patterns("assets", "cache", "__pycache__")
        )
    with (tmp_path / ENGINE.name / file).open("a", encoding="utf-8") as source:
        source.write(f"\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout
    assert f"{contract} BROKEN" in done.stdout


def test_no_folder_holds_more_than_a_glance_takes():
    packages = (ENGINE, ROOT / "training")
    modules = [path for folder in packages for path in folder.rglob("*.py") if not path.name.startswith("__")]
    crowded = {folder: count for folder, count in Counter(path.parent for path in modules).items() if count > MAX_FILES}
    assert not crowded


def test_no_two_modules_of_the_engine_bear_one_name():
    names = Counter(path.stem for path in ENGINE.rglob("*.py") if not path.name.startswith("__"))
    assert [name for name, count in names.items() if count > 1] == []
