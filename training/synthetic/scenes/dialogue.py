"""Dialogues: two or three people who take turns, are heard off screen, talk at once, and listen with moving mouths.

``dialogue(seed)`` is rendered by film_frames.py, and cached as a file by dialogue_file.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from ..head.light import sample_light
from ..head.listening import Gesture, ListeningMouth, NoddingMotion, sample_gesture
from ..speech.performance import Performance
from ..speech.turns import choose_voices, perform_turns
from .film import PEOPLE, Film, FilmShot, choose_cast
from .film_staging import KINDS, Keyframe, Role, Stage

TURN_SECONDS, GAP_SECONDS, OVERLAP_SECONDS = (1.5, 3.4), (0.0, 0.5), (0.6, 1.2)
SHOT_SECONDS = (1.6, 3.4)
CROSSTALK_SHARE = 0.2  # of turns that begin before the turn before has ended
GESTURE_SHARE = 0.75  # of a listener's time between turns that has a gesture
JOINED_SECONDS = 0.3  # a shorter silence within a turn is no pause
# Of a shot: all people, the speaker alone, somebody who listens alone, nobody.
SHOT_KINDS, SHOT_SHARES = ("all", "speaker", "reaction", "nobody"), (0.5, 0.22, 0.2, 0.08)


@dataclass(frozen=True, eq=False)
class Dialogue:
    """A film whose cast talk to one another; of two people, the third of its cast is a voice off screen."""

    film: Film
    people: int  # on screen, 2 or 3
    turns: tuple[tuple[float, float, int], ...]  # start, end (seconds) and person, by start; they may overlap
    gestures: tuple[tuple[Gesture, ...], ...]  # of each person

    @property
    def speaks(self) -> np.ndarray:
        """(N, PEOPLE) bool: who speaks in each frame, whether or not it shows them."""
        times = (np.arange(self.film.frame_count) + 0.5) / float(self.film.fps)
        return np.stack([spoken(performance, times) for performance in self.film.performances], axis=1)


def spoken(performance: Performance, times: np.ndarray) -> np.ndarray:
    """(n,) bool: whether a phoneme is heard at the times, gaps shorter than JOINED_SECONDS included."""
    spans: list[list[float]] = []
    for phoneme in performance.phonemes:
        if not phoneme.symbol.strip():
            continue
        if spans and phoneme.start - spans[-1][1] < JOINED_SECONDS:
            spans[-1][1] = phoneme.end
        else:
            spans.append([phoneme.start, phoneme.end])
    return np.any([(times >= start) & (times < end) for start, end in spans] or [times < 0], axis=0)


def dialogue(
    seed: int, people: int = 2, seconds: float = 8.0, size: tuple[int, int] = (640, 360), fps: Fraction = Fraction(25)
) -> Dialogue:
    """The dialogue of this seed: the same arguments, the same dialogue. `size` is (width, height)."""
    rng = np.random.default_rng((512927377, seed, people))
    turns = _sample_turns(rng, people, seconds)
    gestures = tuple(_sample_gestures(rng, person, turns, seconds) for person in range(PEOPLE))
    performances = []
    for person, voice in enumerate(choose_voices(seed, PEOPLE)):
        own = [(start, end) for start, end, who in turns if who == person]
        performance = perform_turns(10 * seed + person, voice, own, seconds)
        performances.append(replace(performance, mouth=ListeningMouth(performance.mouth, gestures[person])))
    shots = _sample_shots(rng, people, turns, gestures, seconds, fps)
    film = Film(seed, *size, fps, choose_cast(seed), tuple(performances), tuple(turns), tuple(shots))
    return Dialogue(film, people, tuple(turns), gestures)


def _sample_turns(rng: np.random.Generator, people: int, seconds: float) -> list[tuple[float, float, int]]:
    """Turns of all people in the cast; the voice off screen takes fewer."""
    turns: list[tuple[float, float, int]] = []
    free = np.zeros(PEOPLE)  # when each has ended
    at, who = 0.2, int(rng.integers(people))
    while at < seconds - TURN_SECONDS[0]:
        end = min(at + rng.uniform(*TURN_SECONDS), seconds)
        turns.append((float(at), float(end), who))
        free[who] = end
        shares = np.array([1.0 if person < people else 0.5 for person in range(PEOPLE)])
        shares[who] = 0
        who = int(rng.choice(PEOPLE, p=shares / shares.sum()))
        at = end - rng.uniform(*OVERLAP_SECONDS) if rng.random() < CROSSTALK_SHARE else end + rng.uniform(*GAP_SECONDS)
        at = max(at, free[who])
    return turns


def _sample_gestures(
    rng: np.random.Generator, person: int, turns: list[tuple[float, float, int]], seconds: float
) -> tuple[Gesture, ...]:
    """Gestures of a listener, one or two in each time that the person doesn't speak."""
    own = [(start, end) for start, end, who in turns if who == person]
    edges = [0.0, *(edge for turn in own for edge in turn), seconds]
    gestures = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        while end - start > 0.9:
            length = min(rng.uniform(0.9, 3.0), end - start)
            if rng.random() < GESTURE_SHARE:
                gestures.append(sample_gesture(rng, start, start + length))
            start += length
    return tuple(gestures)


