"""Frames read ahead are the clip's; what goes wrong is told where they are asked for; nothing runs on afterwards."""

import threading

import numpy as np
import pytest
import torch

from latentsync_core.errors import VideoError
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.read_ahead import prefetch_frames
from latentsync_core.video.reading.reader import FrameReader
from tests import astronaut
from tests.clips import make_clip


def _reading():
    return [thread for thread in threading.enumerate() if thread.name == "frames ahead"]


@pytest.fixture
def clip(tmp_path):
    return probe(make_clip(tmp_path / "clip.mp4", frames=12))


def test_they_are_the_readers_frames_in_order(clip):
    with FrameReader(clip) as expected:
        for frame, same in zip(prefetch_frames(clip), expected, strict=True):
            assert frame.index == same.index
            assert all(np.array_equal(one, other) for one, other in zip(frame.planes, same.planes, strict=True))
    assert not _reading()


def test_an_in_memory_clip_is_read_as_well():
    images = torch.rand(3, 4, 5, 3)
    frames = list(prefetch_frames(astronaut.clip_of(images)))
    assert all(np.array_equal(frame.planes[0], image) for frame, image in zip(frames, images.numpy(), strict=True))


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_closing_early_ends_the_thread_and_lets_go_of_the_file(clip, taken):
    frames = prefetch_frames(clip)
    for _ in range(taken):
        next(frames)
    frames.close()
    assert not _reading()
    clip.identity.path.rename(clip.identity.path.with_suffix(".moved"))


def test_a_damaged_file_is_told_after_its_last_good_frame(clip):
    short = clip.subclip(0, 12)
    object.__setattr__(short, "frame_count", 14)
    object.__setattr__(short, "pts", np.append(clip.pts, clip.pts[-1] + [512, 1024]))
    frames = prefetch_frames(short)
    assert [next(frames).index for _ in range(12)] == list(range(12))
    with pytest.raises(VideoError, match="12 of 14"):
        next(frames)
    assert not _reading()
