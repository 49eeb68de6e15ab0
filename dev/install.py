"""Sets up development on a fresh machine: a virtual environment in .venv with everything that requirements.lock pins.

    python3 dev/install.py

Runs on Python 3.10 to 3.13 without any package; needs no compiler and no system ffmpeg.
"""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "dev" / "requirements.lock"
ENVIRONMENT = ROOT / ".venv"


def main() -> None:
    """Makes the environment, or brings the one that is there up to the lock."""
    if not (3, 10) <= sys.version_info[:2] <= (3, 13):
        sys.exit(f"Python {sys.version.split()[0]} found; 3.10 to 3.13 are supported: run this with one of them")
    python = ENVIRONMENT / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
    # torch first and by itself: it alone may bring packages for the GPU, which the lock leaves open.
    run(python, "-m", "pip", "install", "--quiet", pinned("torch"))
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(LOCK))
    make_torchaudio_importable(python)
    (ENVIRONMENT / "installed").touch()  # the Makefile's mark


def make_torchaudio_importable(python: Path) -> None:
    """Takes torchaudio's compiled extras away beside a CPU-only torch.

    They link against CUDA and keep the package from importing; what we use of it (resampling) is plain Python.
    """
    where = "import sysconfig, torch; print(torch.version.cuda or 'cpu'); print(sysconfig.get_paths()['platlib'])"
    build, packages = run(python, "-c", where).splitlines()
    if build == "cpu":
        for library in Path(packages, "torchaudio", "lib").glob("*.so"):
            library.unlink()


def pinned(package: str) -> str:
    """The lock's line for a package that has just one."""
    return re.search(rf"^{package}==\S+", LOCK.read_text(), re.MULTILINE).group()


def run(*command: str | Path) -> str:
    """Runs a command to its end; stops with its words if it fails."""
    print("+", *command, flush=True)
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"failed with exit code {done.returncode}:\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    main()
