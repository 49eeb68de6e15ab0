"""Scratch folders go with their users; a sweep removes what killed processes left, if it is old and surely ours."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from latentsync_core.cli.commands import main
from latentsync_core.files.scratch import (
    LOCK_NAME,
    PREFIX,
    STALE_SECONDS,
    ScratchFolder,
    atomic_write,
    remove_stale_scratch,
)
from latentsync_core.sample_scene import VOICE
from tests.shared_reference import ROOT

HOLD_ONE = """
import sys
from pathlib import Path
from latentsync_core.files.scratch import ScratchFolder
folder = ScratchFolder(Path(sys.argv[1]))
(folder.path / "part.mkv").write_bytes(b"half of a film")
print(folder.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _own_temporary(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))


@pytest.fixture
def held(tmp_path):
    """A process that has a scratch folder in `tmp_path`, and that folder."""
    command = [sys.executable, "-c", HOLD_ONE, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process, Path(process.stdout.readline().strip())
        process.kill()


@pytest.fixture
def left(held):
    """The scratch folder of a process that was killed long ago."""
    process, folder = held
    process.kill()
    process.wait()
    age(folder)
    return folder


def age(folder: Path, seconds: float = STALE_SECONDS + 60) -> None:
    """Sets back when a folder and all in it were changed."""
    when = time.time() - seconds
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (when, when), follow_symlinks=False)


def test_a_scratch_folder_goes_when_closed_and_when_nothing_refers_to_it(tmp_path):
    with ScratchFolder(tmp_path) as folder:
        (folder / "below").mkdir()
        (folder / "below" / "file").write_text("x")
    assert not folder.exists()
    forgotten = ScratchFolder()
    folder = forgotten.path
    assert folder.parent == Path(tempfile.gettempdir())
    del forgotten
    gc.collect()
    assert not folder.exists()


def test_a_scratch_folder_that_ctrl_c_interrupts_as_it_is_made_goes(tmp_path, monkeypatch):
    make = Path.mkdir

    def interrupted(folder: Path, *args, **kwargs) -> None:
        make(folder, *args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "mkdir", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ScratchFolder(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_folder_s_links_are_removed_and_not_followed(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "film").write_text("x")
    with ScratchFolder(tmp_path) as folder:
        (folder / "link").symlink_to(tmp_path / "mine", target_is_directory=True)
    assert not folder.exists()
    assert (tmp_path / "mine" / "film").read_text() == "x"


@pytest.mark.parametrize("name", ["a.wav", "x" * 240 + ".wav", "no suffix"])
def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, name):
    target = tmp_path / name
    target.write_text("before")

    def fail() -> None:  # as Ctrl-C would
        with atomic_write(target) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_text() == "before"
    with atomic_write(target) as partial:
        partial.write_text("whole")
        assert target.read_text() == "before"
    assert target.read_text() == "whole"
    assert os.listdir(tmp_path) == [name]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_what_comes_out_of_a_scratch_folder_is_as_open_to_others_as_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("x")
    with atomic_write(tmp_path / "made") as partial:
        partial.write_text("x")
    assert (tmp_path / "made").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_an_old_folder_of_a_killed_process_is_removed(left, tmp_path):
    remove_stale_scratch(tmp_path)
    assert not left.exists()


def test_the_folder_for_temporary_files_is_swept_too(left):
    moved = left.rename(Path(tempfile.gettempdir(), left.name))
    remove_stale_scratch(None)
    assert not moved.exists()


def test_what_changed_within_a_day_stays(left, tmp_path):
    os.utime(left / "part.mkv")  # the newest of it counts
    remove_stale_scratch(tmp_path)
    assert (left / "part.mkv").exists()


def test_what_a_living_process_uses_stays_however_old_it_is(held, tmp_path):
    process, folder = held
    own = ScratchFolder(tmp_path)
    age(folder)
    age(own.path)
    remove_stale_scratch(tmp_path)
    assert own.path.exists(), "this very process is alive"
    assert (folder / "part.mkv").exists()
    process.stdin.close()  # it ends as it should
    process.wait()
    assert not folder.exists()


def test_one_that_was_killed_before_it_was_locked_goes_if_it_is_empty(tmp_path):
    empty, full = (tmp_path / f"{PREFIX}{digit * 16}" for digit in "01")
    for folder in (empty, full):
        folder.mkdir()
    (full / "film.mkv").write_text("on a file system without locks, perhaps in use")
    age(empty)
    age(full)
    remove_stale_scratch(tmp_path)
    assert not empty.exists()
    assert (full / "film.mkv").exists()


def test_names_that_are_almost_ours_stay(left, tmp_path):
    names = [left.name + "0", left.name[:-1], left.name.upper(), "x" + left.name, left.name[1:], f"{PREFIX}{'g' * 16}"]
    names += [".out.0123abcd.part.mkv", "latentsync_dub_x", PREFIX]
    for name in dict.fromkeys(names):
        (tmp_path / name).mkdir()
        (tmp_path / name / LOCK_NAME).touch()
        age(tmp_path / name)
    file = tmp_path / f"{PREFIX}{'a' * 16}"
    file.write_text("a file, no folder")
    os.utime(file, (0, 0))
    remove_stale_scratch(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([*dict.fromkeys(names), file.name])


def test_links_stay_and_lead_nowhere(left, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    target = left.rename(elsewhere / "film")  # all of it like ours, but reached through a link
    link = tmp_path / left.name
    link.symlink_to(target, target_is_directory=True)
    locked_by_link = tmp_path / f"{PREFIX}{'b' * 16}"
    locked_by_link.mkdir()
    (locked_by_link / LOCK_NAME).symlink_to(target / LOCK_NAME)
    age(locked_by_link)
    remove_stale_scratch(tmp_path)
    assert link.is_symlink()
    assert (target / "part.mkv").exists()
    assert (locked_by_link / LOCK_NAME).is_symlink()


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root can make another user's folder")
def test_another_user_s_folder_stays(left, tmp_path):
    os.chown(left, 12345, 12345)
    remove_stale_scratch(tmp_path)
    assert (left / "part.mkv").exists()


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_passed_over(left, tmp_path):
    tmp_path.chmod(0o300)
    try:
        remove_stale_scratch(tmp_path)
    finally:
        tmp_path.chmod(0o700)
    assert (left / "part.mkv").exists()


def test_a_folder_that_is_not_there_or_cannot_be_is_passed_over(left, tmp_path):
    remove_stale_scratch(tmp_path / "no such folder", VOICE, Path("nul\0"), tmp_path)
    assert not left.exists(), "the others are swept all the same"


def test_a_command_sweeps_the_output_folder_before_anything_else(left, tmp_path, capsys):
    assert main(["sync", "--video", "no_such.mp4", "--audio", str(VOICE), "--out", str(tmp_path / "out.mp4")]) == 2
    assert "no_such.mp4" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_engine_and_nodes_make_temporary_folders_and_files_nowhere_else():
    maker = re.compile(r"\b(mkdtemp|mkstemp|mktemp|TemporaryDirectory|NamedTemporaryFile)\b")
    sources = [path for folder in ("latentsync_core", "nodes") for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 50
    assert [path.name for path in sources if maker.search(path.read_text("utf-8"))] == []
