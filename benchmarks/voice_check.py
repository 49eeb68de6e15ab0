"""Precision and recall of Voice Check on made faults: ``python -m benchmarks.voice_check [--recordings FOLDER]``.

The thresholds were set on the first set. The second is held out: speakers, sentences, noises, music, rooms and the
ranges of every fault are others. A set has sixty faults, ten of each kind but length, and twenty voices without one.
`--recordings` measures voices of your own in the place of espeak-ng's, with the second set's faults: each file of the
folder that ffmpeg can read counts as one person's clean speech, short files being joined.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.speech_activity import made_noise
from dev.sample_sound import RATE as MUSIC_RATE
from dev.sample_sound import music_and_effects
from latentsync_core.audio.source import load_audio
from latentsync_core.dubbing.fitting import speech_bounds
from latentsync_core.dubbing.sound_filter import resampled
from latentsync_core.dubbing.voice_check import VoiceFault, VoiceReport, check_voice
from latentsync_core.errors import AudioError
from training.synthetic.speech.performance import LANGUAGES, SAMPLE_RATE, perform, sample_voice

KINDS = tuple(fault for fault in VoiceFault if fault is not VoiceFault.LENGTH)
EACH = 10  # faults of a kind
CLEAN = 20  # voices without a fault
SECONDS = 11.0  # of a voice
Voices = Callable[[int], np.ndarray]
Checked = tuple[VoiceFault | None, VoiceReport]  # the fault that was made, and what was found


@dataclass(frozen=True)
class FaultSet:
    """How the faults of a set are made; ranges are uniform, decibels below the speech."""

    name: str
    split: str  # of the training's speakers and sentences
    seed: int
    noises: tuple[str, ...]
    music: tuple[str, ...]
    clipping: tuple[float, float]  # times by which the level is too high
    noise: tuple[float, float]  # dB
    bed: tuple[float, float]  # dB of the music
    short: tuple[float, float]  # seconds
    leading: tuple[float, float]  # seconds
    inverted: tuple[float, float]  # the second channel's gain
    floor: tuple[float, float]  # dB of a recording room's noise, which is no fault
    reverberation: tuple[float, float]  # seconds in which the room's sound falls by 60 dB
    after_clipping: tuple[float, float] = (1.0, 1.0)  # the level at which a clipped voice is handed on


TUNING = FaultSet(
    "tuning", "train", 1100, ("white", "fan"), ("sample",), (1.5, 4.2), (6, 20), (3, 17), (1, 3.7), (0.7, 3.4),
    (0.8, 1.0), (50, 60), (0.1, 0.2),
)  # fmt: skip
HELD_OUT = FaultSet(
    "held out", "test", 2200, ("pink", "traffic", "hum", "voices"), ("music", "music with drums"), (1.35, 6.0), (4, 24),
    (2, 22), (0.8, 4.3), (0.65, 6.0), (0.7, 1.0), (45, 65), (0.15, 0.45), (0.2, 0.9),
)  # fmt: skip


def made_faults(made: FaultSet, voices: Voices) -> Iterator[Checked]:
    """Voices without a fault, then those with each, checked."""
    for number in range(CLEAN):
        yield None, _checked(_clean(made, voices, number))
    for place, kind in enumerate(KINDS):
        for number in range(EACH):
            rng = np.random.default_rng((made.seed, place, number))
            yield kind, _checked(_faulty(made, kind, _clean(made, voices, number), rng))


def speakers(made: FaultSet) -> Voices:
    """espeak-ng's voices of a set's speakers."""
    languages = list(LANGUAGES)

    @functools.cache
    def voice(number: int) -> np.ndarray:
        seed = made.seed + number
        speaker = sample_voice(seed, languages[number % len(languages)], made.split)
        return perform(seed, speaker, SECONDS, made.split, augmented=False).waveform

    return voice


def recordings(folder: Path) -> Voices:
    """People of a folder's recordings: `SECONDS` of speech each, from as many files as that takes.

    Raises:
        AudioError: there are none.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    if not paths:
        raise AudioError(f"There is no recording in {folder}")

    @functools.cache
    def voice(number: int) -> np.ndarray:
        parts, seconds = [], 0.0
        for place in range(len(paths)):
            sound = load_audio(paths[(number * len(paths) // CLEAN + place) % len(paths)]).mono16k()
            bounds = speech_bounds(sound, SAMPLE_RATE)
            if bounds is None:
                continue
            speech = sound[bounds[0] : bounds[1]].numpy()
            parts += [speech / np.abs(speech).max(), np.zeros(SAMPLE_RATE // 2, np.float32)]
            seconds += len(speech) / SAMPLE_RATE
            if seconds > SECONDS - 2:
                break
        return np.concatenate(parts)

    return voice


def figures(checked: list[Checked]) -> tuple[float, float, float]:
    """Precision and recall of the faults, and the share of the voices without one that pass."""
    expected = [(kind, report) for kind, report in checked if kind is not None]
    found = sum(kind in report.faults for kind, report in expected)
    reported = sum(len(report.faults) for _, report in checked)
    passed = [not report.faults for kind, report in checked if kind is None]
    return found / max(reported, 1), found / len(expected), sum(passed) / len(passed)


def mistakes(checked: list[Checked]) -> list[str]:
    """A line for each voice of which something else was said than was made."""
    lines = []
    for kind, report in checked:
        right = () if kind is None else (kind,)
        if report.faults != right:
            said = ", ".join(fault.name.lower() for fault in report.faults) or "nothing"
            lines.append(
                f"{'clean' if kind is None else kind.name.lower()}: {said} (bed {report.bed_distance:.1f} dB, peaks "
                f"{report.bed_peaks:.1f} dB, clipped {report.clipped_share:.1e}, leading {report.leading_seconds:.2f}"
                f" s, speech {report.speech_seconds:.1f} s)"
            )
    return lines


def _checked(sound: np.ndarray) -> VoiceReport:
    waveform = torch.from_numpy(np.atleast_2d(sound).astype(np.float32))
    return check_voice(load_audio({"waveform": waveform[None], "sample_rate": SAMPLE_RATE}))


def _clean(made: FaultSet, voices: Voices, number: int) -> np.ndarray:
    """(n,) speech with pauses in a room, with at most a third of a second before it."""
    rng = np.random.default_rng((made.seed, 99, number))
    voice = voices(number).astype(np.float64)
    bounds = speech_bounds(torch.from_numpy(voice), SAMPLE_RATE)
    start = 0 if bounds is None else bounds[0]
    voice = np.pad(voice[max(0, start - SAMPLE_RATE // 100) :], (round(rng.uniform(0.05, 0.3) * SAMPLE_RATE), 0))
    length = round(rng.uniform(*made.reverberation) * SAMPLE_RATE)
    tail = rng.standard_normal(length) * np.exp(-np.linspace(0, 6.9, length))
    size = 1 << int(np.ceil(np.log2(len(voice) + length)))
    wet = np.fft.irfft(np.fft.rfft(voice, size) * np.fft.rfft(tail, size), size)[: len(voice)]
    voice = voice + 0.2 * wet * voice.std() / wet.std()
    voice = _over(voice, rng.standard_normal(len(voice)), rng.uniform(*made.floor))
    return voice / np.abs(voice).max() * rng.uniform(0.3, 0.95)


def _faulty(made: FaultSet, kind: VoiceFault, sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if kind is VoiceFault.CLIPPED:
        limit = np.abs(sound).max() / rng.uniform(*made.clipping)
        return sound.clip(-limit, limit) / limit * rng.uniform(*made.after_clipping)
    if kind is VoiceFault.NOISY:
        return _over(sound, _noise(str(rng.choice(made.noises)), len(sound), rng), rng.uniform(*made.noise))
    if kind is VoiceFault.MUSIC:
        return _over(sound, _music(str(rng.choice(made.music)), len(sound), rng), rng.uniform(*made.bed))
    if kind is VoiceFault.SHORT:
        return sound[: round(rng.uniform(*made.short) * SAMPLE_RATE)]
    if kind is VoiceFault.LEADING_SILENCE:
        silence = round(rng.uniform(*made.leading) * SAMPLE_RATE)
        return np.concatenate([1e-4 * rng.standard_normal(silence), sound])
    return np.stack([sound, -sound * rng.uniform(*made.inverted)])


def _over(sound: np.ndarray, bed: np.ndarray, decibels: float) -> np.ndarray:
    """The sound over a bed that is so many dB quieter than its speech."""
    speech = sound[np.abs(sound) > 0.02 * np.abs(sound).max()].std()
    return sound + bed * (speech / bed.std() * 10 ** (-decibels / 20))


def _noise(kind: str, samples: int, rng: np.random.Generator) -> np.ndarray:
    seed = int(rng.integers(1 << 30))
    if kind != "voices":
        return made_noise(kind, samples, seed)
    languages, crowd = list(LANGUAGES), np.zeros(samples)
    for number in range(6):  # of a crowd in another corner of the room
        speaker = sample_voice(seed + number, languages[number % len(languages)], "test")
        speech = perform(seed + number, speaker, samples / SAMPLE_RATE + 0.1, "test", augmented=False).waveform
        crowd += np.roll(speech[:samples], int(rng.integers(samples)))
    return crowd


def _music(kind: str, samples: int, rng: np.random.Generator) -> np.ndarray:
    if kind != "sample":
        return made_noise(kind, samples, int(rng.integers(1 << 30)))
    track = torch.from_numpy(music_and_effects(8.0).mean(0)).float()[None]
    track = resampled(track, MUSIC_RATE, SAMPLE_RATE)[0].double().numpy()
    return np.resize(np.roll(track, int(rng.integers(len(track)))), samples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=Path, help="a folder of clean speech, in the place of espeak-ng's voices")
    parser.add_argument("--mistakes", action="store_true", help="list what was said wrongly")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sets = [(made, speakers(made), made.name) for made in (TUNING, HELD_OUT)]
    if options.recordings:
        sets.append((HELD_OUT, recordings(options.recordings), "held out, your recordings"))
    print("| set | precision | recall | clean voices that pass |\n| --- | --- | --- | --- |")
    for made, voices, name in sets:
        checked = list(made_faults(made, voices))
        precision, recall, passed = figures(checked)
        print(f"| {name} | {precision:.3f} | {recall:.3f} | {passed:.2f} |", flush=True)
        if options.mistakes:
            print("\n".join(mistakes(checked)))


if __name__ == "__main__":
    main()
