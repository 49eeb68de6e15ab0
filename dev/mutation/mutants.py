"""Mutants: copies of a module with one small change each, such as ``<`` for ``<=`` or an argument left out."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

MAX_SHOWN = 60  # characters of an expression in a survivor's line

_COMPARISONS = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
# Annotations are never evaluated, decorators configure caches and dataclasses, messages have tests of their wording.
_SKIPPED_FIELDS = {"annotation", "returns", "decorator_list", "type_params", "exc", "cause", "msg"}
_SKIPPED_NODES = (ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal)


@dataclass(frozen=True)
class Target:
    """A part of the code, and the tests that are to hold it."""

    name: str
    code: tuple[str, ...]  # files, or folders with all modules in them, from the project's root
    tests: tuple[str, ...]  # test files, or folders with all test files in them
    excluded: tuple[str, ...] = ()  # files in `code` that another target has


@dataclass(frozen=True)
class Mutant:
    """One change of one file."""

    target: Target
    path: str  # from the project's root, with slashes
    number: int  # of the change among all that the file allows
    line: int
    change: str  # "a < b → a <= b"
    lines: range | None  # of its statement, a compound one's without its body; None where they run on import


class _Change(NamedTuple):
    """A node of a syntax tree and what replaces it; None where a list loses it."""

    parent: ast.AST
    field: str
    index: int | None  # in a field that is a list
    node: ast.AST
    replacement: ast.AST | None
    lines: range | None


def sample_mutants(root: Path, targets: Sequence[Target], count: int, seed: int) -> list[Mutant]:
    """`count` mutants, the targets taking turns; fewer where the code allows no more.

    A larger count with the same seed begins with the same mutants, and a target's are the same whatever the others are,
    so that a campaign can be prolonged.
    """
    queues = []
    for target in targets:
        mutants = [one for path in modules(root, target) for one in mutants_of(root, path, target)]
        random.Random(f"{seed} {target.name}").shuffle(mutants)
        queues.append(mutants)
    sampled: list[Mutant] = []
    while len(sampled) < count and any(queues):
        sampled += [queue.pop() for queue in queues if queue]
    return sampled[:count]


def modules(root: Path, target: Target) -> list[Path]:
    """The target's Python files, sorted."""
    return _python_files(root, target.code, "*.py", target.excluded)


def find_test_files(root: Path, target: Target) -> list[Path]:
    """The target's test files, sorted."""
    return _python_files(root, target.tests, "test_*.py", ())


def mutants_of(root: Path, path: Path, target: Target) -> list[Mutant]:
    """All changes that a file allows, in the order of its lines."""
    name = path.relative_to(root).as_posix()
    return [
        Mutant(target, name, number, change.node.lineno, _described(change), change.lines)
        for number, change in enumerate(_changes(ast.parse(path.read_text(encoding="utf-8"))))
    ]


def mutated_source(source: str, number: int) -> str:
    """A module's source with one change; comments and formatting are lost, what it does otherwise isn't."""
    tree = ast.parse(source)
    change = next(change for at, change in enumerate(_changes(tree)) if at == number)
    if change.index is None:
        setattr(change.parent, change.field, change.replacement)
    elif change.replacement is None:
        del getattr(change.parent, change.field)[change.index]
    else:
        getattr(change.parent, change.field)[change.index] = change.replacement
    return ast.unparse(ast.fix_missing_locations(tree))


def _python_files(root: Path, names: Sequence[str], pattern: str, excluded: Sequence[str]) -> list[Path]:
    found: set[Path] = set()
    for name in names:
        path = root / name
        found.update(path.rglob(pattern) if path.is_dir() else [path])
    return sorted(found - {root / name for name in excluded})