def _sample_shots(
    rng: np.random.Generator,
    people: int,
    turns: list[tuple[float, float, int]],
    gestures: tuple[tuple[Gesture, ...], ...],
    seconds: float,
    fps: Fraction,
) -> list[FilmShot]:
    place, light = int(rng.integers(1 << 30)), sample_light(int(rng.integers(1 << 30)))
    frames, total = [], round(seconds * fps)
    while (rest := total - sum(frames)) > 0:
        length = round(rng.uniform(*SHOT_SECONDS) * float(fps))
        frames.append(rest if rest - length < SHOT_SECONDS[0] * fps else length)
    shots: list[FilmShot] = []
    for number, length in enumerate(frames):
        first = float(sum(frames[:number]) / fps)
        shown = [person for person in range(people) if _spoken_share(turns, person, first, first + length / fps) > 0.4]
        quiet = [person for person in range(people) if person not in shown]
        kind = str(rng.choice(SHOT_KINDS, p=SHOT_SHARES))
        who = {"all": list(range(people)), "speaker": shown[:1], "reaction": quiet[:1], "nobody": []}[kind]
        stage = Stage(rng, who, light)
        if len(who) == 3:
            roles, pan = _three(stage)
        else:
            roles, pan = KINDS[{0: "nobody", 1: "close", 2: "two"}[len(who)]](stage)
        roles = tuple(replace(role, motion=NoddingMotion(role.motion, gestures[role.person])) for role in roles)
        shots.append(FilmShot(kind, length, roles, place + number, light, float(rng.choice([0.8, 1.5, 2.5])), pan))
    return shots


def _spoken_share(turns: list[tuple[float, float, int]], person: int, first: float, last: float) -> float:
    """The part of the seconds first..last that lies within the person's turns."""
    inside = sum(max(0.0, min(end, last) - max(start, first)) for start, end, who in turns if who == person)
    return float(inside / (last - first))


def _three(stage: Stage) -> tuple[tuple[Role, ...], object]:
    """Three people side by side, half turned to the one in the middle."""
    rng = stage.rng
    places = rng.permutation([0.2, 0.5, 0.8])
    roles = []
    for person, x in zip(stage.people, places, strict=True):
        size, y = rng.uniform(0.12, 0.15), rng.uniform(0.47, 0.53)
        yaw = (0.5 - x) * rng.uniform(0, 60)
        keys = Keyframe(0, x, y, size, yaw), Keyframe(1, x + rng.uniform(-0.02, 0.02), y, size, 0.5 * yaw)
        roles.append(stage.role(person, *keys))
    return tuple(roles), stage.pan(0.02)
