"""A campaign: mutants run against their tests in copies of the project, side by side, and every outcome is recorded."""

from __future__ import annotations

import compileall
import contextlib
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from .mutants import Mutant, Target, find_test_files, mutated_source

NOT_COPIED = (  # names of files and folders; `cache` and `runs` hold gigabytes where Nano was trained
    *(".git", ".venv", ".mutation", ".hypothesis", ".pytest_cache", ".ruff_cache"),
    *("__pycache__", "cache", "runs", "demo"),
)
PYTEST = ("-x", "-q", "-p", "no:cacheprovider")
TIMEOUT_FACTOR, TIMEOUT_SLACK = 3, 20  # times the unmutated tests' time, and seconds on top
MAX_ADDRESS_SPACE = 16 << 30  # bytes of a run, most of them only reserved: a loop without end must not fill the memory
KILLED, SURVIVED, TIMED_OUT = "killed", "survived", "timed out"
PASSED, FAILED, NO_TESTS = 0, 1, 5  # pytest's exit codes


class CampaignError(Exception):
    """The tests can't judge mutants: they fail on the code as it is, or there are none."""


@dataclass(frozen=True)
class Outcome:
    """What a mutant's tests came to; a line of the results file."""

    path: str
    line: int
    change: str
    target: str
    outcome: str  # KILLED, SURVIVED or TIMED_OUT
    killed_by: str  # the first test that failed; empty where none did, or where the process died
    seconds: float
    source: str  # digest of the mutated module
    tests: str  # digest of the target's test files


class Results:
    """The results file: one JSON object a line, appended to as mutants end, so that a stopped campaign goes on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._known: dict[str, Outcome] = {}
        for line in lines:
            with contextlib.suppress(json.JSONDecodeError):  # a process killed while it wrote leaves half a line
                one = Outcome(**json.loads(line))
                self._known[one.source] = one

    def find(self, source: str, tests: str) -> Outcome | None:
        """What is known of a mutated module; a survivor only counts as long as its tests are the same."""
        known = self._known.get(source)
        return known if known and (known.outcome != SURVIVED or known.tests == tests) else None

    def add(self, outcome: Outcome) -> None:
        self._known[outcome.source] = outcome
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(outcome), ensure_ascii=False) + "\n")


@dataclass
class _Suite:
    """A target's test files: seconds that each takes on the code as it is, and how many mutants it has killed."""

    seconds: dict[str, float]
    kills: Counter[str] = field(default_factory=Counter)

    @property
    def order(self) -> list[str]:
        """First what is likely to kill in the least time; a run ends with the first failure."""
        return sorted(self.seconds, key=lambda name: self.seconds[name] / (1 + self.kills[name]))

    @property
    def limit(self) -> float:
        """Seconds after which a mutant's run is ended."""
        return TIMEOUT_FACTOR * sum(self.seconds.values()) + TIMEOUT_SLACK


@dataclass
class _Trial:
    """A test file that is timed on the code as it is."""

    process: BaseProcess
    answer: Connection
    tree: Path
    target: Target
    name: str
    started: float


@dataclass
class _Run:
    """A mutant under test."""

    process: BaseProcess
    answer: Connection
    mutant: Mutant
    tree: Path
    source: str  # digest
    started: float
    deadline: float


def run_campaign(
    root: Path,
    mutants: Sequence[Mutant],
    results: Results,
    scratch: Path,
    workers: int,
    seconds: float,
    report: Callable[[str], None],
) -> list[Outcome]:
    """Runs the mutants that have no result yet, and returns the outcomes of all that have one by then.

    The checkout is never changed: each worker has a copy of it below `scratch`, and every run is a process of its own.

    Args:
        seconds: after which no further mutant is started.
        report: takes a line for every step.

    Raises:
        CampaignError: a target's tests fail unmutated, or a target has none.
    """
    test_digests = {one.target: _digest_of_files(find_test_files(root, one.target)) for one in mutants}
    sources = {one: _mutated(root, one) for one in mutants}
    digests = {one: hashlib.sha256(f"{one.path}\n{source}".encode()).hexdigest() for one, source in sources.items()}
    waiting = [one for one in mutants if not results.find(digests[one], test_digests[one.target])]
    report(f"{len(mutants)} mutants, {len(mutants) - len(waiting)} with a result already")
    if waiting:
        end = time.monotonic() + seconds
        trees = [_copied(root, scratch / f"worker-{number}") for number in range(min(workers, len(waiting)))]
        suites = _time_suites(trees, list(dict.fromkeys(one.target for one in waiting)), report)
        for run, outcome, killed_by in _run_all(trees, waiting, sources, digests, suites, end):
            mutant = run.mutant
            suites[mutant.target].kills[killed_by.partition("::")[0]] += outcome == KILLED
            results.add(
                Outcome(
                    path=mutant.path,
                    line=mutant.line,
                    change=mutant.change,
                    target=mutant.target.name,
                    outcome=outcome,
                    killed_by=killed_by,
                    seconds=round(time.monotonic() - run.started, 1),
                    source=run.source,
                    tests=test_digests[mutant.target],
                )
            )
            report(f"{outcome:9} {mutant.path}:{mutant.line}: {mutant.change}" + (f"  ({killed_by})" * bool(killed_by)))
    known = [results.find(digests[one], test_digests[one.target]) for one in mutants]
    return [one for one in known if one]


