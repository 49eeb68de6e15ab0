"""Who is who across shots: joins the tracks whose faces look alike into persons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import OptionError
from .embedding import EMBEDDING_SIZE

MAX_PERSON_DISTANCE = 0.6  # greatest distance of one person's embeddings: less splits people, more joins them
MAX_TYPICAL_DISTANCE_FRACTION = 0.9  # of the usual distance of people seen together: what is nearer may be one person
MIN_DISTANCE_LIMIT = 0.3  # to this distance two tracks are one person's, however near people seen together are
DISTANCE_BIN = 0.01  # step in which distances are counted
BLOCK = 512  # tracks that are compared with all others at once


@dataclass(frozen=True, eq=False)
class TrackSummary:
    """The part of a track that clustering needs."""

    shot: int
    start: int  # the clip's frames start..stop-1
    stop: int
    embeddings: np.ndarray  # (k, 128) float32 from `embed_faces`, of some of its frames; k may be 0
    weights: np.ndarray  # (k,) float32: how much to trust each (large, sharp and frontal ones more); not negative
    weight: float  # how much of the picture it fills: box area by frame area, summed over its frames

    def __post_init__(self) -> None:
        if self.embeddings.shape != (len(self.weights), EMBEDDING_SIZE):
            raise OptionError(
                f"a track's embeddings have the shape {self.embeddings.shape}; "
                f"with {len(self.weights)} weights it must be ({len(self.weights)}, {EMBEDDING_SIZE})"
            )
        numbers = (self.embeddings, self.weights, self.weight)
        if not all(np.isfinite(number).all() for number in numbers) or (np.asarray(self.weights) < 0).any():
            raise OptionError(f"the track in frames {self.start} to {self.stop - 1} has weights or embeddings below 0")


def cluster_tracks(summaries: Sequence[TrackSummary], max_distance: float = MAX_PERSON_DISTANCE) -> list[int]:
    """A person's number for every track, 0 being who is seen most (ties: who is seen first).

    Groups are joined by average linkage, the nearest first: the distance of two is the root mean square of the
    distances between their tracks' mean embeddings, weighted. Tracks that share a frame are never one person. A track
    without an embedding stands alone. The order of the tracks doesn't matter.

    How far apart different people lie is seen from those who share frames: real ones some 0.9, drawn ones, whom the
    network doesn't know, 0.5. Where that is little, `max_distance` is lowered to `MAX_TYPICAL_DISTANCE_FRACTION` of its
    median.
    """
    order = sorted(range(len(summaries)), key=lambda index: _sort_key(summaries[index]))
    ordered = [summaries[index] for index in order]
    tracks = _Clustering(ordered)
    groups = tracks.cluster(
        min(max_distance, max(MAX_TYPICAL_DISTANCE_FRACTION * tracks.median_distance(), MIN_DISTANCE_LIMIT)) ** 2
    )
    seen: dict[int, float] = {}
    for group, summary in zip(groups, ordered, strict=True):
        seen[group] = seen.get(group, 0.0) + summary.weight
    ranks = {group: rank for rank, group in enumerate(sorted(seen, key=lambda group: (-seen[group], group)))}
    numbers = [0] * len(summaries)
    for index, group in zip(order, groups, strict=True):
        numbers[index] = ranks[group]
    return numbers


def _sort_key(summary: TrackSummary) -> tuple:
    return (
        summary.start,
        summary.stop,
        summary.shot,
        summary.weight,
        np.asarray(summary.embeddings, np.float32).tobytes(),
        np.asarray(summary.weights, np.float32).tobytes(),
    )


class _Clustering:
    """Tracks being joined. A group goes by the number of its first track.

    The mean squared distance between the members of two groups is the squared distance of their means plus both
    scatters, so that no matrix of distances is kept: memory is 512 bytes a track and one bit a pair of tracks.
    """

    def __init__(self, summaries: Sequence[TrackSummary]):
        count = len(summaries)
        self._means = np.zeros((count, EMBEDDING_SIZE), np.float32)
        self._weight_sums = np.zeros(count)  # sum of weights
        self._scatter = np.zeros(count)  # weighted mean squared distance from the mean
        for index, summary in enumerate(summaries):
            weight_sum = float(np.sum(summary.weights))
            if weight_sum > 0:
                self._means[index] = summary.weights @ summary.embeddings / weight_sum
            self._weight_sums[index] = weight_sum
        self._offsets = self._scatter + (self._means**2).sum(1)  # what a group adds to its distances from all others
        self._active = self._weight_sums > 0
        self._parent = np.arange(count)
        self._cannot_link = _cannot_link_bits(summaries)

    def median_distance(self) -> float:
        """The weighted median distance of tracks that share a frame; infinite if none do. Before anything is joined."""
        counts = np.zeros(1 + round(4 / DISTANCE_BIN))
        numbers = np.arange(len(self._parent))
        for index in np.flatnonzero(self._active):
            others = np.flatnonzero(self._overlapping(index) & self._active & (numbers > index))
            if len(others):
                distances = np.linalg.norm(self._means[others] - self._means[index], axis=1)
                places = np.minimum((distances / DISTANCE_BIN).astype(int), len(counts) - 1)
                counts += np.bincount(places, self._weight_sums[others] * self._weight_sums[index], len(counts))
        if not counts.any():
            return np.inf
        return DISTANCE_BIN * (0.5 + int(np.searchsorted(counts.cumsum(), counts.sum() / 2)))

    def cluster(self, limit: float) -> np.ndarray:
        """Joins all groups within `limit` (a squared distance); returns each track's group.

        Each round joins all pairs that are each other's nearest (Murtagh, 1983). It gives what joining the nearest pair
        of all would, one by one, as average linkage never brings a joined group nearer to a third one than its parts
        were, forbidden pairs being infinitely far apart.
        """
        count = len(self._parent)
        nearest, distances = np.zeros(count, int), np.zeros(count)
        stale = self._active.copy()  # whose nearest is not known
        while self._active.any():
            self._find_nearest(np.flatnonzero(stale & self._active), nearest, distances)
            self._active &= distances <= limit  # for the others nothing will ever come nearer
            known = np.flatnonzero(self._active & self._active[nearest])
            pairs = known[(nearest[nearest[known]] == known) & (known < nearest[known])]
            if len(known) and not len(pairs):  # equal distances that lead round in circles
                pairs = known[[distances[known].argmin()]]
            changed = np.zeros(count, bool)
            for one, other in zip(pairs, nearest[pairs], strict=True):
                self._merge(min(one, other), max(one, other))
                changed[[one, other]] = True
            stale = changed | changed[nearest] | ~self._active[nearest]
        while (self._parent != self._parent[self._parent]).any():
            self._parent = self._parent[self._parent]
        return self._parent

    def _find_nearest(self, groups: np.ndarray, nearest: np.ndarray, distances: np.ndarray) -> None:
        """Enters the nearest other group of each of `groups`, and its mean squared distance; infinite if none may be
        joined."""
        others = np.flatnonzero(self._active)
        means, offsets = self._means[others], self._offsets[others]
        for first in range(0, len(groups), BLOCK):
            rows = groups[first : first + BLOCK]
            away = self._offsets[rows, None] + offsets - 2 * (self._means[rows] @ means.T)
            away[np.unpackbits(self._cannot_link[rows], axis=1)[:, others].view(bool)] = np.inf
            places = away.argmin(1)
            nearest[rows], distances[rows] = others[places], away[np.arange(len(rows)), places]

    def _overlapping(self, group: int) -> np.ndarray:
        """(n,) bool: the groups that share a frame with this one, and itself."""
        return np.unpackbits(self._cannot_link[group], count=len(self._parent)).view(bool)

    def _merge(self, target: int, absorbed: int) -> None:
        share = self._weight_sums[absorbed] / (self._weight_sums[target] + self._weight_sums[absorbed])
        step = (self._means[absorbed] - self._means[target]).astype(np.float64)
        self._scatter[target] += share * (self._scatter[absorbed] - self._scatter[target]) + share * (1 - share) * (
            step @ step
        )
        self._means[target] += share * step
        self._offsets[target] = self._scatter[target] + (self._means[target] ** 2).sum()
        self._weight_sums[target] += self._weight_sums[absorbed]
        self._active[absorbed] = False
        self._parent[absorbed] = target
        others = self._overlapping(absorbed)
        self._cannot_link[target] |= self._cannot_link[absorbed]
        self._cannot_link[others, target // 8] |= np.uint8(0x80 >> target % 8)


def _cannot_link_bits(summaries: Sequence[TrackSummary]) -> np.ndarray:
    """(n, bytes) uint8: a bit for each pair, set where two share a frame or are the same."""
    starts = np.array([summary.start for summary in summaries], np.int64)
    stops = np.array([summary.stop for summary in summaries], np.int64)
    count = len(summaries)
    packed = np.zeros((count, -(-count // 8)), np.uint8)
    for first in range(0, count, BLOCK):
        rows = slice(first, first + BLOCK)
        together = (starts[rows, None] < stops) & (starts < stops[rows, None])
        together[np.arange(len(together)), np.arange(first, first + len(together))] = True
        packed[rows] = np.packbits(together, axis=1)
    return packed