def _changes(tree: ast.AST, lines: range | None = None, in_function: bool = False) -> Iterator[_Change]:
    """Every change of a tree, depth first; `lines` are those of the statement that it is in."""
    for field, value in ast.iter_fields(tree):
        if field in _SKIPPED_FIELDS:
            continue
        children = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, node in children:
            if not isinstance(node, ast.AST) or isinstance(node, _SKIPPED_NODES) or _is_skipped(node):
                continue
            within = in_function or (field == "body" and isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef)))
            of_node = _statement_lines(node) if within and isinstance(node, ast.stmt) else lines
            for replacement in _replacements(node, tree, field):
                yield _Change(tree, field, index, node, replacement, of_node)
            yield from _changes(node, of_node, within)


def _statement_lines(node: ast.stmt) -> range:
    """A statement's, a compound one's without its body."""
    body = getattr(node, "body", None)
    return range(node.lineno, max(body[0].lineno, node.lineno + 1) if body else node.end_lineno + 1)


def _is_skipped(node: ast.AST) -> bool:
    """Whether no test could see a change in here: what is logged, and what only type checkers read."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        function = node.value.func
        return isinstance(function, ast.Attribute) and ast.unparse(function.value) in {"log", "warnings"}
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _replacements(node: ast.AST, parent: ast.AST, field: str) -> Iterator[ast.AST | None]:
    """What may stand in a node's place; None: nothing."""
    if isinstance(node, ast.Compare):
        for at, operator in enumerate(node.ops):
            for other in _COMPARISONS[type(operator)]:
                operators = [*node.ops[:at], other(), *node.ops[at + 1 :]]
                yield ast.copy_location(ast.Compare(node.left, operators, node.comparators), node)
    elif isinstance(node, ast.BinOp):
        joins_text = any(isinstance(side, ast.JoinedStr) or _is_text(side) for side in (node.left, node.right))
        if type(node.op) in _ARITHMETIC and not joins_text:
            yield ast.copy_location(ast.BinOp(node.left, _ARITHMETIC[type(node.op)](), node.right), node)
    elif isinstance(node, ast.AugAssign) and type(node.op) in _ARITHMETIC:
        yield ast.copy_location(ast.AugAssign(node.target, _ARITHMETIC[type(node.op)](), node.value), node)
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield ast.copy_location(ast.BoolOp(other, node.values), node)
    elif isinstance(node, ast.Constant):
        yield from _other_constants(node)
    elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield ast.copy_location(ast.Return(ast.Constant(None)), node)
    elif isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield ast.copy_location(ast.Pass(), node)
    elif isinstance(node, ast.Break):
        yield ast.copy_location(ast.Continue(), node)
    elif isinstance(node, ast.Continue):
        yield ast.copy_location(ast.Break(), node)
    elif isinstance(node, ast.keyword) and node.arg and isinstance(parent, ast.Call):
        yield None
    is_condition = field == "ifs" or (field == "test" and not isinstance(parent, ast.Assert))
    if is_condition and not isinstance(node, (ast.Compare, ast.UnaryOp)):  # those have their opposites above
        yield ast.copy_location(ast.UnaryOp(ast.Not(), node), node)


def _other_constants(node: ast.Constant) -> Iterator[ast.AST]:
    if isinstance(node.value, bool):
        yield ast.copy_location(ast.Constant(not node.value), node)
    elif isinstance(node.value, int):
        yield ast.copy_location(ast.Constant(node.value + 1), node)
    elif isinstance(node.value, float):
        yield ast.copy_location(ast.Constant(node.value * 2 or 1.0), node)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _described(change: _Change) -> str:
    """One line: what stands in the code, and what the mutant has instead."""
    if change.replacement is None:
        call = ast.unparse(change.parent.func)
        return f"{_shortened(call)}(..., {_shortened(ast.unparse(change.node))}) → {_shortened(call)}(...)"
    return f"{_shortened(ast.unparse(change.node))} → {_shortened(ast.unparse(change.replacement))}"


def _shortened(code: str) -> str:
    line = " ".join(code.split())
    return line if len(line) <= MAX_SHOWN else f"{line[: MAX_SHOWN - 1]}…"
