"""What gets installed: the files under version control, copies of them elsewhere, and the project file's facts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.installations import link_or_copy
from tests.shared_reference import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def project_facts(file: Path = ROOT / "pyproject.toml") -> dict[str, Any]:
    """The tables of a project file."""
    return tomllib.loads(file.read_text("utf-8"))


def tracked_files() -> list[str]:
    """Paths from the root, with slashes, of the files under version control that are there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def copy_files(names: Iterable[str], folder: Path) -> Path:
    """Puts files of the repository into `folder` under the same paths; returns it."""
    for name in names:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(ROOT / name, target)
    return folder


def run_python(arguments: list[str], cwd: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Runs this Python in the folder `cwd`, with the modules in `site` before all others."""
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, encoding="utf-8")
