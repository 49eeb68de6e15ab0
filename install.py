"""Adds the packages that LatentSync Dub lacks, and moves none that is installed.

    python install.py             # what ComfyUI's manager and comfy-cli run, after requirements.txt
    python install.py diffusers   # may also exchange the packages named, for releases that fit all the others

Everything installed, at the version it has, constrains what pip or uv may choose. A dry run comes first; where nothing
fits, nothing is changed, and what is in the way is printed with the command that would install it nonetheless.

torch and torchaudio are never installed from here: which builds suit the machine, and each other, is ComfyUI's choice,
and beside a torchaudio of another build transformers can't be imported.

Exit code 0: the pack can run. 1: something that it needs is missing or doesn't fit.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PACK = Path(__file__).resolve().parent
sys.path.insert(0, str(PACK))  # Windows' portable Python looks for modules in its own folders only

from latentsync_core.required_packages import BY_NAME, PACKAGES, Package, command, quoted  # noqa: E402

NEVER_INSTALLED = ("torch", "torchaudio")
MIN_PIP_FOR_DRY_RUN = (22, 2)
CONFLICT_LINE = re.compile(
    r"^ERROR: |^error: | depends on | requested \(constraint\) |Because |we can conclude", re.IGNORECASE
)
MAX_CONFLICT_LINES = 8  # shown at most; a resolver that has gone through all releases of a package names each of them
# PEP 440; a version of any other form can't be written into a constraint.
VERSION = re.compile(
    r"v?(\d+!)?\d+(\.\d+)*([-_.]?(a|b|c|rc|alpha|beta|pre|preview)[-_.]?\d*)?(-\d+|[-_.]?(post|rev|r)[-_.]?\d*)?"
    r"([-_.]?dev[-_.]?\d*)?(\+[a-z0-9]+([-_.][a-z0-9]+)*)?",
    re.IGNORECASE,
)
# Builds what the engine takes from diffusers and transformers; in a process of its own, which sees what was just added.
ENGINE_CHECK = f"""
import sys
sys.path.insert(0, {str(PACK)!r})
from latentsync_core.errors import LatentSyncError
from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.sampling.denoising.solvers import make_scheduler
from latentsync_core.sampling.sampler_options import Scheduler
try:
    untrained_model(device="cpu")
    for scheduler in Scheduler:
        make_scheduler(scheduler)
except LatentSyncError as problem:
    sys.exit(str(problem))
"""


class NoCompatibleRelease(Exception):
    """pip or uv found no releases that fit; its own words."""


def main(names: Collection[str] = ()) -> int:
    """Installs what is missing, and exchanges the packages `names` where they don't fit; returns the exit code."""
    installed = installed_versions()
    for name in names:
        if name not in BY_NAME or name in NEVER_INSTALLED:
            log(f"{name!r} can't be named here; these can: {', '.join(sorted(BY_NAME.keys() - set(NEVER_INSTALLED)))}.")
            return 1
    if "torch" not in installed:
        log(f"{sys.executable} has no torch; run this with ComfyUI's own Python, or install torch first.")
        return 1
    installer = find_installer()
    absent = [package for package in PACKAGES if package.name not in installed or package.name in names]
    to_install = [package for package in absent if package.name not in NEVER_INSTALLED]
    required = [package for package in to_install if not package.optional]
    if required and installer is None:
        missing = ", ".join(package.name for package in required)
        log(f"{missing}: neither pip nor uv was found to install it; install one of them, then run: {command(*names)}")
        return 1
    complete = not required or _install_required(required, installed, names, installer)
    for package in to_install:
        if package.optional and installer:
            _install_optional(package, installed_versions(), names, installer)
    return 0 if complete and _meets_min_versions(installed_versions()) and _engine_works(installer) else 1


def installed_versions() -> dict[str, str]:
    """Every installed package's normalised name and its version, as Python itself finds it first."""
    versions: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name, version = distribution.metadata["Name"], distribution.metadata["Version"]
        if name and version:  # remains of a broken installation have neither
            versions.setdefault(normalised(name), version)
    return versions


