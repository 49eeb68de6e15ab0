"""The documents' links lead somewhere, the README is short, and docs/cli.md has every option with its default."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import pytest

from latentsync_core.cli import commands
from tests.shared_reference import ROOT

DOCUMENTS = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "benchmarks").glob("*.md"),
     *(ROOT / "training").glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "web" / "docs").glob("*.md")]
)  # fmt: skip
MAX_README_LINES = 120
PICTURES = ROOT / "media"
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")


def prose(path: Path) -> str:
    """A document without its blocks of code, in which nothing is a link or a heading."""
    return re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def links(path: Path) -> list[tuple[Path, str]]:
    """(file, anchor) of every relative link and picture of a document; no anchor is an empty one."""
    return [
        ((path.parent / target).resolve() if target else path, anchor) for target, anchor in LINK.findall(prose(path))
    ]


def anchors(path: Path) -> set[str]:
    """The names of a document's headings, as GitHub makes them, and of its own anchors."""
    text = prose(path)
    headings = (re.sub(r"[^\w\- ]", "", line.lower()) for line in re.findall(r"^#+ (.+)$", text, re.MULTILINE))
    return {heading.strip().replace(" ", "-") for heading in headings} | set(re.findall(r'<a id="([^"]+)">', text))


def options() -> Iterator[tuple[str, argparse.Action]]:
    """(command, option) of the whole command line, but for --help."""
    (subparsers,) = [each for each in commands._parser()._actions if isinstance(each, argparse._SubParsersAction)]
    for command, parser in subparsers.choices.items():
        for action in parser._actions:
            if action.option_strings and action.dest != "help":
                yield command, action


def documented_options() -> dict[str, str]:
    """The tables of docs/cli.md: each option's default as written there."""
    rows = re.findall(r"^\| `(--[a-z\d-]+)` \| ([^|]*) \|", (ROOT / "docs" / "cli.md").read_text("utf-8"), re.MULTILINE)
    assert len(rows) == len(dict(rows))  # none twice
    return dict(rows)


def written_default(action: argparse.Action) -> str | None:
    """An option's default as the table has it; None where words describe it."""
    default = action.default.value if isinstance(action.default, Enum) else action.default
    if default is None or isinstance(default, (bool, list)) or default == "" or action.dest == "end":
        return None
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_and_picture_of_a_document_is_there(path):
    missing = [f"{file}#{anchor}" for file, anchor in links(path) if not file.exists()]
    missing += [f"{file}#{anchor}" for file, anchor in links(path) if anchor and anchor not in anchors(file)]
    assert missing == []


def test_documents_link_to_each_other():
    assert sum(len(links(path)) for path in DOCUMENTS) > 50


def test_a_broken_link_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A heading: `of_two` words\n\n[here](#a-heading-of_two-words) [gone](gone.md#x)", "utf-8")
    (here, there) = links(page)
    assert here[1] in anchors(page)
    assert not there[0].exists()


def test_every_picture_in_media_is_shown_by_a_document_or_by_the_registry():
    shown = {file for path in DOCUMENTS for file, _ in links(path)}
    registry = (ROOT / "pyproject.toml").read_text("utf-8")
    pictures = [picture for picture in PICTURES.iterdir() if f"media/{picture.name}" not in registry]
    assert [picture.name for picture in pictures if picture.resolve() not in shown] == []


def test_every_document_is_linked_from_the_readme():
    linked = {file for file, _ in links(ROOT / "README.md")}
    assert {path.resolve() for path in (ROOT / "docs").glob("*.md")} <= linked


def test_the_readme_fits_two_screens():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < MAX_README_LINES


def test_the_command_lines_page_has_every_option_of_sync_and_batch_and_its_default():
    documented = documented_options()
    sync = {action.option_strings[0]: action for command, action in options() if command in ("batch", "sync")}
    assert set(documented) == set(sync) - {"--json"}
    for option, action in sync.items():
        expected = written_default(action)
        if expected is not None:
            assert documented[option] == expected, option


def test_every_other_option_and_command_is_on_the_page_or_on_that_of_the_models():
    pages = "".join((ROOT / "docs" / name).read_text("utf-8") for name in ("cli.md", "models.md", "dubbing.md"))
    written = set(re.findall(r"(?<![\w-])--[a-z\d-]+", pages)) | set(re.findall(r"`([a-z-]+)(?: [A-Z -]+\w*)?`", pages))
    assert {name for command, action in options() for name in (command, action.option_strings[0])} - written == set()