def _run_all(
    trees: Sequence[Path],
    mutants: Sequence[Mutant],
    sources: dict[Mutant, str],
    digests: dict[Mutant, str],
    suites: dict[Target, _Suite],
    end: float,
) -> Iterator[tuple[_Run, str, str]]:
    """Yields each run with its outcome and the test that killed it, as they end."""
    waiting = list(reversed(mutants))
    idle = list(trees)
    running: list[_Run] = []
    try:
        while running or (waiting and time.monotonic() < end):
            while idle and waiting and time.monotonic() < end:
                mutant = waiting.pop()
                suite = suites[mutant.target]
                tree = idle.pop()
                _write(tree / mutant.path, sources[mutant])
                process, answer = _start(tree, suite.order)
                now = time.monotonic()
                running.append(_Run(process, answer, mutant, tree, digests[mutant], now, now + suite.limit))
            next_deadline = min(run.deadline for run in running) - time.monotonic()
            wait([run.process.sentinel for run in running], timeout=max(next_deadline, 0))
            for run in list(running):
                overdue = time.monotonic() >= run.deadline
                if run.process.is_alive() and not overdue:
                    continue
                overdue = run.process.is_alive()
                code, killed_by = _ended(run.process, run.answer)
                running.remove(run)
                original = trees[0].parent / "original" / run.mutant.path
                _write(run.tree / run.mutant.path, original.read_text(encoding="utf-8"))
                idle.append(run.tree)
                if code == NO_TESTS:
                    raise CampaignError(f"{run.mutant.target.name} has no tests")
                yield run, TIMED_OUT if overdue else SURVIVED if code == PASSED else KILLED, killed_by
    finally:
        for run in running:
            _ended(run.process, run.answer)


def _time_suites(
    trees: Sequence[Path], targets: Sequence[Target], report: Callable[[str], None]
) -> dict[Target, _Suite]:
    """The targets' test files, timed on the code as it is, one in each tree at a time.

    Raises:
        CampaignError: they fail there, or a target has none.
    """
    suites = {target: _Suite({}) for target in targets}
    files = [(target, path.relative_to(trees[0]).as_posix()) for target in targets
             for path in find_test_files(trees[0], target)]  # fmt: skip
    waiting, idle = list(reversed(files)), list(trees)
    running: list[_Trial] = []
    try:
        while waiting or running:
            while waiting and idle:
                target, name = waiting.pop()
                tree = idle.pop()
                process, answer = _start(tree, [name])
                running.append(_Trial(process, answer, tree, target, name, time.monotonic()))
            wait([trial.process.sentinel for trial in running])
            for trial in [trial for trial in running if not trial.process.is_alive()]:
                seconds = time.monotonic() - trial.started
                code, failed = _ended(trial.process, trial.answer)
                running.remove(trial)
                idle.append(trial.tree)
                if code not in (PASSED, NO_TESTS):  # none: all of a file's tests are marked slow
                    log = (trial.tree / "mutation.log").read_text(encoding="utf-8", errors="replace")
                    raise CampaignError(f"{failed or trial.name} fails on the code as it is:\n{log[-2000:]}")
                if code == PASSED:
                    suites[trial.target].seconds[trial.name] = seconds
    finally:
        for trial in running:
            _ended(trial.process, trial.answer)
    for target, suite in suites.items():
        if not suite.seconds:
            raise CampaignError(f"{target.name} has no tests")
        report(f"{target.name}: {len(suite.seconds)} test files, {sum(suite.seconds.values()):.0f} s unmutated")
    return suites


def _start(tree: Path, tests: Sequence[str]) -> tuple[BaseProcess, Connection]:
    """Runs test files in a process of its own, which on Linux has what this one has imported."""
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    answer, there = context.Pipe(duplex=False)
    process = context.Process(target=_run_tests, args=(tree, list(tests), there))
    process.start()
    there.close()
    return process, answer


def _run_tests(tree: Path, tests: list[str], answer: Connection) -> None:
    """Runs pytest in `tree` and sends its exit code and the first test that failed."""
    import pytest

    if sys.platform != "win32":
        import resource

        os.setsid()  # so that what the tests start ends with them
        with contextlib.suppress(ValueError, OSError):  # macOS has no such limit
            resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_SPACE, MAX_ADDRESS_SPACE))
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    log = os.open("mutation.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    first = _FirstFailure()
    code = int(pytest.main([*PYTEST, *tests], plugins=[first]))
    answer.send((code, first.test))


class _FirstFailure:
    """A pytest plugin that remembers what failed first."""

    test = ""

    def pytest_runtest_logreport(self, report) -> None:
        if report.failed:
            self.test = self.test or report.nodeid

    def pytest_collectreport(self, report) -> None:
        if report.failed:
            self.test = self.test or report.nodeid


def _ended(process: BaseProcess, answer: Connection) -> tuple[int, str]:
    """Ends a run and all that it started; its exit code and first failure, or FAILED where it died without any."""
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()
    with answer:
        try:
            return answer.recv() if answer.poll() else (FAILED, "")
        except EOFError:
            return FAILED, ""


def _copied(root: Path, tree: Path) -> Path:
    """A copy of the project to mutate, compiled, and beside it an unchanged one."""
    original = tree.parent / "original"
    if not original.exists():
        shutil.copytree(root, original, ignore=shutil.ignore_patterns(*NOT_COPIED))
        compileall.compile_dir(original, quiet=2)
    shutil.copytree(original, tree)
    return tree


def _write(path: Path, text: str) -> None:
    """Writes a module with another stamp than any compiled copy of it has."""
    stamp = path.stat().st_mtime + 10
    path.write_text(text, encoding="utf-8")
    os.utime(path, (stamp, stamp))


def _mutated(root: Path, mutant: Mutant) -> str:
    return mutated_source((root / mutant.path).read_text(encoding="utf-8"), mutant.number)


def _digest_of_files(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
