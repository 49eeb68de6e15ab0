"""Speech scores without any network: energy above the noise floor, that changes as syllables do and holds no tone.

Three measures every 10 ms, each over some tenths of a second: how far the bands from 120 to 6000 Hz rise above what is
always there (`rise`: hiss, hum and room tone are the floor themselves), how much the spectrum changes (`modulation`:
noise that swells slowly doesn't), and which share of its peaks stay in their place (`steadiness`: notes of music do,
the harmonics of a voice follow its pitch).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .resample import TARGET_RATE

SCORES_PER_SECOND = 100
HOP = TARGET_RATE // SCORES_PER_SECOND  # samples
FRAME, LONG_FRAME = 512, 1024  # samples of the spectra that bands and peaks are read from: 32 ms, 64 ms
BANDS, LOWEST, HIGHEST = 20, 120.0, 6000.0  # mel-spaced; Hz
# The noise floor of a band: its least power, averaged over 90 ms, within two seconds to either side. That average's
# minimum lies below its mean; FLOOR_BIAS brings steady noise to a rise near 1 dB.
FLOOR_RADIUS, FLOOR_AVERAGE, FLOOR_BIAS = 200, 9, 1.5  # hops, hops, dB
# Nothing counts that is quieter than this below the loudest within five seconds, nor below the dither of 16 bits.
LOUDNESS_RADIUS, DYNAMIC_RANGE, LEAST_POWER = 500, 45.0, 1e-13  # hops, dB, of a full-scale sine's
MAX_RISE = 30.0  # dB
MODULATION_WINDOW, STEADINESS_WINDOW = 61, 51  # hops
LOWEST_PEAK, HIGHEST_PEAK = 10, 256  # bins of LONG_FRAME: 156 Hz to 4 kHz, above hum's loudest harmonics
PEAK_HEIGHT, PEAK_LAG, PEAK_CHANGE = 6.0, 5, 4.0  # dB above the median, hops to either side, dB
# A measure at its middle counts half; the width is that of a logistic curve. Of steadiness a small value is speech.
RISE, MODULATION, STEADINESS = (3.0, 0.7), (2.0, 0.2), (0.32, -0.04)  # dB, dB, share
MARGIN = LOUDNESS_RADIUS + 10  # hops that a score depends on, to either side
BLOCK = 3000  # hops computed together


def gate_scores(blocks: Iterable[Tensor]) -> np.ndarray:
    """(T,) float32 in [0, 1], one score for every 10 ms of (n,) float32 blocks at 16 kHz; in constant memory."""
    return np.concatenate([np.zeros(0, np.float32), *(_scores(*stretch) for stretch in _stretches(blocks))])


def _stretches(blocks: Iterable[Tensor]) -> Iterator[tuple[Tensor, int, int]]:
    """Yields overlapping pieces of the sound, and of each the hops to be scored, first and stop, counted in it."""
    held, first = torch.zeros(0), 0  # `first` hops of `held` are scored
    for block in blocks:
        held = torch.cat([held, block])
        while len(held) >= (first + BLOCK + MARGIN) * HOP:
            yield held[: (first + BLOCK + MARGIN) * HOP], first, first + BLOCK
            scored = first + BLOCK
            first = min(scored, MARGIN)
            held = held[(scored - first) * HOP :]
    last = -(-len(held) // HOP)
    if last > first:
        yield F.pad(held, (0, last * HOP - len(held))), first, last


def _scores(samples: Tensor, first: int, stop: int) -> np.ndarray:
    bands = _power(samples, FRAME) @ _band_weights().T  # (n, BANDS)
    score = _logistic(_rise(bands), *RISE) * _logistic(_modulation(bands), *MODULATION)
    score *= _logistic(_steadiness(_power(samples, LONG_FRAME)[:, :HIGHEST_PEAK]), *STEADINESS)
    return score[first:stop].float().numpy()


def _power(samples: Tensor, size: int) -> Tensor:
    """(n, size / 2 + 1) float64 power spectra of the frames around every hop, 1 being about a full-scale sine's."""
    window = torch.hann_window(size, dtype=torch.float64)
    window /= (window.square().sum() * size / 2).sqrt()
    before = (size - HOP) // 2
    frames = F.pad(samples.double(), (before, size - HOP - before)).unfold(0, size, HOP)
    return torch.fft.rfft(frames * window).abs().square()