def constraints(installed: Mapping[str, str], upgradable: Collection[str] = ()) -> list[str]:
    """Lines that keep every installed package but `upgradable` at its version, and hold what comes new within the
    ranges that the installed packages ask of it."""
    pinned = {
        name: version for name, version in installed.items() if name not in upgradable and VERSION.fullmatch(version)
    }
    version_ranges = set()
    for distribution in importlib.metadata.distributions():
        if normalised(distribution.metadata["Name"] or "") in pinned:
            for requirement in distribution.requires or ():
                # A constraint can have neither extras nor an address; what only an extra asks for doesn't count.
                line = re.sub(r"\[[^\]]*\]", "", requirement, count=1)
                name = normalised(re.match(r"[\w.-]*", line)[0])
                if name not in pinned and not re.search(r" @ |\bextra\b", line) and re.search(r"[<>=~!]", line):
                    version_ranges.add(line)
    return [*(f"{name}=={version}" for name, version in sorted(pinned.items())), *sorted(version_ranges)]


@dataclass(frozen=True)
class Pip:
    """pip as a module of this Python."""

    version: tuple[int, ...]
    command_prefix: tuple[str, ...] = (sys.executable, "-m", "pip")

    def install(self, arguments: Iterable[str]) -> list[str]:
        """The command that installs."""
        return [*self.command_prefix, "install", "--only-binary", ":all:", *arguments]

    def plan(self, requirements: Sequence[str], limits: Sequence[str]) -> dict[str, str] | None:
        """What would be installed for `requirements` under the constraints `limits`, as names and versions; None where
        this pip has no dry run. Raises NoCompatibleRelease."""
        if self.version < MIN_PIP_FOR_DRY_RUN:
            return None
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder, "report.json")
            dry = ["--dry-run", "--report", str(report), "--disable-pip-version-check", "--no-input"]
            done = run(self.install([*dry, "-c", _write_constraints(limits, folder), *requirements]))
            if done.returncode:
                raise NoCompatibleRelease(done.stdout + done.stderr)
            found = json.loads(report.read_text("utf-8"))["install"]
        return {normalised(one["metadata"]["name"]): one["metadata"]["version"] for one in found}

    def check(self) -> list[str]:
        """Whose requirements aren't met, a line each that begins with the package."""
        return run([*self.command_prefix, "check", "--disable-pip-version-check"]).stdout.splitlines()


@dataclass(frozen=True)
class Uv:
    """uv, which also serves environments without pip."""

    command_prefix: tuple[str, ...]

    def install(self, arguments: Iterable[str]) -> list[str]:
        """The command that installs."""
        return [
            *self.command_prefix,
            "pip",
            "install",
            "--python",
            sys.executable,
            "--only-binary",
            ":all:",
            *arguments,
        ]

    def plan(self, requirements: Sequence[str], limits: Sequence[str]) -> dict[str, str] | None:
        """See Pip.plan."""
        with tempfile.TemporaryDirectory() as folder:
            done = run(
                self.install(["--dry-run", "--color", "never", "-c", _write_constraints(limits, folder), *requirements])
            )
        if done.returncode:
            raise NoCompatibleRelease(done.stdout + done.stderr)
        found = re.findall(r"^ [+~] ([\w.-]+)==(\S+)", done.stdout + done.stderr, re.MULTILINE)
        return {normalised(name): version for name, version in found}

    def check(self) -> list[str]:
        """See Pip.check."""
        done = run([*self.command_prefix, "pip", "check", "--python", sys.executable, "--color", "never"])
        found = re.findall(r"^The package `(.+?)` (.*)$", done.stdout + done.stderr, re.MULTILINE)
        return [f"{name} {rest}" for name, rest in found]


def find_installer() -> Pip | Uv | None:
    """pip where this Python has it, else uv; None where there is neither."""
    if importlib.util.find_spec("pip"):
        return Pip(tuple(int(number) for number in re.findall(r"\d+", importlib.metadata.version("pip"))[:2]))
    if importlib.util.find_spec("uv"):
        return Uv((sys.executable, "-m", "uv"))
    program = shutil.which("uv")
    return Uv((program,)) if program else None


def _install_required(
    packages: Sequence[Package], installed: Mapping[str, str], upgradable: Collection[str], installer: Pip | Uv
) -> bool:
    """Installs `packages`, or says why not; returns whether they are there."""
    requirements = [package.requirement for package in packages]
    try:
        _install(requirements, installed, upgradable, installer)
    except NoCompatibleRelease as problem:
        log(f"{', '.join(requirements)}: nothing fits the packages that are installed, so nothing was changed.")
        for line in _conflict_lines(str(problem)):
            print("   ", line)
        log(f"this installs it nonetheless{_version_changes(requirements, installed, installer)}:")
        print("   ", quoted(installer.install(requirements)))
        return False
    return True


