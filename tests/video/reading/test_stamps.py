"""Stamps that are missing, equal or run backwards are mended; sound ones are left as they are."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentsync_core.video.reading.listing.stamps import mend_stamps

MILLISECOND = Fraction(1, 1000)
STAMPS = st.one_of(st.none(), st.integers(-(10**6), 10**6), st.integers(-(1 << 63), (1 << 63) - 1))


def mended(found, restarts=False):
    stamps = mend_stamps(found, MILLISECOND, Fraction(25), restarts)
    return [float(value * stamps.time_base * 1000) for value in stamps.pts.tolist()], [str(one) for one in stamps.notes]


@pytest.mark.parametrize(
    ("found", "expected", "note"),
    [
        ([0, 40, 80, 120], [0, 40, 80, 120], None),
        ([5, 40, 90, 120], [5, 40, 90, 120], None),
        ([0, 40, 40, 120], [0, 40, 41, 120], "Frame 2 has no later time"),
        ([0, 40, 40, 41], [0, 40, 40.5, 41], "Frame 2 has"),
        ([0, 1, 2, 2, 2, 3, 4, 4], [0, 1, 2, 2 + 1 / 3, 2 + 2 / 3, 3, 4, 4 + 1 / 3], "3 frames, from frame 3 on"),
        ([0, 40, 80, 50, 160, 200], [0, 40, 80, 81, 160, 200], "Frame 3 has"),
        ([2000, 2040, 0, 2120, 2160], [2000, 2040, 2041, 2120, 2160], "Frame 2 has"),
        ([None, None, 80, 120], [0, 40, 80, 120], "no time for 2 frames, from frame 0 on"),
        ([0, None, 80, None], [0, 40, 80, 160], "no time for 2 frames, from frame 1 on"),
        ([0, 40, None, None, 160], [0, 40, 80, 120, 160], "at 25 frames a second"),
        ([None, None, None], [0, 40, 80], "no times of its frames"),
        ([100, 140, 180, 0, 40, 80], [100, 140, 180, 220, 260, 300], "clock jumps at frame 3"),
        ([100, 140, 0, 40, 80, 0, 40], [100, 140, 180, 220, 260, 300, 340], "jumps at frame 2, and 1 more times"),
    ],
)
def test_frames_keep_their_order_and_rise(found, expected, note):
    times, notes = mended(found)
    assert times == pytest.approx(expected)
    assert len(notes) == bool(note)
    assert not note or note in notes[0]


def test_a_long_pause_is_a_jump_of_the_clock_in_recordings_alone():
    found = [0, 40, 80, 90_000, 90_040]
    assert mended(found)[0] == found
    assert mended(found, restarts=True)[0] == [0, 40, 80, 120, 160]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(st.none(), st.integers(-(10**6), 10**6), st.integers(-(1 << 63), (1 << 63) - 1)),
        min_size=1,
        max_size=40,
    ),
    st.booleans(),
)
def test_whatever_a_file_says_the_stamps_rise(found, restarts):
    stamps = mend_stamps(found, MILLISECOND, Fraction(25), restarts)
    assert len(stamps.pts) == len(found)
    assert (np.diff(stamps.pts) > 0).all()
    assert stamps.time_base > 0
