"""A phase's progress in words: what is done, and how long the rest takes at the pace so far."""

from __future__ import annotations

import pytest

from latentsync_core.phases import Phase, PhaseText, phase_words, rounded_time, time_left


class Clock:
    """A clock that stands still until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_line_counts_frames_and_estimates_the_rest_from_the_pace(clock):
    text = PhaseText(Phase.FACES, 480, clock)
    assert text.line(0, 1000) == "Finding faces: 0 of 480 frames"
    clock.now += 40
    assert text.line(250, 1000) == "Finding faces: 120 of 480 frames, about 2 min left"
    clock.now += 110
    assert text.line(960, 1000) == "Finding faces: 460 of 480 frames, about 10 s left"
    assert text.line(1000, 1000) == "Finding faces: 480 of 480 frames"


def test_a_phase_without_frames_counts_percent(clock):
    text = PhaseText(Phase.DOWNLOAD, clock=clock)
    text.line(0, 5_000_000_000)
    clock.now += 100
    assert text.line(500_000_000, 5_000_000_000) == "Downloading: 10 %, about 15 min left"


def test_the_pace_counts_from_where_a_resumed_phase_began(clock):
    text = PhaseText(Phase.SAMPLING, 100, clock)
    text.line(80, 100)
    clock.now += 30
    assert text.line(90, 100) == "Generating mouths: 90 of 100 frames, about 30 s left"


@pytest.mark.parametrize(("seconds", "done"), [(2, 50), (1000, 0), (1000, 0.5)])
def test_no_time_is_named_before_the_pace_is_known(clock, seconds, done):
    text = PhaseText(Phase.VOICE, clock=clock)
    text.line(0, 100)
    clock.now += seconds
    assert text.line(done, 100) == f"Analysing the voice: {int(done)} %"


def test_an_expected_time_is_named_at_once_and_gives_way_to_the_pace(clock):
    text = PhaseText(Phase.SAMPLING, 100, clock, expected=200.0, after=40.0)
    assert text.line(0, 100) == "Generating mouths: 0 of 100 frames, about 4 min left, 4 min with what follows"
    clock.now += 5  # twice as fast as expected
    assert text.line(5, 100) == "Generating mouths: 5 of 100 frames, about 3 min left, 4 min with what follows"
    clock.now += 45
    assert text.line(50, 100) == "Generating mouths: 50 of 100 frames, about 50 s left, 2 min with what follows"
    assert text.line(100, 100) == "Generating mouths: 100 of 100 frames"


def test_what_is_expected_of_a_resumed_phase_is_its_rest(clock):
    assert time_left(0.9, 0.0, 0.0, 200.0) == pytest.approx(20.0)
    assert time_left(0.9, 0.0, 0.0, None) is None


@pytest.mark.parametrize(("done", "total"), [(0, 0), (-1, 10), (11, 10), (1, 0)])
def test_odd_reports_stay_between_nothing_and_all(clock, done, total):
    line = PhaseText(Phase.FACES, 10, clock).line(done, total)
    assert line in ("Finding faces: 0 of 10 frames", "Finding faces: 10 of 10 frames")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "5 s"), (5, "5 s"), (12, "15 s"), (55, "55 s"), (56, "1 min"), (61, "2 min"), (3540, "59 min"),
        (3541, "1 h"), (3601, "1 h 10 min"), (7200, "2 h"),
    ],
)  # fmt: skip
def test_a_time_is_rounded_up(seconds, words):
    assert rounded_time(seconds) == words


def test_the_command_line_has_the_same_words_and_leaves_other_names_alone():
    assert phase_words("faces") == Phase.FACES.value
    assert phase_words("download 2") == "download 2"
