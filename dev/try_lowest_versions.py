"""Runs the engine's quick tests with every package at the lowest version that the project file allows.

    python -m dev.try_lowest_versions [PYTEST ARGUMENT ...]

Without arguments: the tests of the folders that call those packages most. Needs pip's package index; torch and pytest
are hard-linked from the environment that this runs in, so torch keeps its version. A bound that fails here has to rise
in latentsync_core/required_packages.py and pyproject.toml.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.installations import MIN_VERSIONS, PACK, Environment

TESTS = ("tests/sampling", "tests/imaging", "tests/audio", "tests/models")
FROM_HERE = ("torch", "pytest", "hypothesis", "psutil")


def main(arguments: list[str]) -> int:
    """Makes the environment, runs pytest in it with `arguments`; returns pytest's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        made = Environment.create(Path(folder, "venv"), MIN_VERSIONS, FROM_HERE)
        print(", ".join(f"{name} {version}" for name, version in sorted(made.versions().items())), flush=True)
        settings = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        command = [made.python, "-m", "pytest", "-p", "no:cacheprovider", *(arguments or TESTS)]
        return subprocess.run(command, cwd=PACK, env=settings, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
