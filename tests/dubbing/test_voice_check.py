"""Made faults of voices are found, and voices without a fault pass."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from dev.sample_sound import RATE as MUSIC_RATE
from dev.sample_sound import music_and_effects
from latentsync_core.audio.source import load_audio
from latentsync_core.dubbing.sound_filter import resampled
from latentsync_core.dubbing.voice_check import VoiceFault, VoiceReport, check_voice
from tests.dubbing.spoken import RATE, audio, needs_espeak, spoken

KINDS = [fault for fault in VoiceFault if fault is not VoiceFault.LENGTH]
EACH = 10  # faults of a kind


@functools.lru_cache
def clean(number: int) -> torch.Tensor:
    """(n,) some ten seconds of speech with pauses, and a recording room's faint noise."""
    parts = [spoken(5 * (number % 4) + place, rate=150 + 7 * number) for place in range(5)]
    sound = torch.cat([torch.nn.functional.pad(part, (RATE // 10, RATE // 2 + 900 * number)) for part in parts])
    generator = torch.Generator().manual_seed(number)
    return sound / sound.abs().max() * (0.3 + 0.06 * number) + 1e-4 * torch.randn(len(sound), generator=generator)


def bed_at(sound: torch.Tensor, bed: torch.Tensor, decibels: float) -> torch.Tensor:
    """The sound over a bed that is so many dB quieter than its speech."""
    speech = sound[sound.abs() > 0.02 * sound.abs().max()].std()
    bed = bed.repeat(-(-len(sound) // len(bed)))[: len(sound)]
    return sound + bed * (speech / bed.std() * 10 ** (-decibels / 20))


@functools.lru_cache
def music() -> torch.Tensor:
    return resampled(torch.from_numpy(music_and_effects(8.0).mean(0)).float()[None], MUSIC_RATE, RATE)[0]


def faulty(kind: VoiceFault, number: int) -> torch.Tensor:
    sound = clean(number)
    if kind is VoiceFault.CLIPPED:
        limit = float(sound.abs().max()) / (1.5 + 0.3 * number)
        return sound.clamp(-limit, limit)
    if kind is VoiceFault.NOISY:
        noise = np.random.default_rng(number).standard_normal(len(sound))
        if number % 2:  # as of fans and streets, falling with frequency
            spectrum = np.fft.rfft(noise)
            noise = np.fft.irfft(spectrum / (1 + np.arange(len(spectrum)) / len(sound) * RATE / 500), len(sound))
        return bed_at(sound, torch.from_numpy(noise).float(), 6 + 1.5 * number)
    if kind is VoiceFault.MUSIC:
        return bed_at(sound, music().roll(9000 * number), 3 + 1.5 * number)
    if kind is VoiceFault.SHORT:
        return sound[: round((1 + 0.3 * number) * RATE)]
    if kind is VoiceFault.LEADING_SILENCE:
        return torch.nn.functional.pad(sound, (round((0.7 + 0.3 * number) * RATE), 0))
    return torch.stack([sound, -sound * (0.8 + 0.02 * number)])


@functools.lru_cache
def reports() -> list[tuple[VoiceFault | None, VoiceReport]]:
    made: list[tuple[VoiceFault | None, VoiceReport]] = []
    for number in range(EACH):
        for kind in (None, *KINDS):
            sound = clean(number) if kind is None else faulty(kind, number)
            made.append((kind, check_voice(load_audio(audio(sound, RATE)))))
    return made


@needs_espeak
def test_sixty_made_faults_are_found_and_few_others():
    expected = [(kind, report) for kind, report in reports() if kind is not None]
    assert len(expected) == 60
    found = sum(kind in report.faults for kind, report in expected)
    reported = sum(len(report.faults) for _, report in reports())
    precision, recall = found / reported, found / len(expected)
    missed = [(kind.name, report) for kind, report in expected if report.faults != (kind,)]
    print(f"precision {precision:.3f}, recall {recall:.3f}")
    for each in missed:
        print(each)
    assert precision >= 0.9
    assert recall >= 0.85


@needs_espeak
def test_voices_without_a_fault_pass():
    assert [report.faults for kind, report in reports() if kind is None] == [()] * EACH


@needs_espeak
def test_a_voice_of_another_length_than_its_clip_is_reported_only_where_a_clip_is_given():
    voice = load_audio(audio(clean(0), RATE))
    assert check_voice(voice).faults == ()
    assert check_voice(voice, voice.duration + 0.2).faults == ()
    assert check_voice(voice, voice.duration + 2).faults == (VoiceFault.LENGTH,)


@pytest.mark.parametrize("sound", [torch.zeros(8000), torch.full((100,), 0.1)], ids=["silence", "few samples"])
def test_a_sound_without_a_voice_is_too_short_to_be_cloned(sound):
    assert VoiceFault.SHORT in check_voice(load_audio(audio(sound, 8000))).faults
