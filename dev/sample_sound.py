"""The sample's music-and-effects track, and what puts voices into the same room: all made of sines and seeded noise.

An evening: three soft chords, a few plucked notes, a train drawing away, the street, a cup put down.
"""

from __future__ import annotations

import numpy as np

RATE = 48000  # samples a second
TRACK_LEVEL_DB = -26.7  # dB, root mean square of the whole track: -24.7 LUFS
CHORDS = (  # seconds, then MIDI note numbers: B minor 9, G major 7, D with its ninth
    (0.0, (47, 54, 57, 61, 62)),
    (2.4, (43, 50, 54, 57, 59)),
    (5.46, (38, 45, 54, 57, 64)),
)
PLUCKS = (  # seconds, MIDI note, loudness; the louder ones where nobody speaks
    (0.02, 66, 0.8), (0.36, 69, 0.5), (1.38, 73, 0.35), (2.40, 71, 0.8), (2.74, 66, 0.5), (4.10, 69, 0.3),
    (5.46, 74, 0.7), (5.80, 69, 0.5), (7.16, 76, 0.3), (7.50, 78, 0.3),
)  # fmt: skip
TRAIN_GONE = 4.5  # seconds
CUP_AT = 5.72  # seconds
FADE_IN, FADE_OUT = 0.03, 0.6  # seconds


def music_and_effects(seconds: float) -> np.ndarray:
    """The whole track, (2, seconds * RATE) float64."""
    rng = np.random.default_rng(20)
    length = round(seconds * RATE)
    dry = 0.30 * _pads(length) + 0.55 * _plucks(length) + 0.10 * _cup(length, rng)
    bed = dry + 0.5 * add_reverb(dry, 2.2, seed=1) + 0.16 * _train(length, rng) + 0.018 * _street(length, rng)
    time = np.arange(length) / RATE
    bed *= np.sin(np.pi / 2 * np.clip(np.minimum(time / FADE_IN, (seconds - time) / FADE_OUT), 0, 1)) ** 2
    return bed * 10 ** (TRACK_LEVEL_DB / 20) / np.sqrt(np.mean(bed**2))


def add_reverb(sound: np.ndarray, seconds: float, seed: int) -> np.ndarray:
    """What a room that rings for `seconds` gives back of a (2, n) sound; n samples, about as loud as the sound."""
    rng = np.random.default_rng(seed)
    length = round(seconds * RATE)
    tail = rng.standard_normal((2, length)) * np.exp(-6.9 * np.arange(length) / length)
    tail[:, : round(0.012 * RATE)] = 0
    size = 1 << int(np.ceil(np.log2(sound.shape[1] + length)))
    lowpass = 1 / (1 + (np.fft.rfftfreq(size, 1 / RATE) / 2800) ** 2)
    wet = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(tail, size) * lowpass, size)[:, : sound.shape[1]]
    return wet * (sound.std() / max(wet.std(), 1e-9))


def resampled(samples: np.ndarray, rate: int) -> np.ndarray:
    """(n,) samples at `rate` as (m,) at RATE, by their spectrum."""
    padded = np.pad(samples.astype(np.float64), (rate // 10, rate - (len(samples) + rate // 10) % rate))
    length = len(padded) // rate * RATE
    spectrum = np.fft.rfft(padded)
    whole = np.zeros(length // 2 + 1, complex)
    whole[: min(len(spectrum), len(whole))] = spectrum[: len(whole)]
    out = np.fft.irfft(whole, length) * (length / len(padded))
    return out[RATE // 10 :][: len(samples) * RATE // rate]


def _pads(length: int) -> np.ndarray:
    time = np.arange(length) / RATE
    ends = [start for start, _ in CHORDS[1:]] + [length / RATE + 1]
    pads = np.zeros((2, length))
    for (start, notes), end in zip(CHORDS, ends, strict=True):
        swell = np.clip((time - start + 0.35) / 0.9, 0, 1) * np.clip((end + 0.55 - time) / 0.9, 0, 1)
        for place, note in enumerate(notes):
            for side in (0, 1):
                pitch = _hertz(note) * (1 + (0.0011, -0.0013)[side])
                breath = 1 + 0.2 * np.sin(2 * np.pi * (0.21 + 0.03 * place) * time + side * 1.7 + place)
                tone = sum(np.sin(2 * np.pi * n * pitch * time + place + n * side) / n**2.2 for n in range(1, 6))
                pads[side] += tone * breath * np.sin(swell * np.pi / 2) ** 2 * (60 / (note + 13)) ** 0.5
    return pads / np.abs(pads).max()


def _plucks(length: int) -> np.ndarray:
    plucks = np.zeros((2, length))
    for at, note, loud in PLUCKS:
        time = np.arange(length - round(at * RATE)) / RATE
        pitch = _hertz(note)
        tone = sum(np.sin(2 * np.pi * n * pitch * time) * np.exp(-time * (1.6 + 2.2 * n)) / n**1.3 for n in range(1, 8))
        tone *= np.clip(time / 0.004, 0, 1) * loud
        right = 0.5 + 0.3 * np.sin(note * 2.4)
        plucks[:, -len(time) :] += np.stack([np.sqrt(1 - right) * tone, np.sqrt(right) * tone])
    return plucks / np.abs(plucks).max()


def _train(length: int, rng: np.random.Generator) -> np.ndarray:
    """A rumble that moves off to the right, over the joints of the rails."""
    time = np.arange(length) / RATE
    joints = sum(np.exp(-(((time - at) / 0.018) ** 2)) for beat in np.arange(0, 6, 0.62) for at in (beat, beat + 0.16))
    rumble = _colored(length, rng, 45, 210) + 0.9 * _colored(length, rng, 180, 700) * joints
    away = np.clip(1 - time / TRAIN_GONE, 0, 1) ** 1.6
    right = np.clip(0.35 + 0.5 * time / TRAIN_GONE, 0, 0.85)
    return np.stack([np.sqrt(1 - right), np.sqrt(right)]) * rumble * away


def _street(length: int, rng: np.random.Generator) -> np.ndarray:
    return np.stack([_colored(length, rng, 120, 1500), _colored(length, rng, 120, 1500)])


def _cup(length: int, rng: np.random.Generator) -> np.ndarray:
    """China on china, twice."""
    cup = np.zeros((2, length))
    for at, loud in ((CUP_AT, 1.0), (CUP_AT + 0.07, 0.45)):
        time = np.arange(round(0.5 * RATE)) / RATE
        rings = ((2310, 16), (3790, 22), (5230, 30), (7480, 42))
        ring = sum(np.sin(2 * np.pi * f * rng.uniform(0.99, 1.01) * time) * np.exp(-d * time) for f, d in rings)
        begin = round(at * RATE)
        cup[:, begin : begin + len(time)] += np.array([[0.5], [0.9]]) * loud * ring / len(rings)
    return cup


def _colored(length: int, rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """Noise between two edges in Hz, falling by 3 dB an octave, of deviation 1."""
    f = np.fft.rfftfreq(length, 1 / RATE)
    shape = 1 / np.sqrt(np.maximum(f, 20)) / (1 + (low / np.maximum(f, 1)) ** 4) / (1 + (f / high) ** 4)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(length)) * shape, length)
    return noise / noise.std()


def _hertz(note: int) -> float:
    return 440 * 2 ** ((note - 69) / 12)
