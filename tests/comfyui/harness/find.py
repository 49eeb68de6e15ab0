"""Finds a ComfyUI on this machine, by the same conventions a user's tools follow, and says why not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PACK = Path(__file__).resolve().parents[3]


class ComfyMissing(Exception):
    """No ComfyUI that could run here; the message is the reason to skip with."""


@dataclass(frozen=True)
class ComfyInstall:
    """A ComfyUI's folder, the Python that runs it, and its version."""

    root: Path
    python: Path
    version: str


def find_comfy() -> ComfyInstall:
    """The ComfyUI at `COMFYUI_PATH`, around this pack, at ~/comfy/ComfyUI or at ~/ComfyUI.

    Its Python is `COMFYUI_PYTHON`, else the one in its .venv or venv, else the running one. Raises ComfyMissing where
    there is none or its packages or ours aren't installed there; ValueError where a variable points nowhere.
    """
    root = _root()
    python = _python(root)
    missing = _missing_packages(python, [*_required(root), *_required(PACK)])
    if missing:
        raise ComfyMissing(f"{python}, which runs the ComfyUI at {root}, lacks {', '.join(missing)}")
    return ComfyInstall(root, python, _version(root))


def _root() -> Path:
    named = os.environ.get("COMFYUI_PATH")
    if named:
        if not Path(named, "main.py").is_file():
            raise ValueError(f"COMFYUI_PATH is {named}, where there is no main.py; set it to a ComfyUI's folder")
        return Path(named).resolve()
    places = [PACK.parents[1], Path.home() / "comfy" / "ComfyUI", Path.home() / "ComfyUI"]
    for place in places:
        if (place / "main.py").is_file() and (place / "comfy").is_dir():
            return place
    raise ComfyMissing(f"no ComfyUI in {', '.join(map(str, places))}; set COMFYUI_PATH to its folder")


def _python(root: Path) -> Path:
    named = os.environ.get("COMFYUI_PYTHON")
    if named:
        if not Path(named).is_file():
            raise ValueError(f"COMFYUI_PYTHON is {named}, which isn't a file; set it to the Python that runs ComfyUI")
        return Path(named)
    inside = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
    for environment in (".venv", "venv"):
        if (root / environment / inside).is_file():
            return root / environment / inside
    return Path(sys.executable)


def _version(root: Path) -> str:
    text = (root / "comfyui_version.py").read_text(encoding="utf-8")
    return re.search(r'__version__ = "(.+?)"', text).group(1)


def _required(folder: Path) -> list[str]:
    """The package names of a requirements.txt, without those that ComfyUI calls non essential."""
    text = (folder / "requirements.txt").read_text(encoding="utf-8").partition("#non essential")[0]
    return re.findall(r"^[A-Za-z0-9._-]+", text, re.MULTILINE)


def _missing_packages(python: Path, packages: list[str]) -> list[str]:
    """Those packages that an interpreter hasn't installed; about 0.2 s, since nothing is imported."""
    script = """
import importlib.metadata as metadata, json, sys
def lacks(name):
    try: metadata.distribution(name)
    except metadata.PackageNotFoundError: return True
print(json.dumps([name for name in sys.argv[1:] if lacks(name)]))
"""
    done = subprocess.run([str(python), "-c", script, *packages], capture_output=True, text=True)
    if done.returncode:
        raise ComfyMissing(f"{python} doesn't start: {done.stderr.strip().splitlines()[-1:]}")
    return list(dict.fromkeys(json.loads(done.stdout)))
