"""Installs the pack into environments of several ages, and shows that nothing moves and that the engine then runs.

    python -m benchmarks.installations [--only TEXT ...] [--pack FOLDER] [--work FOLDER]

Each row is a real environment with real packages from the index that pip is set up for. torch, the only large one, is
hard-linked from the environment that this runs in, with its metadata, so that pip and uv see it as installed. Ways of
installing:

    lines    pip install LINE for every line of requirements.txt, as ComfyUI's manager does; then install.py
    whole    pip install -r requirements.txt; then install.py
    uv       uv pip install -r requirements.txt; then install.py, in an environment without pip
    script   install.py by itself

"moved" are installed packages whose version changed, "unmet" what pip check finds new, "between" whether transformers
could be imported after every step, "run" a lip-sync of five frames of the carried sample. `--pack` takes another
checkout of the pack, for instance an older one without install.py.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from latentsync_core.required_packages import PACKAGES

PACK = Path(__file__).resolve().parents[1]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
# What ComfyUI's requirements bring of the packages that the engine imports, beside transformers and the hub's library.
COMFYUI = ("numpy", "pillow", "einops", "av", "tqdm", "psutil", "pyyaml", "scipy")
OLD_COMFYUI = ("numpy==1.26.4", "pillow==10.4.0", "einops==0.7.0", "av==16.0.1", "tqdm==4.66.5", "psutil", "pyyaml")
PACKAGE_SETS: Mapping[str, tuple[str, ...]] = {
    "transformers 4.37": (*OLD_COMFYUI, "transformers==4.37.2", "huggingface-hub==0.25.2", "safetensors==0.4.2"),
    "transformers 4.50": (*OLD_COMFYUI, "transformers==4.50.3", "huggingface-hub==0.30.2", "safetensors==0.5.3"),
    "transformers 4.57": (*COMFYUI, "transformers==4.57.3", "huggingface-hub==0.36.2", "safetensors==0.6.2"),
    "transformers 5.0": (*COMFYUI, "transformers==5.0.0", "huggingface-hub==1.3.4", "safetensors==0.7.0"),
    "newest": (*COMFYUI, "transformers", "huggingface-hub", "safetensors"),
}
MIN_VERSIONS = tuple(f"{package.name}=={package.min_version}" for package in PACKAGES if package.min_version)
METHODS = ("lines", "whole", "uv", "script")


@dataclass(frozen=True)
class Environment:
    """A virtual environment under test."""

    folder: Path

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python"))

    @property
    def site_packages(self) -> Path:
        """Where its packages lie."""
        if sys.platform == "win32":
            return self.folder / "Lib" / "site-packages"
        return self.folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"

    @classmethod
    def create(cls, folder: Path, requirements: Iterable[str] = (), shared: Iterable[str] = ("torch",)) -> Environment:
        """Makes one with the packages `shared` of this interpreter's own environment, each with what it needs, and
        `requirements` from the index."""
        venv.create(folder, with_pip=False)
        made = cls(folder)
        for name in _with_dependencies(shared):
            made.link_package(name)
        listed = list(requirements)
        if listed:
            run([*PIP, "--python", made.python, "install", "--quiet", *listed])
        return made

    def link_package(self, name: str) -> None:
        """Hard-links an installed package of this interpreter's own environment into this one, metadata and all."""
        distribution = importlib.metadata.distribution(name)
        for file in distribution.files or ():
            source, target = Path(distribution.locate_file(file)), self.site_packages / file
            if ".." not in file.parts and source.exists() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(source, target)

    def copy(self, folder: Path) -> Environment:
        """The same environment once more; its scripts don't move along, its interpreter does."""
        shutil.copytree(self.folder, folder, symlinks=True, copy_function=link_or_copy)
        return Environment(folder)

    def versions(self) -> dict[str, str]:
        """Name and version of everything that is installed in it."""
        found = importlib.metadata.distributions(path=[str(self.site_packages)])
        return {re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(): one.version for one in found}

    def unmet(self) -> set[str]:
        """What pip check says."""
        done = run([*PIP, "--python", self.python, "check"], check=False)
        return set(done.stdout.splitlines()) - {"No broken requirements found."}

    def imports(self, module: str) -> bool:
        """Whether a module can be imported there."""
        return run([self.python, "-W", "ignore", "-c", f"import {module}"], check=False).returncode == 0

    def lip_sync(self, out: Path, pack: Path = PACK) -> subprocess.CompletedProcess[str]:
        """Runs the pack's engine on five frames of its sample; the result of the command line."""
        sample = pack / "latentsync_core" / "assets" / "sample"
        command = ["-W", "ignore", "-m", "latentsync_core", "sync", "--video", str(sample / "scene.mp4"), "--json"]
        command += ["--audio", str(sample / "voice_en.flac"), "--out", str(out), "--model", "nano"]
        return run([self.python, *command, "--steps", "1", "--end", "0.2"], check=False, cwd=pack)


