"""Frames come in any order asked for, each the caller's own."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from latentsync_core.imaging.roi import Roi
from latentsync_core.video.reading.frame_sequence import FrameSequence
from latentsync_core.video.reading.probing import clip_from_images

ORDERS = {
    "forwards": list(range(100)),
    "with gaps": [3, 4, 50, 99],
    "held": [0, 1, 2, 2, 2, 2],
    "ping-pong": [*range(20), *range(19, -1, -1), *range(20)],
    "any": [5, 3, 3, 9, 1, 1, 0, 99, 98],
    "one": [7],
    "none": [],
}


@pytest.fixture(scope="module")
def clip():
    levels = torch.arange(100).view(100, 1, 1, 1) / 100
    return clip_from_images(levels.expand(100, 4, 4, 3).contiguous(), Fraction(25))


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS.keys())
def test_frames_come_in_the_order_asked_for(clip, order):
    with FrameSequence(clip) as sequence:
        shown = [round(frame.rgb()[0, 0, 0].item() * 100) for frame in sequence.frames(order)]
    assert shown == order


def test_changing_a_frame_changes_no_other(clip):
    whole, alpha = Roi(0, 0, 4, 4), torch.ones(4, 4)
    order = [4, 4, 3, 3, 2]
    with FrameSequence(clip) as sequence:
        for frame, expected in zip(sequence.frames(order), order, strict=True):
            torch.testing.assert_close(frame.rgb(), torch.full((3, 4, 4), expected / 100))
            frame.paste(whole, torch.ones(3, 4, 4), alpha)
    assert clip.images[4].max() == pytest.approx(0.04)
