"""The error messages that the documents quote are those that the code raises."""

from __future__ import annotations

import ast
import re

import pytest

from tests.shared_reference import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "web" / "docs").glob("*.md"))]
# What stands for a value in a quoted message, and where its sentences part.
VALUE = r"\.\.\.|\(\.\.\.\)|\S*\d\S*(?: MB)?|\S+\.mp4\b\S*|VHS_\w+|'[^']*'|, or |[;:,]"


def messages_in_the_code() -> list[str]:
    """Every text of engine and nodes, values in f-strings replaced by a null character."""
    texts = []
    for folder in ("latentsync_core", "nodes"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = (part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
                    texts.append("".join(parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
    return texts


def quoted_parts(message: str) -> list[str]:
    """What of a quoted message is no value, and long enough to be looked for."""
    parts = (part.strip(" ;,:.()'") for part in re.split(VALUE, message))
    return [part for part in parts if len(part.split()) > 1]


QUOTED = sorted({quote for page in PAGES for quote in re.findall(r'\*\*"([^"]+)"\*\*', page.read_text("utf-8"))})


@pytest.fixture(scope="module")
def messages() -> str:
    return "\n".join(messages_in_the_code())


def test_the_pages_quote_messages():
    assert len(QUOTED) > 20
    assert all(quoted_parts(quote) for quote in QUOTED)


@pytest.mark.parametrize("quote", QUOTED)
def test_a_quoted_message_is_one_of_the_codes(quote, messages):
    assert [part for part in quoted_parts(quote) if part not in messages] == []


def test_a_message_that_changed_is_noticed(messages):
    assert quoted_parts("... has no audio at all: connect a film instead.")[0] not in messages
