"""Who is who across shots: joins the tracks whose faces look alike into persons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import OptionError
from .embedding import EMBEDDING

DIFFERENT = 0.9  # of the usual distance of people seen together: what is nearer may be one person
NEAREST = 0.3  # to this distance two tracks are one person's, however near people seen together are
FINE = 0.01  # step in which distances are counted
BLOCK = 512  # tracks that are compared with all others at once


@dataclass(frozen=True)
class PeopleOptions:
    """How alike two faces must look to be one person's."""

    distance: float = 0.6  # greatest distance of embeddings: less splits people up, more throws them together

    def __post_init__(self) -> None:
        if not 0 < self.distance <= 2:
            raise OptionError(f"the distance of people is {self.distance}; use above 0 and up to 2")


@dataclass(frozen=True, eq=False)
class Sighting:
    """A track as far as telling people apart needs it."""

    shot: int
    start: int  # the clip's frames start..stop-1
    stop: int
    embeddings: np.ndarray  # (k, 128) float32 from `embed_faces`, of some of its frames; k may be 0
    weights: np.ndarray  # (k,) float32: how much to trust each (large, sharp and frontal ones more); not negative
    weight: float  # how much of the picture it fills: box area by frame area, summed over its frames

    def __post_init__(self) -> None:
        if self.embeddings.shape != (len(self.weights), EMBEDDING):
            raise OptionError(
                f"a track's embeddings have the shape {self.embeddings.shape}; "
                f"with {len(self.weights)} weights it must be ({len(self.weights)}, {EMBEDDING})"
            )
        numbers = (self.embeddings, self.weights, self.weight)
        if not all(np.isfinite(number).all() for number in numbers) or (np.asarray(self.weights) < 0).any():
            raise OptionError(f"the track in frames {self.start} to {self.stop - 1} has weights or embeddings below 0")


def name_people(sightings: Sequence[Sighting], options: PeopleOptions | None = None) -> list[int]:
    """A person's number for every track, 0 being who is seen most (ties: who is seen first).

    Groups are joined by average linkage, the nearest first: the distance of two is the root mean square of the
    distances between their tracks' mean embeddings, weighted. Tracks that share a frame are never one person. A track
    without an embedding stands alone. The order of the tracks doesn't matter.

    How far apart different people lie is seen from those who share frames: real ones some 0.9, drawn ones, whom the
    network doesn't know, 0.5. Where that is little, the greatest distance is lowered to `DIFFERENT` of its median.
    """
    options = options or PeopleOptions()
    order = sorted(range(len(sightings)), key=lambda index: _key(sightings[index]))
    ordered = [sightings[index] for index in order]
    tracks = _Groups(ordered)
    groups = tracks.joined(min(options.distance, max(DIFFERENT * tracks.usual_distance(), NEAREST)) ** 2)
    seen: dict[int, float] = {}
    for group, sighting in zip(groups, ordered, strict=True):
        seen[group] = seen.get(group, 0.0) + sighting.weight
    ranks = {group: rank for rank, group in enumerate(sorted(seen, key=lambda group: (-seen[group], group)))}
    numbers = [0] * len(sightings)
    for index, group in zip(order, groups, strict=True):
        numbers[index] = ranks[group]
    return numbers


def _key(sighting: Sighting) -> tuple:
    return (
        sighting.start,
        sighting.stop,
        sighting.shot,
        sighting.weight,
        np.asarray(sighting.embeddings, np.float32).tobytes(),
        np.asarray(sighting.weights, np.float32).tobytes(),
    )


