"""A child's end is told for what it was, and none outlives its trial."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKS = """
    import json, os, subprocess, sys, time
    import psutil
    from latentsync_core.errors import AudioError
    from tests.fuzz import children

    children.MEMORY, children.PROCESSOR_SECONDS = 300_000_000, 2

    def refuse(words):
        raise AudioError(words)

    def burn():
        while True:
            pass

    def start(code):
        return subprocess.Popen([sys.executable, "-c", code])

    def leave_behind():
        with open(sys.argv[1], "w") as file:
            file.write(str(start("import time; time.sleep(600)").pid))

    ends = {
        "right": lambda: None,
        "refused": lambda: refuse("a sentence"),
        "two lines": lambda: refuse("a line\\nand another"),
        "exception": lambda: 1 // 0,
        "exit": lambda: os._exit(3),
        "crash": lambda: os.abort(),
        "own loop": burn,
        "another's loop": lambda: start("while True: pass").wait(),
        "own memory": lambda: (bytearray(b"x" * 10) * 60_000_000, time.sleep(60)),
        "another's memory": lambda: start("import time; a = b'x' * 600_000_000; time.sleep(600)").wait(),
        "left behind": leave_behind,
    }
    outcomes = {name: children.run_in_child(work).outcome.value for name, work in ends.items()}
    left = int(open(sys.argv[1]).read())
    while psutil.pid_exists(left) and psutil.Process(left).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)  # a survivor would keep this from ending
    print(json.dumps(outcomes))
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, str]:
    """What became of work of every kind, in a process without threads."""
    if sys.platform == "win32":
        pytest.skip("Windows can't fork")
    command = [sys.executable, "-c", textwrap.dedent(WORKS), str(tmp_path_factory.mktemp("left") / "pid")]
    # "-c" finds modules in its own folder.
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_each_end_has_its_name(outcomes):
    assert outcomes == {
        "right": "right",
        "refused": "refused",
        "two lines": "raw error",
        "exception": "raw error",
        "exit": "crash",
        "crash": "crash",
        "own loop": "hang",
        "another's loop": "hang",
        "own memory": "memory",
        "another's memory": "memory",
        "left behind": "right",
    }
