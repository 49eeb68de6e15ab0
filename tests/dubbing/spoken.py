"""Lines that espeak-ng speaks, for tests."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from training.synthetic.speech.espeak import RATE, is_available, speak

needs_espeak = pytest.mark.skipif(not is_available(), reason="espeak-ng isn't installed")
SENTENCES = (
    "The last train left an hour ago.", "I know nothing about it, nothing at all.", "Wait!", "Who told you that?",
    "We could have stayed in the old house by the river.",
)  # fmt: skip


@functools.lru_cache(maxsize=64)
def spoken(number: int, pitch_range: int = 50, rate: int = 170) -> torch.Tensor:
    """(n,) float32 at espeak-ng's RATE: sentence `number`, from a voice of its own for every round."""
    voice = ("en-us", "en-us+f3", "fr", "fr+f2")[number // len(SENTENCES) % 4]
    samples = speak(SENTENCES[number % len(SENTENCES)], voice, rate=rate, pitch_range=pitch_range).samples
    return torch.from_numpy(samples.copy())


def audio(samples: torch.Tensor, rate: int = RATE) -> dict:
    """A sound as ComfyUI's AUDIO."""
    return {"waveform": (samples if samples.ndim == 2 else samples[None])[None], "sample_rate": rate}


def loud_end(samples: np.ndarray, rate: int, decibels: float = 40.0) -> float:
    """Seconds of the last 2 ms that are within so many dB of the loudest."""
    hop = rate // 500
    levels = np.square(samples[: len(samples) // hop * hop].reshape(-1, hop)).mean(1)
    return (np.flatnonzero(levels > levels.max() * 10 ** (-decibels / 10))[-1] + 1) * hop / rate


def median_pitch(samples: np.ndarray, rate: int) -> float:
    """Hz: the median over voiced frames of the autocorrelation's peak between 60 and 300 Hz."""
    size, hop, found = round(0.06 * rate), round(0.02 * rate), []
    for start in range(0, len(samples) - size, hop):
        frame = samples[start : start + size] * np.hanning(size)
        curve = np.fft.irfft(np.abs(np.fft.rfft(frame, 4 * size)) ** 2)[:size]
        curve /= max(curve[0], 1e-9)
        curve[1:] /= np.maximum(1 - np.arange(1, size) / size, 0.2)
        low, high = rate // 300, rate // 60
        lag = low + int(curve[low:high].argmax())
        if curve[lag] > 0.6 and np.square(frame).mean() > 1e-5:
            left, middle, right = curve[lag - 1 : lag + 2]
            found.append(rate / (lag + 0.5 * (left - right) / (left - 2 * middle + right)))
    return float(np.median(found))