def requirement_lines(pack: Path = PACK) -> list[str]:
    """The lines of requirements.txt that ComfyUI's manager hands to pip, one after the other."""
    lines = (line.split("#")[0].strip() for line in (pack / "requirements.txt").read_text("utf-8").splitlines())
    return [line for line in lines if line]


def steps(method: str, python: str, uv: str = "uv", pack: Path = PACK) -> list[list[str]]:
    """The commands of one way of installing."""
    pip, requirements = [python, "-m", "pip", "install"], ["-r", str(pack / "requirements.txt")]
    commands = {
        "lines": [[*pip, line] for line in requirement_lines(pack)],
        "whole": [[*pip, *requirements]],
        "uv": [[uv, "pip", "install", "--python", python, *requirements]],
        "script": [],
    }[method]
    script = pack / "install.py"
    return [*commands, [python, str(script)]] if script.exists() else commands


def run(
    command: Iterable[str | Path], *, check: bool = True, cwd: Path | None = None, path: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; its output as text. With `check`, stops with that output where it fails.

    Args:
        path: a folder to look for programs in first.
    """
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment["PIP_NO_COMPILE"] = "1"  # for speed alone: what isn't imported needn't be compiled
    if path:
        environment["PATH"] = path + os.pathsep + environment.get("PATH", "")
    words = [str(word) for word in command]
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=cwd, env=environment, check=False
    )
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """A second name for a file where the file system allows it, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _with_dependencies(names: Iterable[str]) -> list[str]:
    """The names and, again and again, the installed packages that they need."""
    found: list[str] = []
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        try:
            dependencies = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # needed on another system only
        if name not in found:
            found.append(name)
            waiting += [re.match(r"[\w.-]+", need)[0] for need in dependencies if "extra ==" not in need]
    return found


@dataclass(frozen=True)
class Row:
    """What one way of installing did to one environment."""

    set_name: str
    preinstalled: str
    method: str
    changed_versions: list[str]
    unmet: list[str]
    importable_throughout: bool
    diffusers: str
    succeeded: bool
    words: str

    def __str__(self) -> str:
        shown = [
            self.set_name,
            self.preinstalled,
            self.method,
            ", ".join(self.changed_versions) or "none",
            "; ".join(self.unmet) or "none",
        ]
        outcome = [_yes(self.importable_throughout), self.diffusers, _yes(self.succeeded) + self.words]
        return f"| {' | '.join([*shown, *outcome])} |"


HEAD = """| environment | there beforehand | way | moved | unmet | between | diffusers | run |
| --- | --- | --- | --- | --- | --- | --- | --- |"""


def measure(set_name: str, preinstalled: str, base: Environment, method: str, work: Path, uv: str, pack: Path) -> Row:
    """Installs the pack into a copy of `base` and looks at what became of it."""
    folder = work / "tried"
    shutil.rmtree(folder, ignore_errors=True)
    environment = base.copy(folder)
    if method != "uv":
        environment.link_package("pip")
    versions, unmet = environment.versions(), environment.unmet()
    importable_throughout = environment.imports("transformers")
    for command in steps(method, environment.python, uv, pack):
        run(command, check=False, cwd=pack, path=str(Path(uv).parent))
        importable_throughout = environment.imports("transformers") and importable_throughout
    after = environment.versions()
    done = environment.lip_sync(work / "out.mp4", pack)
    return Row(
        set_name,
        preinstalled,
        method,
        [f"{name} {old} → {after.get(name, 'gone')}" for name, old in versions.items() if after.get(name) != old],
        sorted(environment.unmet() - unmet),
        importable_throughout,
        after.get("diffusers", "none"),
        done.returncode == 0,
        "" if done.returncode == 0 else f": {(done.stderr.strip().splitlines() or [''])[-1]}",
    )


def main() -> None:
    """Prints the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[""], help="rows whose environment has such a text in its name")
    parser.add_argument("--pack", type=Path, default=PACK, help="another checkout of the pack")
    parser.add_argument("--work", type=Path, help="folder for the environments; a temporary one by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        tools = Environment.create(work / "tools", ["uv"], shared=())
        uv = str(Path(tools.python).with_name("uv"))
        print(HEAD, flush=True)
        rows = [
            (set_name, packages, with_both)
            for set_name, packages in PACKAGE_SETS.items()
            for with_both in (False, True)
        ]
        for number, (set_name, packages, with_both) in enumerate([*rows, ("lowest versions", MIN_VERSIONS, True)]):
            if not any(text in set_name for text in options.only):
                continue
            more, shared = (["diffusers"], ["torch", "torchaudio"]) if with_both else ([], ["torch"])
            base = Environment.create(work / f"base-{number}", [*packages, *more], shared)
            base.imports("transformers.models.whisper.modeling_whisper")  # compiled once for all copies
            for method in METHODS:
                preinstalled = "diffusers, torchaudio" if with_both else "neither"
                print(measure(set_name, preinstalled, base, method, work, uv, options.pack.resolve()), flush=True)
            shutil.rmtree(base.folder)


def _yes(right: bool) -> str:
    return "yes" if right else "NO"


if __name__ == "__main__":
    main()
