"""What latentsync_core exports, and every name, module and path that the README and the docs mention, is there."""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import latentsync_core
from latentsync_core.cli import commands
from tests.shared_reference import ROOT

DOCUMENTS = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "training").glob("*.md"), *(ROOT / "benchmarks").glob("*.md"),
                 *(ROOT / "web" / "docs").glob("*.md"), *(ROOT / "docs").glob("*.md")]
    if path.name != "CHANGELOG.md"
)  # fmt: skip
PACKAGES = r"(?:latentsync_core|training|benchmarks|dev|tests|nodes)"
PROMISED = (
    "sync", "SyncOptions", "find_faces", "probe", "FrameReader", "FrameWriter", "load_model", "embed_audio", "sample",
    "render", "UNet", "WhisperEncoder", "LatentSyncError",
)  # fmt: skip
DOCUMENTED_IN_0_1 = (
    "pipeline.SyncOptions", "pipeline.sync", "pipeline.find_faces", "sampling.sampler.SamplerOptions",
    "video_io.probe", "video_io.FrameReader", "video_io.FrameWriter", "faces.choose.choose", "faces.align.crop_face",
    "models.unet.UNet", "models.whisper.WhisperEncoder", "audio_features.frame_windows",
)  # fmt: skip


def names_in_documents() -> list[tuple[str, str]]:
    """(document, dotted name) of every mention, further names of a table's first cell included."""
    found = set()
    for path in DOCUMENTS:
        text = path.read_text("utf-8")
        found |= {(path.name, name) for name in re.findall(rf"(?<![\w/.]){PACKAGES}(?:\.[A-Za-z_]\w*)+", text)}
        for cell in re.findall(r"^\| (`latentsync_core\.[^|]*)\|", text, re.MULTILINE):
            first, *others = re.findall(r"`([\w.]+)", cell)
            package = first.rpartition(".")[0]
            found |= {(path.name, f"{package}.{other}") for other in others if "." not in other}
    return sorted(name for name in found if not name[1].endswith((".py", ".md", ".txt", ".png")))


def resolve(name: str) -> object:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            value = getattr(value, part)
        return value
    raise AssertionError(name)


def test_the_package_exports_what_it_promises_and_nothing_that_is_missing():
    assert set(PROMISED) <= set(latentsync_core.__all__)
    for name in latentsync_core.__all__:
        assert getattr(latentsync_core, name) is not None
    assert set(latentsync_core.__all__) <= set(dir(latentsync_core))
    with pytest.raises(AttributeError, match="no attribute 'dub'"):
        _ = latentsync_core.dub


def test_type_checkers_see_every_name_where_it_is_imported_from_on_first_use():
    tree = ast.parse(Path(latentsync_core.__file__).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {node.module: sorted(alias.name for alias in node.names) for node in block.body}
    assert seen == {module: sorted(names) for module, names in latentsync_core._MODULES.items()}
    assert sorted(latentsync_core.__all__) == sorted(name for names in seen.values() for name in names)
    assert (ROOT / "latentsync_core" / "py.typed").exists()


def test_every_error_is_exported():
    errors = importlib.import_module("latentsync_core.errors")
    kinds = [name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert set(kinds) <= set(latentsync_core.__all__)


def test_importing_the_package_loads_neither_numpy_nor_torch():
    script = (
        "import sys, latentsync_core; assert 'torch' not in sys.modules and 'numpy' not in sys.modules; "
        "latentsync_core.LatentSyncError; assert 'numpy' not in sys.modules; latentsync_core.sync"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


# Forgets the engine before each import, but not the libraries, which take seconds to import.
IMPORT_ALONE = """
import importlib, json, sys, warnings
import torch
found = {}
for name in sys.argv[1:]:
    for module in [name for name in sys.modules if name.split(".")[0] == "latentsync_core"]:
        del sys.modules[module]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DeprecationWarning)
        module, _, attribute = name.rpartition(".")
        try:
            outcome = "callable" if callable(getattr(importlib.import_module(module), attribute)) else "not callable"
        except (ImportError, AttributeError) as problem:
            outcome = repr(problem)
    found[name] = outcome, [str(one.message) for one in caught if one.category is DeprecationWarning]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def imported_alone() -> dict[str, tuple[str, list[str]]]:
    """What each of `DOCUMENTED_IN_0_1` is where nothing of the engine was imported before, and the warnings for it."""
    names = [f"latentsync_core.{name}" for name in DOCUMENTED_IN_0_1]
    done = subprocess.run([sys.executable, "-c", IMPORT_ALONE, *names], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", DOCUMENTED_IN_0_1)
def test_documented_import_paths_of_the_first_version_work(name, imported_alone):
    outcome, warned = imported_alone[f"latentsync_core.{name}"]
    assert outcome == "callable"
    moved = name.split(".")[-2] in ("video_io", "align", "choose", "audio_features")
    assert any("has moved: import it from latentsync_core." in message for message in warned) == moved


@pytest.mark.parametrize(("document", "name"), names_in_documents(), ids=lambda value: value)
def test_every_name_in_the_documents_resolves(document, name):
    assert resolve(name) is not None


def test_the_documented_python_runs_up_to_its_call():
    """Imports, names of options and their values; the job itself needs the user's files."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "library.md").read_text("utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        scope: dict[str, object] = {}
        imports = "\n".join(line for line in block.splitlines() if line.startswith(("from ", "import ")))
        exec(imports, scope)
        for call in re.findall(r"\b[A-Z]\w+Options\([^()]*(?:\([^()]*\)[^()]*)*\)", block):
            assert eval(call, scope)


def test_every_flag_in_the_documents_is_one_of_the_command_line():
    parser = commands._parser()
    (subparsers,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    known = {option for command in subparsers.choices.values() for option in command._option_string_actions}
    for path in DOCUMENTS:
        for line in re.findall(r"python -m latentsync_core [^\n`]*(?:\\\n[^\n`]*)*", path.read_text("utf-8")):
            unknown = set(re.findall(r"(?<!\S)--[a-z\d-]+", line)) - known
            assert not unknown, (path.name, line)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_is_there(path):
    text = path.read_text("utf-8")
    named = set(re.findall(rf"`({PACKAGES}/[\w./-]*)`", text)) | set(re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", text))
    places = (ROOT, path.parent)
    missing = [name for name in named if not any((place / name).exists() for place in places)]
    assert not missing
