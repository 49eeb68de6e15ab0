"""In a pause the network hears a silent recording, in speech the voice bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from latentsync_core.audio.features import embed_audio
from latentsync_core.audio.pause_options import PauseOptions
from latentsync_core.audio.silenced import silence_pauses
from latentsync_core.audio.source import load_audio
from latentsync_core.audio.speech_activity import SpeechActivity
from latentsync_core.models.whisper.encoder import WhisperEncoder
from tests.one_thread import one_thread  # noqa: F401
from tests.whisper_by_rule import openai_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")

OPTIONS = PauseOptions(hangover=0.1, ramp=0.1)


@pytest.fixture(scope="module")
def driving():
    """Three seconds of noise that count as speech in the first and in the third, and an encoder."""
    encoder = WhisperEncoder.from_openai(openai_checkpoint())
    noise = torch.randn(3 * 16000, generator=torch.Generator().manual_seed(5)) * 0.1
    audio = embed_audio(load_audio({"waveform": noise[None, None], "sample_rate": 16000}), encoder)
    return audio, SpeechActivity(np.repeat(np.float32([1, 0, 1]), 100), ""), encoder


def test_frames_in_speech_keep_their_bits_and_those_in_a_pause_are_of_silence(driving):
    audio, speech, encoder = driving
    silenced = silence_pauses(audio, speech, OPTIONS, encoder)
    silence = encoder.features(torch.zeros(30 * 16000)).half().float()
    assert torch.equal(silenced.window(np.array([0.5, 2.5])), audio.window(np.array([0.5, 2.5])))
    within = silenced.window(np.array([1.5]))  # rows 71 to 80, all of them in the pause
    assert torch.equal(within[0], silence[71:81].flatten(0, 1))
    assert not torch.equal(within, audio.window(np.array([1.5])))


def test_the_digest_is_that_of_the_rows_replaced(driving):
    audio, speech, encoder = driving
    digests = [
        silence_pauses(audio, one, options, encoder).digest
        for one, options in (
            (speech, OPTIONS),
            (speech, OPTIONS),
            (speech, PauseOptions(hangover=0.2, ramp=0.1)),
            (SpeechActivity(speech.scores[::-1].copy(), ""), OPTIONS),  # symmetric
        )
    ]
    assert digests[0] == digests[1] == digests[3]
    assert len({audio.digest, digests[0], digests[2]}) == 3
