"""Every test marked slow names, in its docstring, the quick one that holds the same behaviour: "Quick: test_this".

A test of which some parameters alone are slow may name itself: its quick ones hold the behaviour.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.shared_reference import ROOT

SLOW = "pytest.mark.slow"
SOME_SLOW = "others_slow("


def all_tests() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Each test of the project, with its file."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield path.relative_to(ROOT).as_posix(), node


ALL = list(all_tests())
MARKED = [
    (file, test)
    for file, test in ALL
    if any(word in ast.unparse(mark) for mark in test.decorator_list for word in (SLOW, SOME_SLOW))
]


def is_wholly_slow(test: ast.FunctionDef) -> bool:
    return SLOW in (ast.unparse(mark) for mark in test.decorator_list)


QUICK = {test.name for _, test in ALL if not is_wholly_slow(test)}


@pytest.mark.parametrize(("file", "test"), MARKED, ids=[test.name for _, test in MARKED])
def test_a_slow_test_names_the_quick_one_that_holds_the_same(file, test):
    named = re.findall(r"Quick: (test_\w+)", ast.get_docstring(test) or "")
    assert named, f'{file}: name the quick test in the docstring of {test.name}: "Quick: test_..."'
    itself = {test.name} if is_wholly_slow(test) else set()
    assert set(named) <= QUICK - itself, f"{file}: {test.name} names what is no quick test: {named}"


def test_there_are_slow_tests():
    assert len(MARKED) >= 8
