"""`benchmarks.leak` tells a copied mouth from a spoken one, by readings whose composition is known."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from benchmarks import leak
from tests.made_faces import empty_clip, made_faces, make_track
from tests.one_thread import one_thread  # noqa: F401
from training.synthetic.speech.performance import perform, sample_voice

pytestmark = pytest.mark.usefixtures("one_thread")  # quicker beside other processes

FRAMES = 100
CLOSED, RANGE = 0.02, 0.15  # openings of a filmed face, in face heights
KEYS = {
    "new voice: new mouth's weight": "new",
    "new voice: filmed mouth's weight": "filmed",
    "silence: filmed mouth's weight": "silent",
}


@pytest.fixture(scope="module")
def spoken():
    """A subject whose filmed mouth moves on its own, and the new mouth on the filmed one's scale."""
    faces = made_faces(empty_clip(FRAMES), [make_track(0, 0, FRAMES)])
    voice = perform(7, sample_voice(7, "en", "test"), FRAMES / 25, "test")
    intended = np.array([mouth.opening for mouth in voice.mouth(np.arange(FRAMES) / 25)])
    filmed = CLOSED + RANGE * np.abs(np.sin(np.arange(FRAMES) * 0.7))
    low, high = np.percentile(filmed, (5, 95))
    one = leak.Subject("made up", faces, filmed, voice, {})
    return one, low + (high - low) * leak.in_range(intended, intended)


def weights(one, silent, dubbed) -> dict[str, float]:
    found = leak.figures(one, {"silence": silent, "new voice": dubbed})
    return {short: found[key] for key, short in KEYS.items()}


def test_a_mouth_that_only_follows_the_new_voice_has_none_of_the_filmed_one(spoken):
    one, new = spoken
    closed = np.full(FRAMES, CLOSED)
    assert weights(one, closed, new) == pytest.approx({"new": 1, "filmed": 0, "silent": 0}, abs=1e-6)
    found = leak.figures(one, {"silence": closed, "new voice": new})
    assert found["silence: frames closed"] == 1
    assert found["silence: motion"] == pytest.approx(0, abs=1e-6)
    assert found["new voice: follows it"] == pytest.approx(1)
    assert found["new voice: closed in its pauses"] == 1
    murmuring = new + 0.5 * RANGE * (np.arange(FRAMES) % 2)
    found = leak.figures(one, {"silence": closed, "new voice": murmuring})
    assert found["new voice: closed in its pauses"] == pytest.approx(0.5, abs=0.1)
    assert found["new voice: mean opening in its pauses"] > 0.15


def test_shares_of_both_mouths_are_told_apart(spoken):
    one, new = spoken
    silent = 0.7 * CLOSED + 0.3 * one.filmed
    assert weights(one, silent, 0.8 * new + 0.2 * one.filmed) == pytest.approx(
        {"new": 0.8, "filmed": 0.2, "silent": 0.3}, abs=1e-6
    )


def test_frames_in_which_a_mouth_is_hidden_do_not_count(spoken):
    one, new = spoken
    dubbed = new.copy()
    dubbed[10:20] = np.nan
    found = leak.figures(one, {"silence": one.filmed, "new voice": dubbed})
    assert found["frames"] == FRAMES - 10
    assert found["new voice: new mouth's weight"] == pytest.approx(1)


@pytest.mark.slow
def test_a_rendered_clip_is_measured_with_each_choice(tmp_path, monkeypatch, capsys):
    """Quick: test_shares_of_both_mouths_are_told_apart, and the others above, of the figures."""
    out = tmp_path / "figures.json"
    choices = ["--reference-mouth", "averaged", "closed", "--mask-grow", "0", "5", "--pauses", "model", "closed"]
    monkeypatch.setattr(sys, "argv", ["leak", "--rendered", "1", "--seconds", "1.2", *choices, "--json", str(out)])
    leak.main()
    found = json.loads(out.read_text("utf-8"))
    assert list(found) == ["averaged", "closed", "averaged, mask +5 %", "averaged, pauses closed"]
    for by_clip in found.values():
        (values,) = by_clip.values()
        assert values["frames"] >= 25
        assert np.isfinite(list(values.values())).all()
        assert 15 < values["own voice: PSNR, dB"] < 45
    assert "medians over 1 clips" in capsys.readouterr().out
