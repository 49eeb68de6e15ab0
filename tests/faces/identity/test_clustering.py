"""Tracks become persons: never two in one frame, whatever the order, and whoever is seen most is person 0."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentsync_core.errors import OptionError
from latentsync_core.faces.identity.clustering import TrackSummary, cluster_tracks
from latentsync_core.faces.identity.embedding import EMBEDDING_SIZE

APART = 0.85  # distance of two real people's embeddings, on average
ALIKE = 0.3  # of two tracks of one person


def person(number: int) -> np.ndarray:
    """(128,): where a person's embeddings lie."""
    place = np.zeros(EMBEDDING_SIZE)
    place[number] = APART / np.sqrt(2)
    return place


def summary(
    place: np.ndarray, start: int, stop: int, seed: int = 0, looks: int = 3, weight: float = 1.0
) -> TrackSummary:
    spread = np.random.default_rng(seed).standard_normal((looks, EMBEDDING_SIZE)) * ALIKE / np.sqrt(2 * EMBEDDING_SIZE)
    return TrackSummary(0, start, stop, (place + spread).astype(np.float32), np.ones(looks, np.float32), weight)


@st.composite
def films(draw, most: int = 14, ties: bool = True) -> list[TrackSummary]:
    """Tracks anywhere in a short clip, overlaps common; with `ties`, several have the same embeddings."""
    tracks = []
    for number in range(draw(st.integers(0, most))):
        start = draw(st.integers(0, 60))
        looks = draw(st.integers(0, 3))
        place = person(draw(st.integers(0, 4))) * draw(st.sampled_from([0.0, 0.4, 0.7, 1.0]))
        weight = draw(st.sampled_from([0.5, 1.0, 2.0])) + number * 1e-3  # no two alike
        seed = draw(st.integers(0, 3)) if ties else number
        tracks.append(summary(place, start, start + draw(st.integers(1, 25)), seed, looks, weight))
    return tracks


@settings(deadline=None)
@given(films())
def test_tracks_that_share_a_frame_are_never_one_person(tracks):
    numbers = cluster_tracks(tracks)
    for (one, a), (other, b) in itertools.combinations(zip(tracks, numbers, strict=True), 2):
        if one.start < other.stop and other.start < one.stop:
            assert a != b


@settings(deadline=None)
@given(films(), st.randoms(use_true_random=False))
def test_the_order_of_the_tracks_does_not_matter(tracks, random):
    order = list(range(len(tracks)))
    random.shuffle(order)
    numbers = cluster_tracks(tracks)
    assert cluster_tracks([tracks[index] for index in order]) == [numbers[index] for index in order]


@settings(deadline=None)
@given(films())
def test_numbers_run_from_the_one_seen_most(tracks):
    numbers = cluster_tracks(tracks)
    assert sorted(set(numbers)) == list(range(len(set(numbers))))
    seen = np.zeros(len(set(numbers)))
    np.add.at(seen, numbers, [track.weight for track in tracks])
    assert (np.diff(seen) <= 1e-9).all()


@settings(deadline=None, max_examples=60)
@given(films(most=10, ties=False))
def test_the_nearest_groups_are_joined_first(tracks):
    for max_distance in (0.2, 0.3):  # up to there it isn't lowered
        numbers = cluster_tracks(tracks, max_distance)
        assert _partition(numbers) == _partition(_joined_one_by_one(tracks, max_distance))


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(0, 1000))
def test_one_person_alone_has_one_number(count, seed):
    tracks = [summary(person(0), 10 * k, 10 * k + 8, seed + k) for k in range(count)]
    assert cluster_tracks(tracks) == [0] * count


def test_a_film_of_many_shots_has_its_people_again():
    rng = np.random.default_rng(4)
    tracks, truth, start = [], [], 0
    while len(tracks) < 1500:
        for who in rng.choice(12, rng.integers(1, 4), replace=False, p=np.arange(12, 0, -1) / 78):
            tracks.append(summary(person(who), start, start + 40, len(tracks), weight=rng.uniform(0.5, 3)))
            truth.append(int(who))
        start += 40
    assert _partition(cluster_tracks(tracks)) == _partition(truth)


