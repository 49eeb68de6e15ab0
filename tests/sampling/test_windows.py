"""Window plans cover every frame with a face, never span a gap, and join without a seam."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from latentsync_core.errors import OptionError
from latentsync_core.sampling.sampler_options import WindowOptions
from latentsync_core.sampling.windows import Window, cross_fade, plan_windows

options = st.integers(1, 24).flatmap(
    lambda frames: st.builds(WindowOptions, st.just(frames), st.integers(0, frames // 2), st.booleans())
)


@given(st.lists(st.booleans(), max_size=120).map(np.array), options)
def test_every_face_is_drawn_and_no_gap_is_spanned(present, options):
    present = present.astype(bool)
    drawn = np.zeros(len(present), dtype=int)
    for window in plan_windows(present, options):
        assert present[window.start : window.stop].all()
        assert 1 <= len(window.frames) <= options.frames
        drawn[window.start : window.stop] += 1
    assert ((drawn > 0) == present).all()


@given(st.integers(1, 200), options)
def test_windows_come_in_order_and_neighbours_share_the_overlap(length, options):
    windows = plan_windows(np.ones(length, dtype=bool), options)
    for earlier, later in pairwise(windows):
        assert earlier.start < later.start
        assert earlier.stop - later.start >= options.overlap
        assert earlier.stop < later.stop


def test_a_last_window_is_shifted_back_to_full_length():
    assert plan_windows(np.ones(20, bool), WindowOptions()) == [Window(0, 16), Window(4, 20)]


def test_as_the_reference_the_last_window_is_just_shorter():
    assert plan_windows(np.ones(20, bool), WindowOptions(full_last=False)) == [Window(0, 16), Window(16, 20)]


def test_overlapped_windows_step_by_what_they_do_not_share():
    windows = plan_windows(np.ones(40, bool), WindowOptions(overlap=4))
    assert windows == [Window(0, 16), Window(12, 28), Window(24, 40)]


def test_a_cross_fade_goes_evenly_from_one_draw_to_the_other():
    faded = cross_fade(torch.zeros(3, 2), torch.ones(3, 2))
    torch.testing.assert_close(faded[:, 0], torch.tensor([0.25, 0.5, 0.75]))


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"frames": 25}, {"overlap": 9}, {"overlap": -1}])
def test_impossible_windows_are_refused_with_the_value(wrong):
    with pytest.raises(OptionError, match=str(next(iter(wrong.values())))):
        WindowOptions(**wrong)
