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
from latentsync_core.sampling.windows import (
    Window,
    WindowBlender,
    cross_fade,
    next_starts,
    part_ranges,
    plan_windows,
)

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


def blended(windows: list[Window], value_of: dict[Window, float]) -> list[tuple[int, float]]:
    """The frames that come out of a blender, in its order, where every window holds one value throughout."""
    blender = WindowBlender()
    found = []
    for window, next_start in zip(windows, next_starts(windows), strict=True):
        latents = torch.full((len(window.frames), 1), value_of[window])
        found += [(frame, latent.item()) for frame, latent in blender.add(window, latents, next_start)]
    return found


def test_frames_before_the_next_window_are_finished_and_the_last_windows_all():
    assert next_starts([Window(0, 16), Window(12, 28), Window(30, 40)]) == [12, 30, 40]
    assert next_starts([Window(3, 9)]) == [9]
    assert next_starts([]) == []


@given(st.integers(1, 120), options)
def test_every_frame_comes_out_of_the_blender_once_and_in_order(length, options):
    windows = plan_windows(np.ones(length, dtype=bool), options)
    found = blended(windows, dict.fromkeys(windows, 7.0))
    assert [frame for frame, _ in found] == list(range(length))
    assert all(value == pytest.approx(7.0) for _, value in found)


def test_frames_that_two_windows_share_go_evenly_from_one_to_the_other():
    first, second = Window(0, 6), Window(3, 9)
    found = dict(blended([first, second], {first: 0.0, second: 1.0}))
    assert [found[frame] for frame in range(9)] == pytest.approx([0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1])


def test_frames_are_handed_out_as_soon_as_no_later_window_shares_them():
    blender = WindowBlender()
    assert [frame for frame, _ in blender.add(Window(0, 6), torch.zeros(6, 1), next_start=4)] == [0, 1, 2, 3]
    assert [frame for frame, _ in blender.add(Window(4, 10), torch.zeros(6, 1), next_start=10)] == [4, 5, 6, 7, 8, 9]


def test_windows_after_a_gap_are_not_blended_with_those_before():
    first, second = Window(0, 4), Window(6, 9)
    found = blended([first, second], {first: 1.0, second: 2.0})
    assert found == [(0, 1), (1, 1), (2, 1), (3, 1), (6, 2), (7, 2), (8, 2)]


faces = st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=8).map(
    lambda runs: np.repeat([present for _, present in runs], [length for length, _ in runs]).astype(bool)
)


@given(st.lists(faces, min_size=1, max_size=2), options, st.integers(1, 30))
def test_parts_hold_every_frame_of_a_window_once_and_are_bounded(speakers, options, target):
    frames = max(map(len, speakers))
    windows = [plan_windows(present, options) for present in speakers]
    ranges = part_ranges(windows, frames, target)
    for (_, stop), (start, _) in pairwise(ranges):
        assert stop <= start
    assert all(0 < stop - start <= 2 * target for start, stop in ranges)
    held = np.zeros(frames, dtype=int)
    for start, stop in ranges:
        held[start:stop] += 1
    for window in (one for each in windows for one in each):
        assert (held[window.start : window.stop] == 1).all()


def test_parts_end_between_windows_where_they_can_and_in_one_where_they_overlap():
    take = np.ones(160, dtype=bool)
    apart, overlapping = WindowOptions(16, 0), WindowOptions(16, 4)
    assert part_ranges([plan_windows(take, apart)], 160, 40) == [(0, 48), (48, 96), (96, 160)]
    assert part_ranges([plan_windows(take, overlapping)], 160, 40) == [(0, 80), (80, 160)]
    assert part_ranges([[Window(100, 116)]], 160, 20) == [(100, 120)]
    assert part_ranges([[]], 160, 40) == []