class _Groups:
    """Tracks being joined. A group goes by the number of its first track.

    The mean squared distance between the members of two groups is the squared distance of their means plus both
    scatters, so that no matrix of distances is kept: memory is 512 bytes a track and one bit a pair of tracks.
    """

    def __init__(self, sightings: Sequence[Sighting]):
        count = len(sightings)
        self._means = np.zeros((count, EMBEDDING), np.float32)
        self._trust = np.zeros(count)  # sum of weights
        self._scatter = np.zeros(count)  # weighted mean squared distance from the mean
        for index, sighting in enumerate(sightings):
            trust = float(np.sum(sighting.weights))
            if trust > 0:
                self._means[index] = sighting.weights @ sighting.embeddings / trust
            self._trust[index] = trust
        self._offsets = self._scatter + (self._means**2).sum(1)  # what a group adds to its distances from all others
        self._alive = self._trust > 0
        self._parent = np.arange(count)
        self._apart = _conflicts(sightings)

    def usual_distance(self) -> float:
        """The weighted median distance of tracks that share a frame; infinite if none do. Before anything is joined."""
        counts = np.zeros(1 + round(4 / FINE))
        numbers = np.arange(len(self._parent))
        for index in np.flatnonzero(self._alive):
            others = np.flatnonzero(self._together(index) & self._alive & (numbers > index))
            if len(others):
                distances = np.linalg.norm(self._means[others] - self._means[index], axis=1)
                places = np.minimum((distances / FINE).astype(int), len(counts) - 1)
                counts += np.bincount(places, self._trust[others] * self._trust[index], len(counts))
        if not counts.any():
            return np.inf
        return FINE * (0.5 + int(np.searchsorted(counts.cumsum(), counts.sum() / 2)))

    def joined(self, limit: float) -> np.ndarray:
        """Joins all groups within `limit` (a squared distance); returns each track's group.

        Each round joins all pairs that are each other's nearest (Murtagh, 1983). It gives what joining the nearest pair
        of all would, one by one, as average linkage never brings a joined group nearer to a third one than its parts
        were, forbidden pairs being infinitely far apart.
        """
        count = len(self._parent)
        nearest, distances = np.zeros(count, int), np.zeros(count)
        stale = self._alive.copy()  # whose nearest is not known
        while self._alive.any():
            self._find_nearest(np.flatnonzero(stale & self._alive), nearest, distances)
            self._alive &= distances <= limit  # for the others nothing will ever come nearer
            known = np.flatnonzero(self._alive & self._alive[nearest])
            pairs = known[(nearest[nearest[known]] == known) & (known < nearest[known])]
            if len(known) and not len(pairs):  # equal distances that lead round in circles
                pairs = known[[distances[known].argmin()]]
            changed = np.zeros(count, bool)
            for one, other in zip(pairs, nearest[pairs], strict=True):
                self._join(min(one, other), max(one, other))
                changed[[one, other]] = True
            stale = changed | changed[nearest] | ~self._alive[nearest]
        while (self._parent != self._parent[self._parent]).any():
            self._parent = self._parent[self._parent]
        return self._parent

    def _find_nearest(self, groups: np.ndarray, nearest: np.ndarray, distances: np.ndarray) -> None:
        """Enters the nearest other group of each of `groups`, and its mean squared distance; infinite if none may be
        joined."""
        others = np.flatnonzero(self._alive)
        means, offsets = self._means[others], self._offsets[others]
        for first in range(0, len(groups), BLOCK):
            rows = groups[first : first + BLOCK]
            away = self._offsets[rows, None] + offsets - 2 * (self._means[rows] @ means.T)
            away[np.unpackbits(self._apart[rows], axis=1)[:, others].view(bool)] = np.inf
            places = away.argmin(1)
            nearest[rows], distances[rows] = others[places], away[np.arange(len(rows)), places]

    def _together(self, group: int) -> np.ndarray:
        """(n,) bool: the groups that share a frame with this one, and itself."""
        return np.unpackbits(self._apart[group], count=len(self._parent)).view(bool)

    def _join(self, kept: int, gone: int) -> None:
        share = self._trust[gone] / (self._trust[kept] + self._trust[gone])
        step = (self._means[gone] - self._means[kept]).astype(np.float64)
        self._scatter[kept] += share * (self._scatter[gone] - self._scatter[kept]) + share * (1 - share) * (step @ step)
        self._means[kept] += share * step
        self._offsets[kept] = self._scatter[kept] + (self._means[kept] ** 2).sum()
        self._trust[kept] += self._trust[gone]
        self._alive[gone] = False
        self._parent[gone] = kept
        others = self._together(gone)
        self._apart[kept] |= self._apart[gone]
        self._apart[others, kept // 8] |= np.uint8(0x80 >> kept % 8)


def _conflicts(sightings: Sequence[Sighting]) -> np.ndarray:
    """(n, bytes) uint8: a bit for each pair, set where two share a frame or are the same."""
    starts = np.array([sighting.start for sighting in sightings], np.int64)
    stops = np.array([sighting.stop for sighting in sightings], np.int64)
    count = len(sightings)
    packed = np.zeros((count, -(-count // 8)), np.uint8)
    for first in range(0, count, BLOCK):
        rows = slice(first, first + BLOCK)
        together = (starts[rows, None] < stops) & (starts < stops[rows, None])
        together[np.arange(len(together)), np.arange(first, first + len(together))] = True
        packed[rows] = np.packbits(together, axis=1)
    return packed
