"""Made faults of voices are found, and voices without a fault pass."""

from __future__ import annotations

import functools

import pytest
import torch

from benchmarks.voice_check import EACH, HELD_OUT, KINDS, TUNING, Checked, figures, made_faults, mistakes, speakers
from latentsync_core.audio.source import load_audio
from latentsync_core.dubbing.voice_check import VoiceFault, check_voice
from tests.dubbing.spoken import RATE, audio, needs_espeak, spoken


@functools.lru_cache
def held_out() -> list[Checked]:
    return list(made_faults(HELD_OUT, speakers(HELD_OUT)))


def test_the_held_out_faults_are_of_other_speakers_and_other_noises():
    assert (TUNING.split, HELD_OUT.split) == ("train", "test")
    assert not {*TUNING.noises, *TUNING.music} & {*HELD_OUT.noises, *HELD_OUT.music}


@needs_espeak
def test_sixty_made_faults_that_no_threshold_was_set_on_are_found_and_few_others():
    assert sum(kind is not None for kind, _ in held_out()) == EACH * len(KINDS) == 60
    precision, recall, _ = figures(held_out())
    print("\n".join([f"precision {precision:.3f}, recall {recall:.3f}", *mistakes(held_out())]))
    assert precision >= 0.9
    assert recall >= 0.85


@needs_espeak
def test_voices_without_a_fault_pass():
    assert figures(held_out())[2] == 1


@needs_espeak
def test_a_voice_of_another_length_than_its_clip_is_reported_only_where_a_clip_is_given():
    sentences = [torch.nn.functional.pad(spoken(place), (RATE // 10, RATE // 2)) for place in range(5)]
    voice = load_audio(audio(torch.cat(sentences), RATE))
    assert check_voice(voice).faults == ()
    assert check_voice(voice, voice.duration + 0.2).faults == ()
    assert check_voice(voice, voice.duration + 2).faults == (VoiceFault.LENGTH,)


@pytest.mark.parametrize("sound", [torch.zeros(8000), torch.full((100,), 0.1)], ids=["silence", "few samples"])
def test_a_sound_without_a_voice_is_too_short_to_be_cloned(sound):
    assert VoiceFault.SHORT in check_voice(load_audio(audio(sound, 8000))).faults