def _install_optional(
    package: Package, installed: Mapping[str, str], upgradable: Collection[str], installer: Pip | Uv
) -> None:
    """Installs a package that the pack can do without, if one fits."""
    try:
        _install([package.requirement], installed, upgradable, installer)
    except NoCompatibleRelease:
        log(f"no {package.requirement} fits the packages that are installed; only this needs it: {package.purpose}.")


def _install(
    requirements: list[str], installed: Mapping[str, str], upgradable: Collection[str], installer: Pip | Uv
) -> None:
    """Installs `requirements` and their dependencies, changing nothing but `upgradable`. Raises NoCompatibleRelease."""
    limits = constraints(installed, upgradable)
    plan = installer.plan(requirements, limits)
    if plan is None:
        log(f"installing {', '.join(requirements)} and what they need; installed packages are not changed.")
        with tempfile.TemporaryDirectory() as folder:
            done = run(installer.install(["-c", _write_constraints(limits, folder), *requirements]))
    elif plan:
        changed = [name for name in plan if name in installed and name not in upgradable]
        if changed:  # for instance a version that no constraint can name
            raise NoCompatibleRelease(
                f"ERROR: it would exchange {', '.join(f'{name} {installed[name]}' for name in changed)}"
            )
        chosen = [f"{name}=={version}" for name, version in plan.items()]
        log(f"installing {', '.join(chosen)}; installed packages are not changed.")
        done = run(installer.install(["--no-deps", *chosen]))  # exactly what the dry run found
    else:
        return
    if done.returncode:
        raise NoCompatibleRelease(done.stdout + done.stderr)


def _version_changes(requirements: Sequence[str], installed: Mapping[str, str], installer: Pip | Uv) -> str:
    """Which installed packages would move without constraints, in brackets; empty where that can't be found out."""
    try:
        plan = installer.plan(requirements, []) or {}
    except NoCompatibleRelease:
        return ""
    moved = [f"{name} {installed[name]} to {version}" for name, version in plan.items() if name in installed]
    return f" (and moves {', '.join(moved)}, which other packs may not bear)" if moved else ""


def _meets_min_versions(installed: Mapping[str, str]) -> bool:
    """Whether every needed package that is installed is recent enough; names each that isn't."""
    old = [
        package
        for package in PACKAGES
        if not package.optional and package.name in installed and not package.allows(installed[package.name])
    ]
    for package in old:
        log(
            f"{package.name} {installed[package.name]} is too old, {package.min_version} or newer is needed; to "
            f"exchange it for one that fits the other packages, run: {command(package.name)}"
        )
    return not old


def _engine_works(installer: Pip | Uv | None) -> bool:
    """Whether the networks can be built; says which package needs what where they can't."""
    completed = run([sys.executable, "-c", ENGINE_CHECK])
    if not completed.returncode:
        return True
    log((completed.stderr.strip().splitlines() or ["the engine can't be imported"])[-1])
    unmet = {line: normalised(line.split()[0]) for line in (installer.check() if installer else ()) if line.strip()}
    unmet_required = {line: name for line, name in unmet.items() if name in BY_NAME and not BY_NAME[name].optional}
    for line in unmet_required:
        print("   ", line)
    names = sorted(set(unmet_required.values()) - set(NEVER_INSTALLED))
    if names:
        log(f"to exchange {', '.join(names)} for releases that fit the others, run: {command(*names)}")
    return False


def _conflict_lines(output: str) -> list[str]:
    """The lines of pip's or uv's output that name what is in the way."""
    lines = list(dict.fromkeys(line.strip() for line in output.splitlines() if CONFLICT_LINE.search(line)))
    lines.sort(key=lambda line: "(constraint)" not in line)  # pip names what is installed last
    return lines[:MAX_CONFLICT_LINES] or output.strip().splitlines()[-MAX_CONFLICT_LINES:]


def _write_constraints(lines: Iterable[str], folder: str) -> str:
    """The path of a new constraints file."""
    path = Path(folder, "constraints.txt")
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return str(path)


def run(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end without a shell; its output as text."""
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        list(arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        check=False,
    )


def log(sentence: str) -> None:
    """Prints a line that tells whose it is among the others of ComfyUI's log."""
    print("LatentSync Dub:", sentence, flush=True)


def normalised(name: str) -> str:
    """A package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    if sys.stdout is not None:
        sys.stdout.reconfigure(errors="replace")  # a console's own encoding may lack letters of a folder's name
    sys.exit(main(sys.argv[1:]))
