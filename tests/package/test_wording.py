"""The engine reports facts; command line and nodes word every way out, by what exists in the place where it shows."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from latentsync_core import errors
from latentsync_core.cli import commands
from latentsync_core.cli.wording import WORDS as COMMAND_LINE_WORDS
from latentsync_core.errors import LatentSyncError, ModelError, VideoError
from latentsync_core.messages import Note, NoteLevel, Remedy
from latentsync_core.models.loading.demonstration import demonstration_models
from latentsync_core.models.loading.registry import KNOWN_MODELS
from tests.shared_reference import ROOT

ENGINE = ROOT / "latentsync_core"
PARSER = commands._parser()
(SUBPARSERS,) = (action for action in PARSER._actions if isinstance(action, argparse._SubParsersAction))
OPTIONS = {option for command in SUBPARSERS.choices.values() for option in command._option_string_actions}
# Each node's inputs as its help page lists them, which tests/comfyui/test_help.py holds to be those of its schema.
PAGES = {path: path.read_text("utf-8") for path in (ROOT / "web" / "docs").glob("*.md")}
INPUTS = {
    text.splitlines()[0].removeprefix("# "): set(
        re.findall(r"^\| \*\*(\w+)\*\*", text.partition("\n## Outputs")[0], re.MULTILINE)
    )
    for text in PAGES.values()
}
CORE_NODES = ("Load Video", "Load Audio", "Save Video")
OPTION = r"(?<![\w-])--[a-z][\w-]*"
COMMAND = r"python3? -m |latentsync-dub "


@pytest.fixture(scope="module")
def nodes() -> Iterator[types.ModuleType]:
    """nodes/_wording.py inside its pack, as ComfyUI imports it, but without the nodes, which need ComfyUI."""
    for name, folder in (("wording_pack", ROOT), ("wording_pack.nodes", ROOT / "nodes")):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(folder)]
    yield importlib.import_module("wording_pack.nodes._wording")
    for name in [name for name in sys.modules if name.startswith("wording_pack")]:
        del sys.modules[name]


def texts_in(source: str) -> list[str]:
    """Every text of a module but its docstrings; values in f-strings are left out."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]


def terms_of_a_place(source: str) -> list[str]:
    """The command line's and ComfyUI's words among a module's texts."""
    titles = [title for name in INPUTS for title in (name, name.removeprefix("LatentSync ")) if " " in title]
    node_terms = "|".join([*map(re.escape, [*titles, *CORE_NODES]), r"\bAUDIO\b", "connect an? ", "connect one"])
    return [found for text in texts_in(source) for found in re.findall(f"{OPTION}|{COMMAND}|{node_terms}", text)]


# --- the engine


def engine_modules() -> list[Path]:
    return [path for path in ENGINE.rglob("*.py") if path.relative_to(ENGINE).parts[0] != "cli"]


@pytest.mark.parametrize("path", engine_modules(), ids=lambda path: path.relative_to(ENGINE).as_posix())
def test_the_engine_speaks_neither_of_options_nor_of_nodes(path):
    assert terms_of_a_place(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "choose another --work-folder",
        "run `python -m latentsync_core download latentsync-1.6`",
        "run LatentSync Prepare Faces again",
        "run Prepare Faces again",
        "connect a sound",
        "keep it with Save Video",
    ],
)
def test_such_a_term_in_a_message_is_found(text):
    assert terms_of_a_place(f'"""A module."""\nraise ModelError(f"{{path}} is gone; {text}.")')


def test_every_remedy_is_one_of_some_message():
    used = {
        node.attr
        for path in engine_modules()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Remedy"
    }
    assert used == {remedy.name for remedy in Remedy}


def test_an_error_s_own_text_is_the_fact_and_what_fits_everywhere():
    error = ModelError("a.pt is cut short.", "copy it again", Remedy.INSTALL_MODEL, about="latentsync-1.5")
    assert str(error) == "a.pt is cut short; copy it again."
    assert error.worded(COMMAND_LINE_WORDS) == (
        "a.pt is cut short; copy it again, or run `python -m latentsync_core download latentsync-1.5`."
    )
    assert str(VideoError("no frame")) == VideoError("no frame").worded(COMMAND_LINE_WORDS) == "no frame"
    assert VideoError("no frame", Remedy.GIVE_SOUND).worded(COMMAND_LINE_WORDS).startswith("no frame; name a sound")


# --- the command line


def test_the_command_line_words_every_remedy():
    assert set(COMMAND_LINE_WORDS) == set(Remedy)


