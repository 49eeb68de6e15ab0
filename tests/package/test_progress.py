"""The meter of kinds of work: what is within other work counts once, and what fails doesn't count."""

from __future__ import annotations

import pytest

from latentsync_core.progress import WorkMeter


class Clock:
    """A clock that stands still until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_work_within_other_work_counts_once(clock):
    meter = WorkMeter(clock)
    with meter.measure("paste", 1):
        clock.now += 2
        with meter.measure("decode", 8):
            clock.now += 5
        clock.now += 1
    with meter.measure("decode", 4):
        clock.now += 3
    assert meter.seconds == {"paste": 3.0, "decode": 8.0}
    assert meter.amounts == {"paste": 1, "decode": 12}


def test_items_are_measured_as_they_come_and_not_while_they_are_used(clock):
    def items():
        for number in range(3):
            clock.now += 2
            yield number
        clock.now += 1

    meter = WorkMeter(clock)
    for _ in meter.each("paste", items()):
        clock.now += 10
    assert meter.seconds == {"paste": 7.0}
    assert meter.amounts["paste"] == 3


def test_work_that_fails_is_not_counted_but_its_time_is_not_its_surroundings_either(clock):
    meter = WorkMeter(clock)

    def fail() -> None:
        with meter.measure("decode", 2):
            clock.now += 50
            raise ValueError("memory")

    with meter.measure("denoise", 16):
        clock.now += 1
        with pytest.raises(ValueError, match="memory"):
            fail()
    assert meter.seconds == {"denoise": 1.0}
    assert meter.amounts == {"denoise": 16}
