"""A job killed with SIGKILL again and again ends, once it is let be, in the very bytes of an undisturbed one."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from latentsync_core.errors import VideoError
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.sample_scene import SCENE, VOICE
from latentsync_core.sampling.quality import STEPS_OF_QUALITY
from latentsync_core.sampling.sampler_options import Quality
from tests.clips import LOSSLESS
from tests.killable_job import FRAMES, STEPS, WINDOWS, Folders, run_job

MUXING = ("compositing", FRAMES)  # the last frame is with ffmpeg, which ends the file now
DRAFT_STEPS = STEPS_OF_QUALITY[Quality.DRAFT]["steps"]
FEW_FRAMES = 12  # of two windows
FEW = (  # one of each kind
    ("faces", 9), ("sampling", DRAFT_STEPS + 1), ("compositing", 8), ("compositing", FEW_FRAMES),
)  # fmt: skip
TWENTY = (
    *(("faces", frame) for frame in (1, 6, FRAMES)),
    ("voice", 1),
    *(("sampling", step) for step in range(1, STEPS * WINDOWS + 1)),
    *(("compositing", frame) for frame in (1, 3, 5, 7, 9, 12, FRAMES - 1)),
    *[MUXING] * 3,
)
TWO_DAYS = 48 * 3600


def drawn(folders: Folders) -> int:
    """How many frames an interrupted job has finished faces of."""
    return sum(sum(path.read_bytes()) for path in folders.work.glob("*.finished"))


def set_back(path: Path, seconds: float) -> None:
    """Makes a file or folder, and all in it, older."""
    when = time.time() - seconds
    for one in (*path.rglob("*"), path):
        os.utime(one, (when, when))


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """The beginning of the carried scene at half its size."""
    half = tmp_path_factory.mktemp("clip") / "half.mkv"
    args = ["-i", str(SCENE), "-vf", "scale=iw/2:ih/2", "-frames:v", str(FRAMES), "-an", *LOSSLESS, str(half)]
    run_ffmpeg(args, error=VideoError, what="making a test clip")
    return half


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize(
    ("moments", "frames", "quality"),
    [(FEW, FEW_FRAMES, Quality.DRAFT), pytest.param(TWENTY, FRAMES, Quality.CUSTOM, marks=pytest.mark.slow)],
    ids=["few", "twenty"],
)
def test_a_job_killed_again_and_again_ends_in_the_same_bytes_and_leaves_nothing(
    clip, tmp_path, moments, frames, quality
):
    """Quick: test_a_resumed_job_keeps_the_frames_that_two_windows_were_blended_in, without a process to kill."""
    undisturbed, folders = Folders.below(tmp_path / "undisturbed"), Folders.below(tmp_path / "killed")
    job = {"frames": frames, "quality": quality, "clip": clip}
    assert run_job(undisturbed, **job) == 0
    assert not undisturbed.leftovers()
    unaugmented = undisturbed.result.read_bytes()
    finished = []
    for moment in moments:
        code = run_job(folders, kill_at=moment, **job)
        finished.append(drawn(folders))
        assert code == -signal.SIGKILL or moment == moments[-1], moment
        assert not folders.result.exists() or folders.result.read_bytes() == unaugmented, "half a file is none"
    assert finished == sorted(finished), "nothing that was finished is lost"
    assert len(set(finished)) > 2, "some kills hit between the first face that was finished and the last"

    left = folders.leftovers()
    print(f"{len(moments)} kills left {len(left)} folders")
    assert len(left) >= sum(phase == "compositing" for phase, _ in moments[:-1])
    assert run_job(folders, **job) == 0
    assert folders.result.read_bytes() == unaugmented
    assert set(folders.leftovers()) == set(left), "what is a few minutes old may still be in use"

    for path in left:
        set_back(path, TWO_DAYS)
    assert run_job(folders, **job) == 0
    assert folders.result.read_bytes() == unaugmented
    assert not folders.leftovers()


def twice(path: Path, folder: Path) -> Path:
    """A clip or sound that is followed by itself."""
    doubled = folder / path.name
    args = ["-stream_loop", "1", "-i", str(path), "-c", "copy", str(doubled)]
    run_ffmpeg(args, error=VideoError, what="doubling a test file")
    return doubled


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize(
    ("quality", "frames", "windows"),  # the windows after which it is killed
    [
        (Quality.DRAFT, FRAMES, (1, 2)),
        *(pytest.param(quality, 250, (15, 40), id=f"{quality.value} 10 s") for quality in STEPS_OF_QUALITY),
    ],
)
def test_a_job_killed_between_steps_of_a_quality_ends_in_the_same_bytes(clip, tmp_path, quality, frames, windows):
    """Quick: test_a_job_killed_again_and_again_ends_in_the_same_bytes_and_leaves_nothing, which takes a quality too."""
    undisturbed, folders = Folders.below(tmp_path / "undisturbed"), Folders.below(tmp_path / "killed")
    files = [twice(path, tmp_path) for path in (SCENE, VOICE)] if frames > FRAMES else [clip, VOICE]
    assert run_job(undisturbed, None, frames, quality, *files) == 0
    finished = [0]
    for count in windows:
        kill_at = ("sampling", count * STEPS_OF_QUALITY[quality]["steps"] + 1)
        assert run_job(folders, kill_at, frames, quality, *files) == -signal.SIGKILL
        finished.append(drawn(folders))
    assert finished[0] < finished[1] < finished[2] < frames
    assert run_job(folders, None, frames, quality, *files) == 0
    assert folders.result.read_bytes() == undisturbed.result.read_bytes()