def test_twins_in_one_picture_stay_two_and_are_told_apart_over_the_cut():
    near = person(0) + (person(1) - person(0)) * 0.4
    tracks = [
        summary(person(0), 0, 50, 1, weight=3),
        summary(near, 0, 50, 2),
        summary(near, 50, 100, 3),
        summary(person(0), 50, 100, 4),
    ]
    assert cluster_tracks(tracks) == [0, 1, 1, 0]


@pytest.mark.parametrize("nearness", [1.0, 0.5])
def test_people_seen_together_say_how_far_apart_people_are(nearness):
    """Drawn people lie half as far apart as real ones; a third one who never shares a frame is still somebody else."""

    def seen(who: int, start: int) -> TrackSummary:
        return summary(person(who) * nearness, start, start + 50, who, weight=3.0 - who)

    assert cluster_tracks([seen(0, 0), seen(1, 0), seen(0, 50), seen(1, 50), seen(2, 100)]) == [0, 1, 0, 1, 2]
    alone = cluster_tracks([seen(who, 50 * who) for who in range(3)])
    assert alone == ([0, 1, 2] if nearness == 1 else [0, 0, 0])  # nothing says that these are drawn


def test_a_face_too_poor_to_tell_stands_alone():
    tracks = [summary(person(0), 0, 10), summary(person(0), 10, 20, 1), summary(person(0), 20, 30, looks=0)]
    assert cluster_tracks(tracks) == [0, 0, 1]
    blind = TrackSummary(0, 30, 40, tracks[0].embeddings, np.zeros(3, np.float32), 9.0)
    assert cluster_tracks([*tracks, blind]) == [1, 1, 2, 0]


def test_no_tracks_are_nobody():
    assert cluster_tracks([]) == []


def test_a_poor_look_counts_less_than_a_good_one():
    blurred = np.stack([person(0), person(1)]).astype(np.float32)
    tracks = [
        summary(person(0), 0, 10),
        TrackSummary(0, 10, 20, blurred, np.array([1.0, 0.05], np.float32), 1.0),
        summary(person(1), 20, 30),
    ]
    assert cluster_tracks(tracks)[:2] == [0, 0]
    assert cluster_tracks(tracks)[2] == 1


def test_sightings_that_do_not_fit_are_refused():
    good = summary(person(0), 3, 9)
    with pytest.raises(OptionError, match="weights"):
        TrackSummary(0, 3, 9, good.embeddings[:2], good.weights, 1.0)
    for embeddings, weights in (
        (good.embeddings * np.float32(np.nan), good.weights),
        (good.embeddings, -good.weights),
    ):
        with pytest.raises(OptionError, match="frames 3 to 8"):
            TrackSummary(0, 3, 9, embeddings, weights, 1.0)


def _partition(numbers: list[int]) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(np.array(numbers) == number).tolist()) for number in set(numbers)}


def _joined_one_by_one(tracks: list[TrackSummary], limit: float) -> list[int]:
    """What `cluster_tracks` should join, from its definition, in the slow way: all pairs looked at again each time."""
    groups = [[index] for index in range(len(tracks))]

    def away(first: list[int], second: list[int]) -> float:
        total = weight = 0.0
        for one, other in itertools.product(first, second):
            a, b = tracks[one], tracks[other]
            if (a.start < b.stop and b.start < a.stop) or not a.weights.sum() or not b.weights.sum():
                return np.inf
            trust = float(a.weights.sum()) * float(b.weights.sum())
            means = [track.weights @ track.embeddings.astype(np.float64) / track.weights.sum() for track in (a, b)]
            total += trust * float(((means[0] - means[1]) ** 2).sum())
            weight += trust
        return total / weight

    while len(groups) > 1:
        pairs = list(itertools.combinations(range(len(groups)), 2))
        distances = [away(groups[a], groups[b]) for a, b in pairs]
        nearest = int(np.argmin(distances))
        if distances[nearest] > limit**2:
            break
        a, b = pairs[nearest]
        groups[a] += groups.pop(b)
    numbers = [0] * len(tracks)
    for number, group in enumerate(groups):
        for index in group:
            numbers[index] = number
    return numbers
