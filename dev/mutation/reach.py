"""Which tests run which lines: a mutant is only run against the tests that run its line.

coverage records it test by test, while the tests are timed on the code as it is. Lines that run on import, while tests
are collected or in a fixture that several tests share count for all tests of the file, and a test that starts a Python
process, whose lines aren't seen, counts for all lines. A line that a cache keeps from running a second time counts for
the first test alone.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest import mock

import pytest

from .mutants import Mutant

SHARED = ""  # coverage's context outside of tests


@dataclass(frozen=True)
class Reach:
    """A test file's time, and the lines that its tests run."""

    seconds: dict[str, float]  # of each test, by its node id
    overhead: float  # seconds of the whole file beyond those
    lines: dict[str, dict[int, list[str]]]  # module: line: node ids, or SHARED for all of them
    everywhere: list[str]  # node ids that count for all lines

    def tests(self, mutant: Mutant) -> list[str]:
        """Those to run against a mutant; all where its line runs on import."""
        of_module = self.lines.get(mutant.path, {})
        found = {test for line in mutant.lines or () for test in of_module.get(line, ())} | set(self.everywhere)
        return [test for test in self.seconds if mutant.lines is None or SHARED in found or test in found]

    def time(self, tests: Iterable[str]) -> float:
        """Seconds that some of its tests take."""
        return self.overhead + sum(self.seconds[test] for test in tests)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Reach:
        content = json.loads(path.read_text(encoding="utf-8"))
        lines = {module: {int(k): v for k, v in of.items()} for module, of in content.pop("lines").items()}
        return cls(lines=lines, **content)


class ReachRecorder:
    """A pytest plugin that records it. `recording` surrounds pytest's run."""

    def __init__(self, root: Path, modules: Sequence[Path]) -> None:
        from coverage import Coverage

        include = [str(path.resolve()) for path in modules]
        self._root, self._began = root.resolve(), time.monotonic()
        self._coverage = Coverage(data_file=None, config_file=False, include=include, messages=False)
        self._coverage.set_option("run:core", "ctrace")  # others see a line once, whichever test it is
        self._seconds: Counter[str] = Counter()
        self._everywhere: list[str] = []
        self._test = SHARED

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Records while in it."""
        sys.addaudithook(self._notice_child)
        start = BaseProcess.start

        def noticed(process: BaseProcess) -> None:  # the server that forks or spawns raises no audit event here
            self._count_everywhere()
            start(process)

        with mock.patch.object(BaseProcess, "start", noticed):
            self._coverage.start()
            try:
                yield
            finally:
                self._coverage.stop()

    def reach(self) -> Reach:
        """What was recorded."""
        data, lines = self._coverage.get_data(), {}
        for name in data.measured_files():
            by_line: dict[int, list[str]] = defaultdict(list)
            by_line.update(data.contexts_by_lineno(name))
            lines[Path(name).relative_to(self._root).as_posix()] = dict(by_line)
        overhead = time.monotonic() - self._began - sum(self._seconds.values())
        return Reach(dict(self._seconds), overhead, lines, self._everywhere)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item):
        self._test = item.nodeid
        self._coverage.switch_context(item.nodeid)
        try:
            return (yield)
        finally:
            self._test = SHARED
            self._coverage.switch_context(SHARED)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef):
        if fixturedef.scope == "function":
            return (yield)
        self._coverage.switch_context(SHARED)
        try:
            return (yield)
        finally:
            self._coverage.switch_context(self._test)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] += report.duration

    def _notice_child(self, event: str, arguments: tuple) -> None:
        if event == "subprocess.Popen" and "python" in Path(str(arguments[0])).name:
            self._count_everywhere()

    def _count_everywhere(self) -> None:
        if self._test not in self._everywhere:
            self._everywhere.append(self._test)


class Selection:
    """A pytest plugin that runs chosen tests alone, in the order given."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._places = {test: place for place, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if item.nodeid in self._places]
        items[:] = sorted(chosen, key=lambda item: self._places[item.nodeid])
