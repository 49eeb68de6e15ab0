"""A performance: sentences spoken with pauses between, the waveform at 16 kHz and the mouth that goes with it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .espeak import RATE, Phoneme, speak
from .visemes import Articulation, MouthMotion, split_phonemes

SAMPLE_RATE = 16000
LANGUAGES = {
    "en": ("en-us", "en", "en-gb-scotland"),
    "fr": ("fr", "fr-be", "fr-ch"),
    "de": ("de",),
    "it": ("it",),
    "es": ("es", "es-419"),
}
TRAIN_VOICES = (
    "f1", "f2", "f3", "f5", "m1", "m2", "m3", "m4", "m5", "m6", "m8", "Alex", "Alicia", "Andrea", "Andy", "Annie",
    "adam", "anika", "antonio", "aunty", "belinda", "benjamin", "boris", "caleb", "david", "ed", "edward", "grandma",
    "ian", "iven", "john", "klatt", "klatt2", "klatt3", "max", "michel", "miguel", "pablo", "paul", "pedro", "rob",
    "sandro", "shelby", "steph", "travis", "victor", "",
)  # fmt: skip
TEST_VOICES = (
    "f4",
    "m7",
    "linda",
    "robert",
    "quincy",
    "zac",
    "marcelo",
    "steph2",
    "iven2",
    "Denis",
    "klatt4",
    "gustave",
)
TEST_EVERY = 5  # every fifth sentence is kept for testing
SPLITS = ("train", "test")
MIN_PAUSE_SHARE = 0.17  # of a performance's time


@dataclass(frozen=True)
class Voice:
    """A speaker of one language, with a pace and a pitch."""

    language: str
    name: str  # espeak-ng's
    rate: int = 165  # words a minute
    pitch: int = 50
    pitch_range: int = 50


@dataclass(frozen=True, eq=False)
class Performance:
    """Speech of a given length. The waveform starts at the same instant as the mouth's time."""

    voice: Voice
    sentences: tuple[str, ...]
    phonemes: tuple[Phoneme, ...]
    waveform: np.ndarray  # (T,) float32 at SAMPLE_RATE, -1 to 1
    mouth: MouthMotion

    @property
    def seconds(self) -> float:
        return len(self.waveform) / SAMPLE_RATE

    @property
    def pause_share(self) -> float:
        """The part of the time in pauses long enough to close the mouth."""
        return float(np.sum(self.mouth.silences[:, 1] - self.mouth.silences[:, 0]) / self.seconds)


