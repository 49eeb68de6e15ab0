"""Signals come back from the work folder as they were, and only those of the same faces and sound."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from latentsync_core.errors import OutputError
from latentsync_core.speakers.kept_signals import read_signals, write_signals
from latentsync_core.speakers.signals import SpeakerSignals, TrackSignals

RNG = np.random.default_rng(4)


@pytest.fixture
def signals() -> SpeakerSignals:
    def track(start: int, length: int, steps: list[int]) -> TrackSignals:
        opening = RNG.random(length).astype(np.float32)
        return TrackSignals(start, opening, np.array(steps, np.int64), RNG.random((len(steps), 3)).astype(np.float32))

    level = RNG.random(40).astype(np.float32)
    return SpeakerSignals(np.arange(40) // 2, level, level > 0.5, (track(0, 30, [0, 10]), track(5, 9, [])))


def test_they_come_back_as_they_were(signals, tmp_path):
    path = tmp_path / "new" / "kept.npz"
    write_signals(signals, path)
    found = read_signals(path, 2, 20)
    for name in ("frames", "level", "speech"):
        assert np.array_equal(getattr(found, name), getattr(signals, name))
    for one, other in zip(found.tracks, signals.tracks, strict=True):
        assert one.start == other.start
        for name in ("opening", "sync_steps", "sync"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_files_that_do_not_fit_or_are_damaged_are_left(signals, tmp_path):
    path = tmp_path / "kept.npz"
    assert read_signals(path, 2, 20) is None
    write_signals(signals, path)
    assert read_signals(path, 3, 20) is None
    assert read_signals(path, 2, 19) is None
    late = dataclasses.replace(signals.tracks[0], sync_steps=np.array([0, 35]))
    write_signals(dataclasses.replace(signals, tracks=(late, signals.tracks[1])), path)
    assert read_signals(path, 2, 20) is None
    path.write_bytes(path.read_bytes()[:200])
    assert read_signals(path, 2, 20) is None


def test_a_folder_that_cannot_be_written_to_is_named(signals, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't save who speaks in"):
        write_signals(signals, tmp_path / "file" / "kept.npz")