def _rise(bands: Tensor) -> Tensor:
    """(n,) dB: the bands' mean rise above the noise floor."""
    floor = -_maximum(-_average(bands, FLOOR_AVERAGE), FLOOR_RADIUS) * 10 ** (FLOOR_BIAS / 10)
    loudest = _maximum(_average(bands.mean(1, keepdim=True), 5), LOUDNESS_RADIUS)
    floor = torch.maximum(floor, (loudest * 10 ** (-DYNAMIC_RANGE / 10)).clamp(min=LEAST_POWER))
    return _decibels(_average(bands, 3) / floor).clamp(0, MAX_RISE).mean(1)


def _modulation(bands: Tensor) -> Tensor:
    """(n,) dB: the standard deviation of a band's level within 0.6 s, the mean of all bands."""
    level = _decibels(_average(bands, 5) + LEAST_POWER)
    variance = _average(level.square(), MODULATION_WINDOW) - _average(level, MODULATION_WINDOW).square()
    return variance.clamp(min=0).sqrt().mean(1)


def _steadiness(power: Tensor) -> Tensor:
    """(n,) 0 to 1: the share of spectral peaks that were and will be peaks of about the same level, within 0.5 s."""
    level = _decibels(power + 10 * LEAST_POWER)
    earlier, later = (_shifted(level, lag) for lag in (-PEAK_LAG, PEAK_LAG))
    peak = _peaks(level) & (level > level.median(1, keepdim=True).values + PEAK_HEIGHT)
    peak[:, :LOWEST_PEAK] = False
    steady = peak & _peaks(earlier) & _peaks(later)
    steady &= ((earlier - level).abs() < PEAK_CHANGE) & ((later - level).abs() < PEAK_CHANGE)
    share = steady.sum(1) / peak.sum(1).clamp(min=1)
    return _average(share[:, None].double(), STEADINESS_WINDOW)[:, 0]


def _peaks(level: Tensor) -> Tensor:
    """(n, bins) bool: bins higher than the one below and no lower than the one above."""
    found = torch.zeros_like(level, dtype=torch.bool)
    inner = level[:, 1:-1]
    found[:, 1:-1] = (inner > level[:, :-2]) & (inner >= level[:, 2:])
    return found


def _shifted(values: Tensor, hops: int) -> Tensor:
    place = (torch.arange(len(values)) + hops).clamp(0, len(values) - 1)
    return values[place]


def _average(values: Tensor, window: int) -> Tensor:
    """The mean of (n, c) over a window of so many hops, an odd number, centred; at the ends over what is there."""
    return F.avg_pool1d(values.T[None], window, 1, window // 2, count_include_pad=False)[0].T


def _maximum(values: Tensor, radius: int) -> Tensor:
    return F.max_pool1d(values.T[None], 2 * radius + 1, 1, radius)[0].T


def _decibels(power: Tensor) -> Tensor:
    return 10 * power.clamp(min=1e-20).log10()


def _logistic(values: Tensor, middle: float, width: float) -> Tensor:
    return torch.sigmoid((values - middle) / width)


@functools.cache
def _band_weights() -> Tensor:
    """(BANDS, FRAME / 2 + 1) float64: each row averages the bins of one band."""
    lowest, highest = (2595 * np.log10(1 + frequency / 700) for frequency in (LOWEST, HIGHEST))
    edges = 700 * (10 ** (np.linspace(lowest, highest, BANDS + 1) / 2595) - 1)
    bins = np.fft.rfftfreq(FRAME, 1 / TARGET_RATE)
    members = (bins >= edges[:-1, None]) & (bins < edges[1:, None])
    return torch.from_numpy(members / members.sum(1, keepdims=True))
