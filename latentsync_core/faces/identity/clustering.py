"""Groups the tracks of all shots into persons by their embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import OptionError
from .embedding import EMBEDDING_SIZE

MAX_PERSON_DISTANCE = 0.6  # between one person's embeddings: a lower limit splits people, a higher one merges them
MAX_TYPICAL_DISTANCE_FRACTION = 0.9  # of the median distance of people who share frames, up to which tracks are joined
MIN_DISTANCE_LIMIT = 0.3  # the lowest limit: tracks nearer than this may always be joined
DISTANCE_BIN = 0.01  # width of the histogram's bins
BLOCK = 512  # tracks that are compared with all others in one step


@dataclass(frozen=True, eq=False)
class TrackSummary:
    """The part of a track that clustering needs."""

    shot: int
    start: int  # the clip's frames start..stop-1
    stop: int
    embeddings: np.ndarray  # (k, 128) float32 from `embed_faces`, of some of its frames; k may be 0
    weights: np.ndarray  # (k,) float32: confidence in each (larger for large, sharp, frontal faces); not negative
    weight: float  # prominence: box area / frame area, summed over its frames

    def __post_init__(self) -> None:
        if self.embeddings.shape != (len(self.weights), EMBEDDING_SIZE):
            raise OptionError(
                f"the embeddings of the track in frames {self.start} to {self.stop - 1} have the shape "
                f"{self.embeddings.shape}; with {len(self.weights)} weights it must be "
                f"({len(self.weights)}, {EMBEDDING_SIZE})"
            )
        numbers = (self.embeddings, self.weights, self.weight)
        if not all(np.isfinite(number).all() for number in numbers) or (np.asarray(self.weights) < 0).any():
            raise OptionError(
                f"the track in frames {self.start} to {self.stop - 1} has values that aren't finite or weights below 0"
            )


def cluster_tracks(summaries: Sequence[TrackSummary], max_distance: float = MAX_PERSON_DISTANCE) -> list[int]:
    """Each track's person, numbered by prominence from 0 on (ties: by the first frame).

    Agglomerative clustering with average linkage: the distance of two groups is the weighted root mean square of the
    distances between their tracks' mean embeddings. Tracks that share a frame are never one person. A track without an
    embedding is a person of its own. The result doesn't depend on the order of the tracks.

    Tracks that share frames show how far apart different people lie: about 0.9 if filmed, 0.5 if drawn, which the
    network wasn't trained on. `max_distance` is capped at `MAX_TYPICAL_DISTANCE_FRACTION` of their median distance.
    """
    order = sorted(range(len(summaries)), key=lambda index: _sort_key(summaries[index]))
    ordered = [summaries[index] for index in order]
    clustering = _Clustering(ordered)
    limit = max(MAX_TYPICAL_DISTANCE_FRACTION * clustering.median_distance(), MIN_DISTANCE_LIMIT)
    groups = clustering.cluster(min(max_distance, limit) ** 2)
    prominence: dict[int, float] = {}
    for group, summary in zip(groups, ordered, strict=True):
        prominence[group] = prominence.get(group, 0.0) + summary.weight
    by_prominence = sorted(prominence, key=lambda group: (-prominence[group], group))
    ranks = {group: rank for rank, group in enumerate(by_prominence)}
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
    """The groups of tracks during clustering. A group's number is that of its first track.

    The mean squared distance between the members of two groups is the squared distance of their means plus both
    scatters, so no distance matrix is needed: memory is 512 bytes a track and one bit a pair of tracks.
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
        self._offsets = self._scatter + (self._means**2).sum(1)  # a group's term in all its squared distances
        self._active = self._weight_sums > 0
        self._parent = np.arange(count)
        self._cannot_link = _cannot_link_bits(summaries)

    def median_distance(self) -> float:
        """The weighted median distance of tracks that share a frame; infinite if none do. Call it before `cluster`."""
        counts = np.zeros(1 + round(4 / DISTANCE_BIN))
        numbers = np.arange(len(self._parent))
        for index in np.flatnonzero(self._active).tolist():
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

        Each round joins all pairs of mutual nearest neighbours (Murtagh, 1983). The result is that of joining only the
        nearest pair in each round, since average linkage is reducible: a joined group is never nearer to a third one
        than its parts were. Pairs that share a frame are infinitely far apart.
        """
        count = len(self._parent)
        nearest, distances = np.zeros(count, int), np.zeros(count)
        stale = self._active.copy()  # whose nearest neighbour is out of date
        while self._active.any():
            self._find_nearest(np.flatnonzero(stale & self._active), nearest, distances)
            self._active &= distances <= limit  # the others can never come nearer
            known = np.flatnonzero(self._active & self._active[nearest])
            pairs = known[(nearest[nearest[known]] == known) & (known < nearest[known])]
            if len(known) and not len(pairs):  # equal distances can form a circle
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
        """Writes each group's nearest neighbour and mean squared distance, infinite if it can't be joined, in place."""
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
    """(n, bytes) uint8: one bit per pair of tracks, set if they share a frame or are the same track."""
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