@functools.cache
def sentences(language: str, split: str) -> tuple[str, ...]:
    """The sentences of a language ("en", "fr", "de", "it", "es") for "train" or "test"."""
    text = (Path(__file__).parent / "sentences" / f"{language}.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line]
    return tuple(line for index, line in enumerate(lines) if (index % TEST_EVERY == 3) == (split == "test"))


def sample_voice(seed: int, language: str, split: str = "train") -> Voice:
    """The voice of this seed: a speaker of the split, a pace and a pitch."""
    rng = np.random.default_rng((32452843, seed))
    accents = LANGUAGES[language]
    variant = str(rng.choice(TRAIN_VOICES if split == "train" else TEST_VOICES))
    name = str(rng.choice(accents)) + (f"+{variant}" if variant else "")
    return Voice(language, name, int(rng.integers(120, 205)), int(rng.integers(22, 80)), int(rng.integers(30, 75)))


def sample_articulation(seed: int) -> Articulation:
    """How the person of this seed articulates."""
    rng = np.random.default_rng((49979687, seed))
    return Articulation(rng.uniform(1.1, 1.5), rng.uniform(0.75, 1.2), rng.uniform(-0.2, 0.7), rng.uniform(0.85, 1.15))


def perform(
    seed: int,
    voice: Voice,
    seconds: float,
    split: str = "train",
    articulation: Articulation | None = None,
    augmented: bool = True,
) -> Performance:
    """Sentences of the split, drawn by `seed`, with pauses of 0.25 to 1.2 s before, between and after: `seconds` long.

    The last sentence may be cut off. `augmented` adds the seed's gain, noise and room to the sound.
    """
    rng = np.random.default_rng((67867967, seed))
    choice = sentences(voice.language, split)
    order = rng.permutation(len(choice))
    wave: list[np.ndarray] = []
    phonemes: list[Phoneme] = []
    spoken: list[str] = []
    at = paused = 0.0
    while at < seconds:
        pause = rng.uniform(0.25, 0.6) if not spoken else rng.uniform(0.3, 1.2)
        sentence = choice[order[len(spoken) % len(order)]]
        said = speak(sentence, voice.name, voice.rate, voice.pitch, voice.pitch_range)
        end = min(at + pause + len(said.samples) / RATE, seconds)  # long enough a pause for the share to hold there
        pause = round(max(pause, MIN_PAUSE_SHARE * end - paused) * RATE) / RATE
        wave.append(np.zeros(round(pause * RATE), np.float32))
        phonemes.append(Phoneme("", at, at + pause))
        at, paused = at + pause, paused + pause
        wave.append(said.samples)
        phonemes += [Phoneme(p.symbol, p.start + at, p.end + at) for p in said.phonemes]
        at += len(said.samples) / RATE
        spoken.append(sentence)
    samples = to_16k(np.concatenate(wave))[: round(seconds * SAMPLE_RATE)]
    peak = float(np.abs(samples).max())
    samples = samples * np.float32(0.7 / max(peak, 1e-3))
    if augmented:
        samples = augment_audio(samples, seed)
    kept = tuple(Phoneme(p.symbol, p.start, min(p.end, seconds)) for p in phonemes if p.start < seconds)
    return Performance(voice, tuple(spoken), kept, samples, MouthMotion(split_phonemes(kept), articulation))


def silent_performance(seconds: float, articulation: Articulation | None = None) -> Performance:
    """A performance of somebody who says nothing."""
    quiet = (Phoneme("", 0.0, seconds),)
    waveform = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    return Performance(Voice("", ""), (), quiet, waveform, MouthMotion(split_phonemes(quiet), articulation))


def delayed(performance: Performance, start: float, seconds: float) -> Performance:
    """The performance begun at `start` seconds of a silence `seconds` long."""
    said = [Phoneme(p.symbol, p.start + start, p.end + start) for p in performance.phonemes]
    phonemes = (Phoneme("", 0.0, start), *said, Phoneme("", start + performance.seconds, seconds))
    phonemes = tuple(p for p in phonemes if p.end > p.start)
    waveform = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    begin = round(start * SAMPLE_RATE)
    waveform[begin : begin + len(performance.waveform)] = performance.waveform[: len(waveform) - begin]
    mouth = MouthMotion(split_phonemes(phonemes), performance.mouth.articulation)
    return Performance(performance.voice, performance.sentences, phonemes, waveform, mouth)


def augment_audio(samples: np.ndarray, seed: int) -> np.ndarray:
    """The sound as another microphone in another room would take it, without moving it in time."""
    rng = np.random.default_rng((86028121, seed))
    out = samples.astype(np.float64)
    if rng.random() < 0.5:
        length = int(rng.uniform(0.05, 0.3) * SAMPLE_RATE)
        tail = rng.standard_normal(length) * np.exp(-np.linspace(0, 6.9, length))
        tail[: int(0.004 * SAMPLE_RATE)] = 0
        size = 1 << int(np.ceil(np.log2(len(out) + length)))
        room = np.fft.irfft(np.fft.rfft(out, size) * np.fft.rfft(tail, size), size)[: len(out)]
        out = out + room * (rng.uniform(0.05, 0.35) * out.std() / max(room.std(), 1e-9))
    loud = np.sqrt(np.mean(out**2))
    out = out + rng.standard_normal(len(out)) * loud * 10 ** (-rng.uniform(26, 55) / 20)
    out *= 10 ** (rng.uniform(-14, 0) / 20)
    return np.clip(out, -1, 1).astype(np.float32)


def to_16k(samples: np.ndarray) -> np.ndarray:
    """espeak-ng's samples at SAMPLE_RATE, cut off in the spectrum at half of it."""
    step_in, step_out = RATE // 50, SAMPLE_RATE // 50  # 441 samples become 320
    steps = -(-len(samples) // step_in) + 2
    padded = np.zeros(steps * step_in)
    padded[step_in : step_in + len(samples)] = samples
    spectrum = np.fft.rfft(padded)[: steps * step_out // 2 + 1]
    out = np.fft.irfft(spectrum, steps * step_out) * (step_out / step_in)
    return out[step_out : step_out + len(samples) * SAMPLE_RATE // RATE].astype(np.float32)
