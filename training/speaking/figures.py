"""How well the right mouth is found, by speech time of scenes whose speakers are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from latentsync_core.faces.speaking import SpeechSegment, speaking_track

from .data import Example


@dataclass(frozen=True)
class TimeShares:
    """Counted in frames at 25 fps in which somebody is heard."""

    called: int  # a track was taken for the speaker,
    right: int  # and its person speaks
    on_screen: int  # somebody who speaks is shown
    off_screen: int  # nobody who speaks is shown,
    untouched: int  # and no track was taken for the speaker

    @property
    def precision(self) -> float:
        return self.right / max(self.called, 1)

    @property
    def recall(self) -> float:
        return self.right / max(self.on_screen, 1)

    @property
    def spared(self) -> float:
        return self.untouched / max(self.off_screen, 1)


def time_shares(examples: Sequence[Example], segments: Sequence[Sequence[SpeechSegment]]) -> TimeShares:
    """The sums over scenes. Where two speak at once, either is right."""
    totals = np.zeros(5, int)
    for one, found in zip(examples, segments, strict=True):
        count = one.truth.shape[1]
        track = speaking_track(found, count)
        heard, shown = one.heard.any(1), one.truth.any(0)
        called = (track >= 0) & heard
        right = called & one.truth[np.maximum(track, 0), np.arange(count)]
        off = heard & ~shown
        totals += [mask.sum() for mask in (called, right, shown & heard, off, off & ~called)]
    return TimeShares(*totals.tolist())


def reliability(
    examples: Sequence[Example], segments: Sequence[Sequence[SpeechSegment]], edges: Sequence[float]
) -> list[tuple[float, float, float]]:
    """Of each range of probabilities: its mean, the share of time in which the track truly speaks, and the seconds."""
    probability, truth, frames = [], [], []
    for one, found in zip(examples, segments, strict=True):
        for segment in found:
            for score in segment.scores:
                probability.append(score.probability)
                truth.append(one.truth[score.track, segment.first : segment.stop].mean())
                frames.append(segment.stop - segment.first)
    values, shares, weight = (np.array(each, float) for each in (probability, truth, frames))
    rows = []
    for low, high in pairwise(edges):
        inside = (values >= low) & ((values < high) | (high >= 1))
        if weight[inside].sum():
            mean, share = (np.average(each[inside], weights=weight[inside]) for each in (values, shares))
            rows.append((float(mean), float(share), float(weight[inside].sum() / 25)))
    return rows
