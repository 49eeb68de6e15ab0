"""Tracks become persons: never two in one frame, whatever the order, and whoever is seen most is person 0."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentsync_core.errors import OptionError
from latentsync_core.faces.identity.clustering import PeopleOptions, Sighting, name_people
from latentsync_core.faces.identity.embedding import EMBEDDING

APART = 0.85  # distance of two real people's embeddings, on average
ALIKE = 0.3  # of two tracks of one person


def person(number: int) -> np.ndarray:
    """(128,): where a person's embeddings lie."""
    place = np.zeros(EMBEDDING)
    place[number] = APART / np.sqrt(2)
    return place


def sighting(place: np.ndarray, start: int, stop: int, seed: int = 0, looks: int = 3, weight: float = 1.0) -> Sighting:
    spread = np.random.default_rng(seed).standard_normal((looks, EMBEDDING)) * ALIKE / np.sqrt(2 * EMBEDDING)
    return Sighting(0, start, stop, (place + spread).astype(np.float32), np.ones(looks, np.float32), weight)


@st.composite
def films(draw, most: int = 14, ties: bool = True) -> list[Sighting]:
    """Tracks anywhere in a short clip, overlaps common; with `ties`, several have the same embeddings."""
    tracks = []
    for number in range(draw(st.integers(0, most))):
        start = draw(st.integers(0, 60))
        looks = draw(st.integers(0, 3))
        place = person(draw(st.integers(0, 4))) * draw(st.sampled_from([0.0, 0.4, 0.7, 1.0]))
        weight = draw(st.sampled_from([0.5, 1.0, 2.0])) + number * 1e-3  # no two alike
        seed = draw(st.integers(0, 3)) if ties else number
        tracks.append(sighting(place, start, start + draw(st.integers(1, 25)), seed, looks, weight))
    return tracks


@settings(deadline=None)
@given(films())
def test_tracks_that_share_a_frame_are_never_one_person(tracks):
    numbers = name_people(tracks)
    for (one, a), (other, b) in itertools.combinations(zip(tracks, numbers, strict=True), 2):
        if one.start < other.stop and other.start < one.stop:
            assert a != b


@settings(deadline=None)
@given(films(), st.randoms(use_true_random=False))
def test_the_order_of_the_tracks_does_not_matter(tracks, random):
    order = list(range(len(tracks)))
    random.shuffle(order)
    numbers = name_people(tracks)
    assert name_people([tracks[index] for index in order]) == [numbers[index] for index in order]


@settings(deadline=None)
@given(films())
def test_numbers_run_from_the_one_seen_most(tracks):
    numbers = name_people(tracks)
    assert sorted(set(numbers)) == list(range(len(set(numbers))))
    seen = np.zeros(len(set(numbers)))
    np.add.at(seen, numbers, [track.weight for track in tracks])
    assert (np.diff(seen) <= 1e-9).all()


@settings(deadline=None, max_examples=60)
@given(films(most=10, ties=False))
def test_the_nearest_groups_are_joined_first(tracks):
    for distance in (0.2, 0.3):  # up to there it isn't lowered
        numbers = name_people(tracks, PeopleOptions(distance))
        assert _partition(numbers) == _partition(_joined_one_by_one(tracks, distance))


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(0, 1000))
def test_one_person_alone_has_one_number(count, seed):
    tracks = [sighting(person(0), 10 * k, 10 * k + 8, seed + k) for k in range(count)]
    assert name_people(tracks) == [0] * count


def test_a_film_of_many_shots_has_its_people_again():
    rng = np.random.default_rng(4)
    tracks, truth, start = [], [], 0
    while len(tracks) < 1500:
        for who in rng.choice(12, rng.integers(1, 4), replace=False, p=np.arange(12, 0, -1) / 78):
            tracks.append(sighting(person(who), start, start + 40, len(tracks), weight=rng.uniform(0.5, 3)))
            truth.append(int(who))
        start += 40
    assert _partition(name_people(tracks)) == _partition(truth)


def test_twins_in_one_picture_stay_two_and_are_told_apart_over_the_cut():
    near = person(0) + (person(1) - person(0)) * 0.4
    tracks = [
        sighting(person(0), 0, 50, 1, weight=3),
        sighting(near, 0, 50, 2),
        sighting(near, 50, 100, 3),
        sighting(person(0), 50, 100, 4),
    ]
    assert name_people(tracks) == [0, 1, 1, 0]


@pytest.mark.parametrize("nearness", [1.0, 0.5])
def test_people_seen_together_say_how_far_apart_people_are(nearness):
    """Drawn people lie half as far apart as real ones; a third one who never shares a frame is still somebody else."""

    def seen(who: int, start: int) -> Sighting:
        return sighting(person(who) * nearness, start, start + 50, who, weight=3.0 - who)

    assert name_people([seen(0, 0), seen(1, 0), seen(0, 50), seen(1, 50), seen(2, 100)]) == [0, 1, 0, 1, 2]
    alone = name_people([seen(who, 50 * who) for who in range(3)])
    assert alone == ([0, 1, 2] if nearness == 1 else [0, 0, 0])  # nothing says that these are drawn


def test_a_face_too_poor_to_tell_stands_alone():
    tracks = [sighting(person(0), 0, 10), sighting(person(0), 10, 20, 1), sighting(person(0), 20, 30, looks=0)]
    assert name_people(tracks) == [0, 0, 1]
    blind = Sighting(0, 30, 40, tracks[0].embeddings, np.zeros(3, np.float32), 9.0)
    assert name_people([*tracks, blind]) == [1, 1, 2, 0]


def test_no_tracks_are_nobody():
    assert name_people([]) == []


def test_a_poor_look_counts_less_than_a_good_one():
    blurred = np.stack([person(0), person(1)]).astype(np.float32)
    tracks = [
        sighting(person(0), 0, 10),
        Sighting(0, 10, 20, blurred, np.array([1.0, 0.05], np.float32), 1.0),
        sighting(person(1), 20, 30),
    ]
    assert name_people(tracks)[:2] == [0, 0]
    assert name_people(tracks)[2] == 1


@pytest.mark.parametrize("distance", [0.0, -1.0, 2.5, float("nan")])
def test_an_impossible_distance_is_refused(distance):
    with pytest.raises(OptionError, match="distance of people"):
        PeopleOptions(distance=distance)


def test_sightings_that_do_not_fit_are_refused():
    good = sighting(person(0), 3, 9)
    with pytest.raises(OptionError, match="weights"):
        Sighting(0, 3, 9, good.embeddings[:2], good.weights, 1.0)
    for embeddings, weights in (
        (good.embeddings * np.float32(np.nan), good.weights),
        (good.embeddings, -good.weights),
    ):
        with pytest.raises(OptionError, match="frames 3 to 8"):
            Sighting(0, 3, 9, embeddings, weights, 1.0)


def _partition(numbers: list[int]) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(np.array(numbers) == number).tolist()) for number in set(numbers)}


def _joined_one_by_one(tracks: list[Sighting], limit: float) -> list[int]:
    """What `name_people` should join, from its definition, in the slow way: all pairs looked at again each time."""
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
