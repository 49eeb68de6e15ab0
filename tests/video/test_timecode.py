"""Timecodes count on by frames as SMPTE ST 12-1 has them, also over hours of drop-frame ones."""

from fractions import Fraction

import pytest

from latentsync_core.video.timecode import timecode_after

NTSC, NTSC_60 = Fraction(30000, 1001), Fraction(60000, 1001)


@pytest.mark.parametrize(
    ("timecode", "frames", "fps", "expected"),
    [
        ("01:02:03:04", 100, Fraction(25), "01:02:07:04"),
        ("10:00:00:00", 2 * 3600 * 25, Fraction(25), "12:00:00:00"),
        ("01:00:00:00", 100, Fraction(24000, 1001), "01:00:04:04"),
        ("00:00:59:23", 1, Fraction(24), "00:01:00:00"),
        ("00:00:59:29", 1, NTSC, "00:01:00:00"),  # non-drop skips nothing
        ("00:00:59;29", 1, NTSC, "00:01:00;02"),
        ("00:09:59;29", 1, NTSC, "00:10:00;00"),
        ("00:00:00;00", 17_982, NTSC, "00:10:00;00"),
        ("00:00:00;00", 107_892, NTSC, "01:00:00;00"),
        ("00:00:00;00", 2 * 107_892, NTSC, "02:00:00;00"),
        ("01:00:00.00", 1_800, NTSC, "01:01:00.02"),
        ("00:00:59;59", 1, NTSC_60, "00:01:00;04"),
        ("00:00:00;00", 2 * 215_784, NTSC_60, "02:00:00;00"),
        ("23:59:59;29", 1, NTSC, "00:00:00;00"),
        ("23:59:59:24", 2, Fraction(25), "00:00:00:01"),
        ("00:00:00:99", 1, Fraction(120), "00:00:00:100"),
    ],
)
def test_timecodes_count_on(timecode, frames, fps, expected):
    assert timecode_after(timecode, frames, fps) == expected


@pytest.mark.parametrize(("fps", "nominal", "skipped"), [(NTSC, 30, 2), (NTSC_60, 60, 4)])
def test_two_hours_of_drop_frame_skip_the_first_numbers_of_each_minute_but_every_tenth(fps, nominal, skipped):
    start, number = "00:00:00;00", 0
    for minute in range(121):
        clock, first = f"{minute // 60:02}:{minute % 60:02}", skipped if minute % 10 else 0
        assert timecode_after(start, number, fps) == f"{clock}:00;{first:02}"
        number += 60 * nominal - first  # the minute's frames
        assert timecode_after(start, number - 1, fps) == f"{clock}:59;{nominal - 1}"
        assert timecode_after(f"{clock}:59;{nominal - 1}", 1, fps) == timecode_after(start, number, fps)


@pytest.mark.parametrize(
    ("timecode", "fps"),
    [
        ("01:00:00;00", Fraction(25)),  # there is no drop-frame of 25
        ("01:00:00;00", Fraction(24000, 1001)),
        ("01:00:00:25", Fraction(25)),
        ("24:00:00:00", Fraction(25)),
        ("1:0:0:0", Fraction(25)),
        ("01:00:00:00\n", Fraction(1, 10)),
        ("", Fraction(25)),
    ],
)
def test_what_is_no_timecode_of_a_rate_has_no_successor(timecode, fps):
    assert timecode_after(timecode, 0, fps) is None
