"""Precision and recall of speech activity: ``python -m benchmarks.speech_activity [--silero]``.

Voices of the test split of the training data speak sentences of known phonemes (espeak-ng), alone and beneath noise,
hum and music that are made here. A hundredth of a second counts as speech within a phoneme or in a gap under 0.15 s;
those within 0.05 s of a change don't count. Scores are compared with the default threshold, without hangover and ramp.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import torch

from latentsync_core.audio.pause_options import PauseOptions
from latentsync_core.audio.silero import load_silero, silero_scores
from latentsync_core.audio.speech_gate import SCORES_PER_SECOND, gate_scores
from latentsync_core.errors import ToolError
from latentsync_core.runs import runs_where
from training.synthetic.speech.performance import LANGUAGES, SAMPLE_RATE, Performance, perform, sample_voice

FIRST_SEED, SECONDS = 500, 20.0
LEAST_GAP, EDGE = 0.15, 0.05  # seconds
NOISES = ("white", "pink", "traffic", "hum", "fan", "music", "music with drums")
CHORDS = ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14))  # semitones
PENTATONIC = (0, 2, 4, 7, 9, 12)


def true_speech(spoken: Performance) -> np.ndarray:
    """(n,) bool, a value for every hundredth of a second."""
    speech = np.zeros(int(spoken.seconds * SCORES_PER_SECOND), bool)
    for phoneme in spoken.phonemes:
        if phoneme.symbol:
            speech[round(phoneme.start * SCORES_PER_SECOND) : round(phoneme.end * SCORES_PER_SECOND)] = True
    for start, stop in runs_where(~speech):
        if stop - start < LEAST_GAP * SCORES_PER_SECOND and start > 0 and stop < len(speech):
            speech[start:stop] = True
    return speech


def made_noise(kind: str, samples: int, seed: int) -> np.ndarray:
    """(samples,) float64 of variance 1."""
    rng, time = np.random.default_rng((7, seed)), np.arange(samples) / SAMPLE_RATE
    if kind.startswith("music"):
        sound = music(samples, seed, drums=kind.endswith("drums"))
    elif kind == "hum":
        sound = sum(np.sin(2 * np.pi * 50 * number * time + number) / number for number in range(1, 9))
    else:
        frequency = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
        frequency[0] = frequency[1]
        shape = {"white": 1, "pink": frequency**-0.5, "traffic": (frequency > 30) / frequency,
                 "fan": 1 / (1 + (frequency / 400) ** 2)}[kind]  # fmt: skip
        sound = np.fft.irfft(np.fft.rfft(rng.standard_normal(samples)) * shape, samples)
        if kind == "traffic":  # cars pass
            sound *= 1 + 0.6 * np.sin(2 * np.pi * 0.11 * time + seed)
        if kind == "fan":
            sound += 0.7 * sound.std() * np.sin(2 * np.pi * 118 * time)
    return sound / sound.std()


def music(samples: int, seed: int, drums: bool) -> np.ndarray:
    """Held chords below a melody of eighth notes, with drums on them or without."""
    rng, out = np.random.default_rng((8, seed)), np.zeros(samples)
    beat, root = 60 / rng.uniform(70, 130), rng.uniform(90, 180)

    def play(start: float, seconds: float, frequency: float, loudness: float, decay: float, harmonics: int) -> None:
        first = int(start * SAMPLE_RATE)
        time = np.arange(max(min(int(seconds * SAMPLE_RATE), samples - first), 0)) / SAMPLE_RATE
        envelope = loudness * np.exp(-time / decay) * np.minimum(time / 0.01, 1)
        for number in range(1, harmonics + 1):
            out[first : first + len(time)] += envelope * np.sin(2 * np.pi * frequency * number * time) / number**1.3

    for bar in range(int(samples / SAMPLE_RATE / (4 * beat)) + 1):
        for semitone in CHORDS[bar % len(CHORDS)]:
            play(4 * beat * bar, 4 * beat, root * 2 ** (semitone / 12), 1.0, 1.5, 6)
        for eighth in range(8):
            start = beat * (4 * bar + eighth / 2)
            play(start, beat / 2, 4 * root * 2 ** (rng.choice(PENTATONIC) / 12), 0.8, 0.4, 4)
            first = int(start * SAMPLE_RATE)
            time = np.arange(max(min(SAMPLE_RATE // 8, samples - first), 0)) / SAMPLE_RATE
            if drums and eighth % 2:
                out[first : first + len(time)] += 2 * rng.standard_normal(len(time)) * np.exp(-time / 0.03)
            elif drums:
                out[first : first + len(time)] += 6 * np.sin(2 * np.pi * 80 * time) * np.exp(-time / 0.06)
    return out


def conditions(clips: int, ratios: tuple[int, ...]) -> Iterator[tuple[str, list[tuple[np.ndarray, np.ndarray]]]]:
    """Yields (name, [(waveform float32 at 16 kHz, truth)])."""
    languages, spoken = list(LANGUAGES), []
    for number in range(clips):
        voice = sample_voice(FIRST_SEED + number, languages[number % len(languages)], "test")
        spoken.append(perform(FIRST_SEED + number, voice, SECONDS, "test", augmented=False))
    truths = [true_speech(one) for one in spoken]
    yield "speech alone", [(one.waveform, truth) for one, truth in zip(spoken, truths, strict=True)]
    for kind in NOISES:
        noises = [made_noise(kind, len(one.waveform), number) for number, one in enumerate(spoken)]
        for ratio in ratios:
            scales = [one.waveform.std() * 10 ** (-ratio / 20) for one in spoken]
            mixed = [one.waveform + scale * noise for one, scale, noise in zip(spoken, scales, noises, strict=True)]
            yield f"{kind}, {ratio} dB", list(zip([sound.astype(np.float32) for sound in mixed], truths, strict=True))
        yield f"{kind} alone", [(0.05 * noise.astype(np.float32), truths[0] & False) for noise in noises]


def counts(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(4,): speech found, found falsely, missed, and rightly left out."""
    length = min(len(scores), len(truth))
    found, truth = scores[:length] >= PauseOptions().threshold, truth[:length]
    counted = np.ones(length, bool)
    reach = round(EDGE * SCORES_PER_SECOND)
    for change in np.flatnonzero(np.diff(truth.astype(int))) + 1:
        counted[max(change - reach, 0) : change + reach] = False
    return np.array([(found == one) & (truth == other) & counted for one in (1, 0) for other in (1, 0)]).sum(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=4, help="of 20 s each")
    parser.add_argument("--ratios", type=int, nargs="+", default=[30, 20, 10, 5], help="signal-to-noise ratios, dB")
    parser.add_argument("--silero", action="store_true", help="measure an installed silero-vad instead of the gate")
    options = parser.parse_args()
    torch.set_num_threads(1)
    network = load_silero() if options.silero else None
    if options.silero and network is None:
        raise ToolError("silero-vad isn't installed here; install it with 'pip install silero-vad'")
    print("| sound | precision | recall | false alarms |\n| --- | --- | --- | --- |")
    for name, clips in conditions(options.clips, tuple(options.ratios)):
        total = np.zeros(4, int)
        for waveform, truth in clips:
            blocks = [torch.from_numpy(waveform)]
            scores = gate_scores(blocks) if network is None else silero_scores(network, blocks)
            total += counts(scores, truth)
        hit, false, missed, rest = total
        precision, recall = (f"{hit / (hit + other):.3f}" if hit + missed else "–" for other in (false, missed))
        print(f"| {name} | {precision} | {recall} | {false / max(false + rest, 1):.3f} |", flush=True)


if __name__ == "__main__":
    main()
