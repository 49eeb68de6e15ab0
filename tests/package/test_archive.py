"""What ComfyUI's registry hands out: small, complete for nodes and engine, and without what only developers need."""

from __future__ import annotations

import ast
import hashlib
from collections import defaultdict
from pathlib import PurePosixPath

import pytest

from tests.installed_tree import tracked_files
from tests.shared_reference import ROOT

MAX_BYTES = 64_000_000  # of the unpacked archive
FOR_DEVELOPERS = ("tests", "training", "benchmarks", "dev", ".ci", ".github", "media")
FOR_USERS = ("__init__.py", "install.py", "requirements.txt", "pyproject.toml", "README.md", "LICENSE",
             "THIRD_PARTY_NOTICES", "CHANGELOG.md")  # fmt: skip
# ComfyUI imports __init__.py, serves web/ (help pages, too), lists workflows/ and subgraphs/ and reads locales/; all
# else is imported from there.
READ_AT_RUN_TIME = ("latentsync_core/", "nodes/", "web/", "workflows/", "subgraphs/", "locales/")
MIN_BYTES_COMPARED = 50_000


def ignored_paths() -> list[str]:
    """The lines of .comfyignore without the comments."""
    lines = (line.strip() for line in (ROOT / ".comfyignore").read_text("utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def archive() -> set[str]:
    """The paths in the archive: what is under version control, less .comfyignore."""
    ignored = ignored_paths()
    return {name for name in tracked_files() if not any(_matches(name, line) for line in ignored)}


def _matches(name: str, line: str) -> bool:
    """Whether a line of .comfyignore, of the one form that this repository uses, stands for a file."""
    path = line.removeprefix("/")
    return name.startswith(path) if path.endswith("/") else name == path


def test_every_line_is_a_path_from_the_root():
    for line in ignored_paths():
        assert line.startswith("/"), line
        assert not set(line) & set("*?[]!\\"), line


def test_the_archive_stays_small(archive):
    assert sum((ROOT / name).stat().st_size for name in archive) < MAX_BYTES


def test_only_developers_miss_what_is_left_out(archive):
    assert not {PurePosixPath(name).parts[0] for name in archive} & set(FOR_DEVELOPERS)
    assert archive.issuperset(FOR_USERS)


def test_everything_that_is_read_at_run_time_is_in_it(archive):
    for folder in READ_AT_RUN_TIME:
        needed = {name for name in tracked_files() if name.startswith(folder)}
        assert needed
        assert needed <= archive


def test_no_module_of_it_imports_what_is_left_out(archive):
    modules = [name for name in archive if name.endswith(".py")]
    assert len(modules) > 100
    missing = defaultdict(list)
    for name in modules:
        for imported in _local_imports(name):
            if not {f"{imported}.py", f"{imported}/__init__.py"} & archive:
                missing[name].append(imported)
    assert not missing


def _local_imports(name: str) -> list[str]:
    """Paths, without suffix, of the repository's modules that a module imports, wherever in it."""
    folder = PurePosixPath(name).parent
    found = []
    for node in ast.walk(ast.parse((ROOT / name).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name.replace(".", "/") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = PurePosixPath()
            if node.level:
                base = folder if node.level == 1 else folder.parents[node.level - 2]
            module = base.joinpath(*(node.module or "").split("."))
            # `from package import name`: the name is a module, or something that the package holds.
            found += [str(module / alias.name) if _is_module(module / alias.name) else str(module)
                      for alias in node.names]  # fmt: skip
    return [path for path in found if _is_module(PurePosixPath(path))]


def _is_module(path: PurePosixPath) -> bool:
    return (ROOT / f"{path}.py").is_file() or (ROOT / path / "__init__.py").is_file()


def test_no_large_file_lies_twice_in_the_repository():
    places = defaultdict(list)
    for name in tracked_files():
        if (ROOT / name).stat().st_size >= MIN_BYTES_COMPARED:
            places[hashlib.sha256((ROOT / name).read_bytes()).hexdigest()].append(name)
    assert [names for names in places.values() if len(names) > 1] == []
