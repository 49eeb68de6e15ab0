"""Who speaks is decided by what mouths do while there is sound: made-up mouths, whose speaker is known."""

from __future__ import annotations

import numpy as np
import pytest

from latentsync_core.errors import ModelError
from latentsync_core.faces.speaking import NOBODY
from latentsync_core.speakers.decision import speech_segments
from latentsync_core.speakers.evidence import CELL, gather_evidence
from latentsync_core.speakers.signals import SpeakerSignals, TrackSignals
from latentsync_core.speakers.speaking_model import load_speaking_model

COUNT = 200
SPEECH = np.zeros(COUNT, bool)
SPEECH[20:90] = SPEECH[100:180] = True
SYLLABLES = 0.5 + 0.5 * np.sin(2 * np.pi * 4.3 * np.arange(COUNT) / 25 + np.sin(np.arange(COUNT) / 9))  # 0 to 1
LEVEL = np.where(SPEECH, -40 + 25 * SYLLABLES, -70).astype(np.float32)
IN_SYNC, OUT_OF_SYNC = (0.85, 0.25, 0.25), (0.3, 0.35, 0.3)  # SyncNet's cosines near 0, early and late


def mouth(start: int, stop: int, spoken: range = range(0), chewed: range = range(0)) -> TrackSignals:
    """A mouth that follows the syllables in the steps `spoken`, moves by itself in `chewed`, and else is still."""
    steps = np.arange(start, stop)
    noise = 0.001 * np.random.default_rng(start).standard_normal(len(steps))
    opening = np.where(np.isin(steps, spoken), 0.12 * SYLLABLES[steps], 0.01) + noise
    opening += np.where(np.isin(steps, chewed), 0.03 * (1 - np.cos(2 * np.pi * 1.3 * steps / 25)), 0)
    starts = np.arange(-(-start // 10) * 10, stop - 15, 10)
    sync = [IN_SYNC if step in spoken and step + 15 in spoken else OUT_OF_SYNC for step in starts.tolist()]
    return TrackSignals(start, opening.astype(np.float32), starts, np.array(sync, np.float32).reshape(-1, 3))


def decided(*mouths: TrackSignals, shots=((0, COUNT),)) -> list[tuple[int, int, int]]:
    signals = SpeakerSignals(np.arange(COUNT), LEVEL, SPEECH, mouths)
    return [(one.first, one.stop, one.track) for one in speech_segments(signals, shots)]


def test_the_one_whose_mouth_follows_the_sound_speaks():
    assert decided(mouth(0, 200, range(20, 90)), mouth(0, 200, range(100, 180))) == [(20, 90, 0), (100, 180, 1)]


def test_a_listener_who_chews_does_not_speak():
    assert decided(mouth(0, 200, range(20, 90), range(100, 180)), mouth(0, 200)) == [(20, 90, 0), (100, 180, NOBODY)]


def test_a_change_of_the_speaker_without_a_pause_parts_two_segments():
    (first, second, _) = decided(mouth(0, 200, range(20, 55)), mouth(0, 200, range(55, 90)))
    assert (first[0], first[2]) == (20, 0)
    assert abs(first[1] - 55) <= CELL
    assert second == (first[1], 90, 1)


def test_at_a_cut_the_speaker_is_the_track_of_the_new_shot_or_nobody():
    spoken = range(20, 90)
    cut = ((0, 60), (60, 200))
    assert decided(mouth(0, 60, spoken), mouth(60, 200, spoken), shots=cut)[:2] == [(20, 60, 0), (60, 90, 1)]
    assert decided(mouth(0, 60, spoken), shots=cut)[:2] == [(20, 60, 0), (60, 90, NOBODY)]


def test_without_anybody_shown_all_speech_is_nobodys():
    assert decided() == [(20, 90, NOBODY), (100, 180, NOBODY)]


def test_confidence_and_scores_tell_why():
    signals = SpeakerSignals(np.arange(COUNT), LEVEL, SPEECH, (mouth(0, 200, range(20, 90)), mouth(0, 200)))
    spoken, unseen = speech_segments(signals, ((0, COUNT),))
    assert [score.track for score in spoken.scores] == [0, 1]
    assert spoken.confidence == spoken.scores[0].probability > 0.8 > 0.2 > spoken.scores[1].probability
    assert spoken.scores[0].sync > 0.4 > 0 > spoken.scores[1].sync
    assert spoken.scores[0].motion > 0.8 > spoken.scores[1].motion
    assert unseen.confidence == pytest.approx(1 - unseen.scores[0].probability)


def test_an_unknown_opening_and_no_window_are_no_evidence():
    track = TrackSignals(0, np.full(COUNT, np.nan, np.float32), np.zeros(0, np.int64), np.zeros((0, 3), np.float32))
    assert decided(track) == [(20, 90, NOBODY), (100, 180, NOBODY)]
    evidence = gather_evidence(SpeakerSignals(np.arange(COUNT), LEVEL, SPEECH, (track,)))
    assert np.isfinite(evidence.features()).all()
    assert np.isnan(evidence.sync).all()


def test_frames_are_those_of_a_clip_at_another_rate():
    shown = np.arange(COUNT) * 2  # 50 frames a second
    signals = SpeakerSignals(shown, LEVEL, SPEECH, (mouth(0, 200, range(20, 90)),))
    assert [(one.first, one.stop) for one in speech_segments(signals, ((0, 400),))] == [(40, 180), (200, 360)]


def test_constants_that_are_damaged_are_refused(tmp_path):
    path = tmp_path / "speaking.json"
    for text in ("", "{}", '{"weights": [], "bias": 1}', "[1]"):
        path.write_text(text)
        with pytest.raises(ModelError, match="can't be read"):
            load_speaking_model.__wrapped__(path)
