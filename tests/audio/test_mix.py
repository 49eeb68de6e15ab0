"""Voices are mixed as they are: added up, in time, none made quieter, as long as the longest."""

import pytest
import torch

from latentsync_core.audio.mix import mixed_track
from latentsync_core.audio.source import load_audio
from latentsync_core.errors import AudioError


def voice(samples, rate=24000):
    return load_audio({"waveform": torch.as_tensor(samples)[None].float(), "sample_rate": rate})


def test_one_voice_stays_itself(tmp_path):
    one = voice(torch.rand(1, 2400) - 0.5)
    assert mixed_track([one], tmp_path) == one.as_track(tmp_path)


def test_two_voices_are_added_sample_by_sample(tmp_path):
    one, other = torch.rand(1, 4800) - 0.5, torch.rand(1, 2400) - 0.5
    mixed = load_audio(mixed_track([voice(one), voice(other)], tmp_path).path)
    expected = one.clone()
    expected[:, :2400] += other
    assert mixed.sample_rate == 24000
    assert torch.allclose(mixed.whole(), expected, atol=1e-6)
    assert [path.name for path in tmp_path.glob("*.part*")] == []


def test_a_mono_voice_lies_in_the_middle_of_a_stereo_one_at_its_own_level(tmp_path):
    stereo, mono = torch.rand(2, 4800) - 0.5, torch.rand(1, 4800) - 0.5
    mixed = load_audio(mixed_track([voice(stereo), voice(mono)], tmp_path).path).whole()
    assert torch.allclose(mixed, stereo + mono, atol=1e-6)


def test_the_highest_rate_is_kept(tmp_path):
    low, high = voice(torch.zeros(1, 8000), 8000), voice(torch.rand(1, 48000) - 0.5, 48000)
    mixed = load_audio(mixed_track([low, high], tmp_path).path)
    assert (mixed.sample_rate, mixed.samples) == (48000, 48000)
    assert torch.allclose(mixed.whole(), high.whole(), atol=1e-6)


def test_nothing_to_mix_is_refused(tmp_path):
    with pytest.raises(AudioError, match="No sound was given"):
        mixed_track([], tmp_path)
