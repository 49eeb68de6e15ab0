"""How the gate runs: in two workers of one thread each, one with the tests of ComfyUI, the other one with the rest, the
longest files first, and with some of ComfyUI's at last; what they say of a ComfyUI goes into the summary."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch comes: two workers' threads would wait for each other

# Where oneDNN may use units for bfloat16, precision "auto" takes it, and numbers would depend on the processor.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")

# What tests take is not what a user's jobs on this machine take.
os.environ["LATENTSYNC_CACHE"] = tempfile.mkdtemp(prefix="latentsync-dub-tests-")

import pytest

from tests.comfyui.harness.shared_server import summary_lines

# Files that take longest, by name: begun last, one of them would leave the other worker idle. The rest are in order.
LONGEST = (
    "fuzz/test_fuzz.py", "models/test_weights.py", "cli/test_main_job.py", "pipeline/test_killed_job.py",
    "package/test_types.py", "video/test_video.py", "training/test_unet.py", "models/test_nano.py",
    "pipeline/test_job.py", "parity/test_pipeline.py", "training/test_film.py", "training/test_stage2.py",
    "audio/test_clip_audio.py", "sampling/test_closed_references.py", "package/test_installation.py",
    "package/test_wheel.py",
)  # fmt: skip
TESTS = Path(__file__).parent
SERVED = ("tests/browser/", "tests/comfyui/")  # one server, one open page, and one worker for them all
# But for these, which come last, for whichever worker is free: the other one starts a server of its own for them.
SERVED_LAST = ("tests/comfyui/test_graph.py", "tests/comfyui/test_untrusted_values.py")

_LINES = pytest.StashKey[list[str]]()  # of the workers' summaries


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's job in the background; children would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config.option, "loadscopereorder"):  # pytest-xdist's order: files with many tests first
        config.option.loadscopereorder = False


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object | None:
    """`--dist loadfile`, but for the files of `SERVED`, which go to one worker: a second server from the start would
    take the other worker's time as long as it is there, and an open page draws all the time."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class OneWorkerForTheServer(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            served_first = nodeid.startswith(SERVED) and not nodeid.startswith(SERVED_LAST)
            return "served" if served_first else super()._split_scope(nodeid)

    return OneWorkerForTheServer(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {TESTS / name: place for place, name in enumerate(LONGEST)}

    def place(item: pytest.Item) -> int:
        if item.nodeid.startswith(SERVED_LAST):
            return len(rank) + 1
        return -1 if item.nodeid.startswith(SERVED) else rank.get(item.path, len(rank))

    items.sort(key=place)


def pytest_collection_finish() -> None:
    gc.freeze()  # modules and tests stay: each collection of garbage would look through all of them


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["lines"] = summary_lines(session.config)
    shutil.rmtree(os.environ["LATENTSYNC_CACHE"], ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    node.config.stash.setdefault(_LINES, []).extend(getattr(node, "workeroutput", {}).get("lines", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in [*config.stash.get(_LINES, []), *summary_lines(config)]:
        terminalreporter.write_line(line, bold=True)
