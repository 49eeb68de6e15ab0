"""Mel windows of a stretch of a recording are those of the whole, whatever is held of it."""

from __future__ import annotations

import pytest
import torch

from latentsync_core.evaluation.sync_mel import mel_windows, sync_mel
from latentsync_core.speakers.sliding_mel import SAMPLES_PER_FRAME, SlidingMel

FRAMES, BEHIND = 16, 12


def blocks(sound: torch.Tensor, size: int):
    yield from sound.split(size)


@pytest.mark.parametrize("size", [1000, 16000, 10**6])
def test_windows_are_those_of_the_whole_recording(size):
    sound = torch.randn(20 * 16000, generator=torch.Generator().manual_seed(1)) * 0.1
    mel, sliding = sync_mel(sound), SlidingMel(blocks(sound, size), FRAMES, BEHIND)
    for starts in ([-5, 0, 3], [1, 2, 20], [40, 41, 52], [101], [300, 333], [480, 495, 520]):
        torch.testing.assert_close(sliding.windows(starts), mel_windows(mel, starts, FRAMES))


def test_a_long_recording_is_not_held():
    read = []

    def long():
        for number in range(600):
            read.append(number)
            yield torch.zeros(16000)

    sliding = SlidingMel(long(), FRAMES, BEHIND)
    for start in range(0, 10_000, 50):
        sliding.windows([start, start + 4])
        assert len(sliding._held) < (4 * 25 + BEHIND) * SAMPLES_PER_FRAME
    assert len(read) < 410


def test_beyond_the_end_is_silence():
    sliding = SlidingMel(blocks(torch.randn(16000), 500), FRAMES, BEHIND)
    assert (sliding.windows([200]) == -4).all()
