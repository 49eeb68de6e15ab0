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

from .mutants import Mutant, Target, find_test_files, modules, mutated_source
from .reach import Reach, ReachRecorder, Selection

NOT_COPIED = (  # names of files and folders; `cache` and `runs` hold gigabytes where Nano was trained
    *(".git", ".venv", ".mutation", ".hypothesis", ".pytest_cache", ".ruff_cache"),
    *("__pycache__", "cache", "runs", "demo"),
)
PYTEST = ("-x", "-q", "-p", "no:cacheprovider")
TIMEOUT_FACTOR, TIMEOUT_SLACK = 3, 20  # times the unmutated tests' time, and seconds on top
MAX_ADDRESS_SPACE = 16 << 30  # bytes of a run, most of them only reserved: a loop without end must not fill the memory
RECORD = "mutation-reach.json"  # in a worker's tree: which lines the tests of a file run
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
    """A target's test files, with what they run of the code as it is, and the tests that have killed mutants."""

    files: dict[str, Reach]
    kills: Counter[str] = field(default_factory=Counter)

    def plan(self, mutant: Mutant) -> tuple[list[str], float]:
        """The tests that run the mutant's line, all where none does, and the seconds that they may take.

        First what is likely to kill in the least time, as a run ends with the first failure: the files, each with its
        tests in one go, as they share fixtures, and the tests of each file.
        """
        chosen = {name: reach.tests(mutant) for name, reach in self.files.items()}
        if not any(chosen.values()):
            chosen = {name: list(reach.seconds) for name, reach in self.files.items()}
        times = {name: self.files[name].time(tests) for name, tests in chosen.items() if tests}
        kills = Counter(test.partition("::")[0] for test in self.kills.elements())
        order = []
        for name in sorted(times, key=lambda name: times[name] / (1 + kills[name])):
            seconds = self.files[name].seconds
            order += sorted(chosen[name], key=lambda test, seconds=seconds: seconds[test] / (1 + self.kills[test]))
        return order, TIMEOUT_FACTOR * sum(times.values()) + TIMEOUT_SLACK


@dataclass
class _Trial:
    """A test file that is run on the code as it is."""

    process: BaseProcess
    answer: Connection
    tree: Path
    target: Target
    name: str


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
        suites = _record_suites(trees, list(dict.fromkeys(one.target for one in waiting)), report)
        for run, outcome, killed_by in _run_all(trees, waiting, sources, digests, suites, end):
            mutant = run.mutant
            suites[mutant.target].kills[killed_by] += outcome == KILLED
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
                tests, limit = suites[mutant.target].plan(mutant)
                tree = idle.pop()
                _write(tree / mutant.path, sources[mutant])
                process, answer = _start(_run_chosen, tree, tests)
                now = time.monotonic()
                running.append(_Run(process, answer, mutant, tree, digests[mutant], now, now + limit))
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


def _record_suites(
    trees: Sequence[Path], targets: Sequence[Target], report: Callable[[str], None]
) -> dict[Target, _Suite]:
    """The targets' test files and what they run of the code as it is, one file in each tree at a time.

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
                process, answer = _start(_run_recorded, tree, name, modules(tree, target))
                running.append(_Trial(process, answer, tree, target, name))
            wait([trial.process.sentinel for trial in running])
            for trial in [trial for trial in running if not trial.process.is_alive()]:
                code, failed = _ended(trial.process, trial.answer)
                running.remove(trial)
                idle.append(trial.tree)
                if code not in (PASSED, NO_TESTS):  # none: all of a file's tests are marked slow
                    log = (trial.tree / "mutation.log").read_text(encoding="utf-8", errors="replace")
                    raise CampaignError(f"{failed or trial.name} fails on the code as it is:\n{log[-2000:]}")
                if code == PASSED:
                    suites[trial.target].files[trial.name] = Reach.load(trial.tree / RECORD)
    finally:
        for trial in running:
            _ended(trial.process, trial.answer)
    for target, suite in suites.items():
        if not suite.files:
            raise CampaignError(f"{target.name} has no tests")
        seconds = sum(reach.time(reach.seconds) for reach in suite.files.values())
        report(f"{target.name}: {len(suite.files)} test files, {seconds:.0f} s unmutated")
    return suites


def _start(run: Callable[..., None], tree: Path, *arguments: object) -> tuple[BaseProcess, Connection]:
    """Runs tests in a process of its own, which on Linux has what this one has imported."""
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    answer, there = context.Pipe(duplex=False)
    process = context.Process(target=run, args=(there, tree, *arguments))
    process.start()
    there.close()
    return process, answer


def _run_chosen(answer: Connection, tree: Path, tests: list[str]) -> None:
    """Runs tests in their order and sends pytest's exit code and the first one that failed."""
    answer.send(_run_tests(tree, list(dict.fromkeys(test.partition("::")[0] for test in tests)), Selection(tests)))


def _run_recorded(answer: Connection, tree: Path, file: str, modules: Sequence[Path]) -> None:
    """Runs a test file likewise, and writes down which lines its tests run."""
    recorder = ReachRecorder(tree, modules)
    with recorder.recording():
        result = _run_tests(tree, [file], recorder)
    recorder.reach().save(tree / RECORD)
    answer.send(result)


def _run_tests(tree: Path, files: list[str], plugin: object) -> tuple[int, str]:
    """Runs test files in `tree` with a pytest plugin; pytest's exit code and the first test that failed."""
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
    return int(pytest.main([*PYTEST, *files], plugins=[first, plugin])), first.test


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
