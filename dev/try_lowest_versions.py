"""Runs the engine's quick tests with every package at the lowest version that the project file allows.

    python -m dev.try_lowest_versions [PYTEST ARGUMENT ...]

Without arguments: the tests of the folders that call those packages most. Needs pip's package index; torch and pytest
are hard-linked from the environment that this runs in, so torch keeps its version. A bound that fails here has to rise
in latentsync_core/required_packages.py and pyproject.toml. The lowest numpy has no wheels for Python 3.12 and newer:
run this with 3.10 or 3.11.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.installations import MIN_VERSIONS, PACK, Environment

TESTS = ("tests/sampling", "tests/imaging", "tests/audio", "tests/models")
FROM_HERE = ("torch", "torchaudio", "pytest", "hypothesis", "psutil")
# Its reference is ffmpeg's own decoding, which in imageio-ffmpeg 0.6.0's ffmpeg 7.0 begins with the encoder's priming.
NOT_COMPARABLE = "not test_every_codec_and_layout_gives_what_ffmpeg_decodes"


def main(arguments: list[str]) -> int:
    """Makes the environment, runs pytest in it with `arguments`; returns pytest's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        made = Environment.create(Path(folder, "venv"), MIN_VERSIONS, FROM_HERE)
        print(", ".join(f"{name} {version}" for name, version in sorted(made.versions().items())), flush=True)
        settings = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        command = [
            made.python,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            *(arguments or (*TESTS, "-k", NOT_COMPARABLE)),
        ]
        return subprocess.run(command, cwd=PACK, env=settings, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
