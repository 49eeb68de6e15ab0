"""A film's voices: each person speaks in their turns, one sound and one mouth a person, both as long as the film."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .espeak import Phoneme
from .performance import (
    LANGUAGES,
    SAMPLE_RATE,
    TEST_VOICES,
    Performance,
    Voice,
    perform,
    sample_articulation,
    sample_voice,
)
from .visemes import MouthMotion, split_phonemes


def choose_voices(seed: int, people: int, language: str | None = None) -> list[Voice]:
    """So many voices of the test split, none of them twice, in one language (the seed's where none is given)."""
    language = language or list(LANGUAGES)[seed % len(LANGUAGES)]
    voices: dict[str, Voice] = {}
    for number in range(40 * people):
        voice = sample_voice(1000 * seed + number, language, "test")
        variant = voice.name.partition("+")[2]
        if len(voices) < min(people, len(TEST_VOICES)) and variant not in voices:
            voices[variant] = voice
    return list(voices.values())


def perform_turns(seed: int, voice: Voice, turns: Sequence[tuple[float, float]], seconds: float) -> Performance:
    """One person's part of a film `seconds` long: speaking from start to end of each turn, silent between.

    `turns` are in order and don't overlap. Times are rounded to a sample of 16 kHz.
    """
    waveform = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    phonemes: list[Phoneme] = []
    said: list[str] = []
    at = 0.0
    for number, (start, end) in enumerate(turns):
        begin = round(start * SAMPLE_RATE)
        part = perform(seed + 7919 * number, voice, end - start, "test", augmented=False)
        room = waveform[begin : begin + len(part.waveform)]
        room[:] = part.waveform[: len(room)]
        phonemes.append(Phoneme("", at, begin / SAMPLE_RATE))
        phonemes += [
            Phoneme(p.symbol, p.start + begin / SAMPLE_RATE, p.end + begin / SAMPLE_RATE) for p in part.phonemes
        ]
        at = phonemes[-1].end
        said += part.sentences
    phonemes.append(Phoneme("", at, max(seconds, at)))
    kept = tuple(p for p in phonemes if p.end > p.start)
    return Performance(voice, tuple(said), kept, waveform, MouthMotion(split_phonemes(kept), sample_articulation(seed)))
