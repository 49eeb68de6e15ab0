"""Spoken lines begin and end with their lines at their own pitch; what does not fit is reported with its length."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from latentsync_core.audio.source import load_audio
from latentsync_core.dubbing.fit_options import FitOptions
from latentsync_core.dubbing.fitting import fit_speech, speech_bounds
from latentsync_core.dubbing.lines.dialogue import DialogueLine
from latentsync_core.dubbing.placement import place_lines, place_long_dub
from latentsync_core.dubbing.sound_filter import has_filter, resampled
from latentsync_core.errors import AudioError, DialogueError, OptionError
from tests.dubbing.spoken import RATE, audio, loud_end, median_pitch, needs_espeak, spoken

LEVELS = (22, 26, 30, 34, 38)  # dB below the loudest 2 ms
WIDE = FitOptions(0.5, 2.0)
RATIOS = [ratio for ratio in np.linspace(-0.4, 0.4, 21).round(2).tolist() if ratio]  # 20, without 0


def pulse(seconds: float, rate: int = 16000, silence: float = 0.2) -> torch.Tensor:
    """A tone of 150 Hz with ten harmonics, between silences."""
    time = torch.arange(round(seconds * rate)) / rate
    tone = sum(torch.sin(2 * torch.pi * 150 * n * time) / n for n in range(1, 11))
    return torch.nn.functional.pad(0.2 * tone, (round(silence * rate),) * 2)


@needs_espeak
@pytest.mark.parametrize("method", ["rubberband", "atempo"])
def test_twenty_lines_that_are_up_to_40_percent_too_long_or_short_end_with_their_lines(method):
    if not has_filter(method):
        pytest.skip(f"this ffmpeg has no {method}")
    off_by, cents = [], []
    for number, ratio in enumerate(RATIOS):
        sound = torch.nn.functional.pad(spoken(number, pitch_range=0), (RATE // 3, RATE // 5))
        start, stop = speech_bounds(sound, RATE)
        seconds = (stop - start) / RATE * (1 + ratio)
        fitted = fit_speech(sound, RATE, seconds, WIDE, method)
        made = fitted.samples.numpy()
        assert fitted.speech_samples == pytest.approx(seconds * RATE, abs=2)
        natural = sound[start:stop].numpy()
        # A soft sound at the end may lie just above or below one level, so the median of five counts.
        misses = [loud_end(made, RATE, level) - loud_end(natural, RATE, level) * (1 + ratio) for level in LEVELS]
        off_by.append(float(np.median(misses)) - fitted.lead / RATE)
        cents.append(1200 * np.log2(median_pitch(made, RATE) / median_pitch(natural, RATE)))
    print(f"{method}: ends within {1000 * np.abs(off_by).max():.1f} ms, pitch within {np.abs(cents).max():.1f} cents")
    assert np.abs(off_by).max() < 0.01
    assert np.abs(cents).max() < 20


@needs_espeak
def test_placed_lines_begin_and_end_with_theirs_in_a_dub_as_long_as_the_clip():
    lines = [DialogueLine(Fraction(2 * n + 1), Fraction(2 * n + 2), f"{n}", "A") for n in range(5)]
    sounds = [load_audio(audio(spoken(n))) for n in range(5)]
    clip_seconds = Fraction(1001 * 300, 24000)
    dub = place_lines(lines, sounds, clip_seconds, WIDE, rate=48000)
    assert dub.waveform.shape == (1, round(clip_seconds * 48000))
    silent = torch.ones_like(dub.waveform[0], dtype=torch.bool)
    for line, placed in zip(lines, dub.lines, strict=True):
        part = dub.waveform[0, round(line.start * 48000) : round((line.end + Fraction(9, 10)) * 48000)]
        expected = float(line.duration) if placed.tempo not in (0.5, 2.0) else placed.natural_seconds / placed.tempo
        assert placed.speech_end - placed.start == pytest.approx(expected, abs=0.001)
        bounds = speech_bounds(part, 48000)
        assert bounds is not None
        assert bounds[0] < 0.024 * 48000
        silent[round(line.start * 48000) - 960 : round(placed.speech_end * 48000) + 961] = False
    assert not dub.waveform[0, silent].any()


def test_a_line_that_does_not_fit_goes_on_into_the_pause_and_is_cut_at_its_speakers_next_line():
    lines = [
        DialogueLine(Fraction(1), Fraction(2), "a", "A"),
        DialogueLine(Fraction(5, 2), Fraction(3), "b", "B"),  # another speaker's may be spoken over
        DialogueLine(Fraction(3), Fraction(4), "c", "A"),
    ]
    sounds = [load_audio(audio(pulse(seconds), 16000)) for seconds in (2.0, 0.5, 3.0)]
    dub = place_lines(lines, sounds, Fraction(5), FitOptions(1, 1.25))
    first, second, third = dub.lines
    assert first.speech_end == pytest.approx(1 + 2 / 1.25, abs=0.005)
    assert first.over_seconds == pytest.approx(0.6, abs=0.005)
    assert first.cut_seconds == 0
    assert second.fits
    assert third.speech_end == 5
    assert third.cut_seconds == pytest.approx(3 / 1.25 - 2, abs=0.005)
    assert third.over_seconds == pytest.approx(3 / 1.25 - 1, abs=0.005)
    facts = [note.fact for note in dub.notes]
    assert facts[0].startswith("Line 1 is 0.60 s too long at 1.25 times its speed: it goes on into the pause")
    assert facts[1].startswith("Line 3 is 1.40 s too long at 1.25 times its speed; its last 0.40 s were cut off")
    assert dub.waveform[0, -1].abs() < 1e-3


def test_speech_that_has_its_length_is_left_as_it_is_but_for_its_edges():
    sound = torch.nn.functional.pad(pulse(1.0), (5000, 3000))
    start, stop = speech_bounds(sound, 16000)
    fitted = fit_speech(sound, 16000, (stop - start) / 16000)
    assert fitted.tempo == 1
    assert torch.equal(fitted.samples[fitted.lead : -fitted.lead], sound[start:stop])


def test_steady_noise_before_a_voice_is_trimmed_as_silence_is():
    generator = torch.Generator().manual_seed(0)
    sound = pulse(1.0, silence=0.5)
    sound += 10 ** (-38 / 20) * torch.randn(len(sound), generator=generator) * sound.std()
    start, stop = speech_bounds(sound, 16000)
    assert start == pytest.approx(8000, abs=100)
    assert stop == pytest.approx(24000, abs=100)


def test_a_long_dub_is_parted_by_its_own_timing():
    parts = [pulse(0.8, silence=0.5), pulse(1.1, silence=0.5)]
    dub = load_audio(audio(torch.cat(parts), 16000))
    timing = [DialogueLine(Fraction(1, 2), Fraction(13, 10)), DialogueLine(Fraction(23, 10), Fraction(34, 10))]
    lines = [DialogueLine(Fraction(1), Fraction(9, 5)), DialogueLine(Fraction(4), Fraction(51, 10))]
    placed = place_long_dub(lines, dub, timing, Fraction(6))
    assert [line.fits for line in placed.lines] == [True, True]
    assert [line.natural_seconds for line in placed.lines] == pytest.approx([0.8, 1.1], abs=0.01)
    assert loud_end(placed.waveform[0].numpy(), 16000) == pytest.approx(5.1, abs=0.01)


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44100, 8), (96000, 2)])
def test_sounds_of_any_rate_and_channels_are_placed(rate, channels):
    sound = load_audio(audio(pulse(0.7, rate).expand(channels, -1).contiguous(), rate))
    dub = place_lines([DialogueLine(Fraction(1), Fraction(17, 10))], [sound], Fraction(2), rate=48000)
    assert dub.waveform.shape == (1, 96000)
    assert dub.lines[0].fits
    assert loud_end(dub.waveform[0].numpy(), 48000) == pytest.approx(1.7, abs=0.01)


def test_resampling_keeps_length_and_place():
    made = resampled(pulse(1.0)[None], 16000, 44100)
    assert made.shape == (1, round(1.4 * 44100))
    assert loud_end(made[0].numpy(), 44100) == pytest.approx(1.2, abs=0.004)


def test_what_cannot_be_placed_is_refused_by_its_number():
    line = DialogueLine(Fraction(1), Fraction(2))
    silence, tone = load_audio(audio(torch.zeros(8000), 8000)), load_audio(audio(pulse(1.0), 16000))
    with pytest.raises(AudioError, match=r"The sound of line 1 can't be fitted: there is only silence in it"):
        place_lines([line], [silence], Fraction(3))
    with pytest.raises(DialogueError, match="There are 1 lines and 0 sounds"):
        place_lines([line], [], Fraction(3))
    with pytest.raises(DialogueError, match="There are 1 lines, but the dub's timing has 2"):
        place_long_dub([line], tone, [line, line], Fraction(3))
    with pytest.raises(DialogueError, match="the clip ends at"):
        place_lines([line], [tone], Fraction(3, 2))
    for options in ((0.4, 1.2), (1.1, 1.2), (0.9, 0.9), (0.9, 2.1)):
        with pytest.raises(OptionError):
            FitOptions(*options)
