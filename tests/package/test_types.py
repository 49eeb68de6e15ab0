"""The declared types hold. A test, because the checker uses one core: beside other tests it costs half the time."""

import subprocess
import sys

from tests.shared_reference import ROOT


def test_the_declared_types_hold():
    command = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert checked.returncode == 0, checked.stdout + checked.stderr
