"""Speech is found in the carried voice, with noise and hum beneath it too, and the mouth follows it as options say."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from latentsync_core.audio.pause_options import PauseOptions
from latentsync_core.audio.silero import load_silero, silero_scores
from latentsync_core.audio.source import load_audio
from latentsync_core.audio.speech_activity import LEAD_SECONDS, SpeechActivity, detect_speech
from latentsync_core.audio.speech_gate import HOP, SCORES_PER_SECOND, gate_scores
from latentsync_core.errors import OptionError
from latentsync_core.sample_scene import LINES, VOICE
from tests.one_thread import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")  # quicker beside other processes

RATE, SECONDS = 16000, 8
TIMES = np.arange(SECONDS * SCORES_PER_SECOND) / SCORES_PER_SECOND


@pytest.fixture(scope="module")
def voice() -> torch.Tensor:
    return load_audio(VOICE).mono16k()[: SECONDS * RATE]


@pytest.fixture(scope="module")
def in_lines() -> np.ndarray:
    """Which hundredths of a second lie within a spoken line, 0.3 s or more from its ends."""
    return np.any(
        [np.abs(TIMES - (line.start + line.end) / 2) < (line.end - line.start) / 2 - 0.3 for line in LINES], 0
    )


@pytest.fixture(scope="module")
def between_lines() -> np.ndarray:
    """Which lie outside all lines, 0.2 s or more before the next and 0.3 s after the last."""
    return np.all([(line.start - 0.2 > TIMES) | (line.end + 0.3 < TIMES) for line in LINES], 0)


def noise_like(voice: torch.Tensor, kind: str) -> torch.Tensor:
    """A noise 20 dB below the voice."""
    if kind == "hiss":
        made = torch.randn(len(voice), generator=torch.Generator().manual_seed(1))
    else:
        time = torch.arange(len(voice)) / RATE
        made = sum(torch.sin(2 * np.pi * 50 * number * time + number) / number for number in range(1, 9))
    return made * (voice.std() / made.std()) * 0.1


@pytest.mark.parametrize("noise", ["none", "hiss", "hum"])
def test_the_lines_are_speech_and_what_lies_between_them_is_not(voice, in_lines, between_lines, noise):
    mixed = voice if noise == "none" else voice + noise_like(voice, noise)
    weights = SpeechActivity(gate_scores([mixed]), "own gate").weights(TIMES, PauseOptions())
    assert weights[in_lines].mean() > 0.95
    assert weights[between_lines].mean() < 0.05


@pytest.mark.parametrize("level", [1.0, 0.01])
def test_noise_hum_and_held_notes_alone_are_no_speech(voice, level):
    time = torch.arange(4 * RATE) / RATE
    chord = sum(torch.sin(2 * np.pi * pitch * time) for pitch in (220.0, 277.2, 329.6, 440.0, 554.4, 659.3))
    notes = chord * torch.exp(-(time % 0.5) / 0.4)  # struck twice a second
    for sound in (noise_like(voice, "hiss"), noise_like(voice, "hum"), 0.05 * notes, torch.zeros(4 * RATE)):
        assert (gate_scores([level * sound]) > 0.5).mean() < 0.01


def test_scores_are_the_same_in_blocks_of_any_size(voice):
    long = torch.cat([voice] * 6)
    whole = gate_scores([long])
    assert len(whole) == len(long) / HOP
    assert np.array_equal(gate_scores(long.split(31_117)), whole)
    assert len(gate_scores([])) == 0


def test_a_pause_begins_after_the_hangover_and_ends_before_the_next_word():
    scores = np.zeros(300, np.float32)
    scores[0:50], scores[200:250], scores[280:283] = 1, 1, 1  # the last, of 0.03 s, is a click
    options = PauseOptions(hangover=0.3, ramp=0.2)
    weights = SpeechActivity(scores, "").weights(np.arange(-50, 400) / 100, options)
    times = (-0.05, -0.4, 0.25, 0.75, 0.9, 1.05, 1.6, 1.8, 1.95, 2.7, 3.2)
    at = {time: weights[round(time * 100) + 50] for time in times}
    assert [at[time] for time in (-0.05, 0.25, 0.75, 1.95, 2.7)] == [1, 1, 1, 1, 1]
    assert [at[time] for time in (-0.4, 1.05, 1.6, 3.2)] == [0, 0, 0, 0]
    assert at[0.9] == pytest.approx(0.5, abs=0.06)  # half of the ramp from 0.8 to 1.0
    assert at[1.8] == pytest.approx(0.5, abs=0.06)  # and of the one from 1.7 to 1.9, LEAD_SECONDS before the word
    assert LEAD_SECONDS == 0.1


def test_a_gap_that_the_hangover_bridges_is_no_pause():
    scores = np.ones(200, np.float32)
    scores[90:120] = 0
    activity = SpeechActivity(scores, "")
    assert activity.weights(TIMES[:200], PauseOptions(hangover=0.25)).min() == 1
    assert activity.weights(TIMES[:200], PauseOptions(hangover=0.0, ramp=0.0)).min() == 0


def test_a_higher_threshold_finds_less_speech():
    scores = np.repeat(np.float32([0.4, 0.6, 0.8, 0]), 100)
    speaks = [
        float(SpeechActivity(scores, "").weights(TIMES[:400], PauseOptions(threshold=one)).mean())
        for one in (0.3, 0.5, 0.7)
    ]
    assert speaks == sorted(speaks, reverse=True)
    assert len(set(speaks)) == 3


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"hangover": -0.1}, "hangover"),
        ({"ramp": float("nan")}, "ramp"),
        ({"hangover": 60.0}, "0 to 5"),
        ({"threshold": 0.0}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
    ],
)
def test_an_option_out_of_range_is_named(options, word):
    with pytest.raises(OptionError, match=word):
        PauseOptions(**options)


class LoudChunks(torch.nn.Module):
    """Has silero-vad's interface; a chunk's score is its loudest sample."""

    def __init__(self) -> None:
        super().__init__()
        self.chunks = 99

    @torch.jit.export
    def reset_states(self) -> None:
        self.chunks = 0

    def forward(self, chunk: torch.Tensor, rate: int) -> torch.Tensor:
        assert rate == 16000
        assert chunk.shape == [1, 512]
        self.chunks += 1
        return chunk.abs().max().reshape(1, 1)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package of silero-vad's name and layout, which ends the test when it is imported."""
    data = tmp_path / "silero_vad" / "data"
    data.mkdir(parents=True)
    (data.parent / "__init__.py").write_text("raise AssertionError('sets torch to one thread')")
    monkeypatch.syspath_prepend(tmp_path)
    return data / "silero_vad.jit"


@pytest.mark.filterwarnings("ignore:.torch.jit")
def test_an_installed_silero_is_used_without_importing_its_package(installed):
    torch.jit.script(LoudChunks()).save(str(installed))
    sound = torch.zeros(2500)
    sound[600] = 0.75  # in the second chunk of 512
    network = load_silero()
    assert network is not None
    scores = silero_scores(network, sound.split(1000))
    assert network.chunks == 5
    assert len(scores) == 16  # hundredths of a second
    assert np.flatnonzero(scores == 0.75).tolist() == [3, 4, 5]  # whose middles, samples 560, 720 and 880, lie in it
    source = load_audio({"waveform": sound[None, None], "sample_rate": RATE})
    assert detect_speech(source).detector == "silero-vad"


def test_a_silero_that_can_t_be_loaded_leaves_the_carried_gate(installed, caplog):
    installed.write_bytes(b"no network")
    source = load_audio({"waveform": torch.zeros(1, 1, RATE), "sample_rate": RATE})
    with caplog.at_level(logging.WARNING):
        assert detect_speech(source).detector == "own gate"
    assert "silero-vad can't be used" in caplog.text
