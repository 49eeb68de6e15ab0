"""Lowers a background while a voice speaks, and leaves every other sample of it alone."""

from __future__ import annotations

import torch

from .fitting import DYNAMIC_RANGE, SILENCE_DBFS

HOP_SECONDS = 0.01
BRIDGED_SECONDS = 0.35  # pauses between words, in which the background stays low
MIN_SPEECH_SECONDS = 0.05  # shorter sounds are clicks


def speech_ranges(voice: torch.Tensor, rate: int) -> list[tuple[int, int]]:
    """The (first, stop) samples in which a (n,) voice speaks, pauses between words bridged."""
    hop = max(1, round(HOP_SECONDS * rate))
    blocks = torch.nn.functional.pad(voice.double().square(), (0, -len(voice) % hop)).reshape(-1, hop).mean(1)
    levels = 10 * blocks.clamp(min=1e-12).log10()
    if not len(levels) or float(levels.max()) < SILENCE_DBFS:
        return []
    loud = (levels > max(float(levels.max()) - DYNAMIC_RANGE, SILENCE_DBFS)).nonzero()[:, 0].tolist()
    ranges: list[tuple[int, int]] = []
    for place in loud:
        start, stop = place * hop, min(len(voice), (place + 1) * hop)
        if ranges and start - ranges[-1][1] <= BRIDGED_SECONDS * rate:
            ranges[-1] = ranges[-1][0], stop
        else:
            ranges.append((start, stop))
    return [(start, stop) for start, stop in ranges if stop - start >= MIN_SPEECH_SECONDS * rate]


def ducking_gain(
    ranges: list[tuple[int, int]], samples: int, rate: int, decibels: float, attack: float, release: float
) -> torch.Tensor:
    """(samples,) float32: 1, exactly, outside; `decibels` lower while somebody speaks, with ramps linear in dB."""
    weight = torch.zeros(samples)
    before, after = round(attack * rate), round(release * rate)
    for start, stop in ranges:
        first, last = max(0, start - before), min(samples, stop + after)
        place = torch.arange(first, last)
        early = (start - place) / max(before, 1)
        late = (place - stop + 1) / max(after, 1)
        weight[first:last] = torch.maximum(weight[first:last], (1 - torch.maximum(early, late)).clamp(0, 1))
    gain = torch.ones(samples)
    low = weight > 0
    gain[low] = 10 ** (-decibels * weight[low] / 20)
    return gain