@pytest.mark.parametrize("remedy", Remedy, ids=lambda remedy: remedy.name)
def test_an_option_or_command_in_the_command_line_s_words_exists(remedy):
    words = COMMAND_LINE_WORDS[remedy]
    assert set(re.findall(OPTION, words)) <= OPTIONS
    assert set(re.findall(r"python -m latentsync_core (\w+)", words)) <= set(SUBPARSERS.choices)
    for model in re.findall(r"(?:--model|download) ([\w.-]+)", words):
        assert model in {*KNOWN_MODELS, *demonstration_models().values()}


# --- the nodes


def test_the_nodes_word_every_remedy(nodes):
    assert {remedy.name for remedy in nodes.WORDS} == {remedy.name for remedy in Remedy}


@pytest.mark.parametrize("node", INPUTS)
def test_every_input_and_node_in_the_nodes_words_exists_where_it_shows(nodes, node):
    for words in nodes.words_on(INPUTS[node]).values():
        for name, other in re.findall(r"`(\w+)`(?: of (LatentSync [A-Z]\w+(?: (?:to )?[A-Z]\w+)*))?", words):
            assert name in INPUTS[other or node], words
        for other in re.findall(r"LatentSync [A-Z]\w+(?: (?:to )?[A-Z]\w+)*", words):
            assert other in INPUTS, words
        assert not re.search(COMMAND, words)
        for model in re.findall(r"latentsync-\d[\d.]*\d", words):
            assert model in KNOWN_MODELS
        for model in re.findall(r"\w+ \(demonstration\)", words):
            assert model in demonstration_models()


def test_the_words_name_another_node_only_for_what_the_node_lacks(nodes):
    remedy = next(remedy for remedy in nodes.WORDS if remedy.name == "KEEP_WHOLE_VOICE")
    assert "`length` to hold" in nodes.words_on(INPUTS["LatentSync Lip Sync"])[remedy]
    assert "`length` of LatentSync Face Sampler to hold" in nodes.words_on(INPUTS["LatentSync Composite"])[remedy]


def raised_by_a_node(nodes: types.ModuleType, kind: str, *ways_out: str, inputs: tuple[str, ...] = ()) -> Exception:
    """What a node raises where the engine raises that kind of error with these ways out."""
    module = importlib.import_module("wording_pack.latentsync_core.errors")
    known = importlib.import_module("wording_pack.latentsync_core.messages").Remedy

    def engine() -> None:
        raise getattr(module, kind)("film.mp4 is gone.", *(known[way] for way in ways_out))

    with pytest.raises(module.LatentSyncError) as caught, nodes.errors_in_node_words(inputs):
        engine()
    assert isinstance(caught.value, getattr(module, kind))
    assert [entry.name for entry in caught.traceback][-1] == "engine"
    return caught.value


KINDS = [name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, LatentSyncError)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_panel_begins_with_the_pack_and_the_kind_of_error(nodes, kind):
    """ComfyUI's page shows "MODULE.CLASS: sentence"."""
    error = raised_by_a_node(nodes, kind, "PREPARE_AGAIN")
    shown = f"{type(error).__module__}.{type(error).__qualname__}: {error}"
    assert shown == f"LatentSync.{kind}: film.mp4 is gone; run LatentSync Prepare Faces again."


def test_a_node_s_error_is_in_the_words_of_that_node(nodes):
    assert "`model` of LatentSync Load Model" in str(raised_by_a_node(nodes, "ModelError", "CHOOSE_MODEL"))
    assert " of " not in str(raised_by_a_node(nodes, "ModelError", "CHOOSE_MODEL", inputs=("model",)))


def test_what_is_no_error_of_ours_passes_through_a_node(nodes):
    problem = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt) as caught, nodes.errors_in_node_words(()):
        raise problem
    assert caught.value is problem


def test_a_node_shows_warnings_first_and_marks_them_alone(nodes):
    messages = importlib.import_module("wording_pack.latentsync_core.messages")
    notes = [
        messages.Note("The audio was re-encoded."),
        messages.Note("the voice was cut", messages.NoteLevel.WARNING, (messages.Remedy.KEEP_WHOLE_VOICE,)),
    ]
    assert nodes.note_lines(notes, ["length"]) == [
        "⚠ the voice was cut; set `length` to hold or ping-pong to keep all of it",
        "The audio was re-encoded.",
    ]


def test_a_note_is_in_the_command_line_s_words_there():
    note = Note("the voice was cut", NoteLevel.WARNING, (Remedy.KEEP_WHOLE_VOICE,))
    assert note.worded(COMMAND_LINE_WORDS) == "the voice was cut; --length hold or ping-pong keeps all of it"
    assert str(note) == "the voice was cut"
