"""Every test marked slow names, in its docstring, the quick one that holds the same behaviour: "Quick: test_this"."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.shared_reference import ROOT

SLOW = "pytest.mark.slow"


def all_tests() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Each test of the project, with its file."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield path.relative_to(ROOT).as_posix(), node


ALL = list(all_tests())
MARKED = [(file, test) for file, test in ALL if any(SLOW in ast.unparse(mark) for mark in test.decorator_list)]
QUICK = {
    test.name
    for _, test in ALL
    if SLOW not in (ast.unparse(mark) for mark in test.decorator_list)  # one parameter may be slow, the others quick
}


@pytest.mark.parametrize(("file", "test"), MARKED, ids=[test.name for _, test in MARKED])
def test_a_slow_test_names_the_quick_one_that_holds_the_same(file, test):
    named = re.findall(r"Quick: (test_\w+)", ast.get_docstring(test) or "")
    assert named, f'{file}: name the quick test in the docstring of {test.name}: "Quick: test_..."'
    assert set(named) <= QUICK - {test.name}, f"{file}: {test.name} names what is no quick test: {named}"


def test_there_are_slow_tests():
    assert len(MARKED) >= 8
