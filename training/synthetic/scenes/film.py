"""Films: three people in many shots of all kinds, as a seeded script with everything that is true of it.

``film(seed)`` is rendered by film_frames.py and cached as a file by film_file.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from ..head.identity import Identity, sample_identity
from ..head.light import Light, sample_light
from ..speech.performance import Performance
from ..speech.turns import choose_voices, perform_turns
from .film_staging import KINDS, Pan, Role, Stage
from .scene import FIRST_TEST_SEED

PEOPLE = 3
FADE_FRAMES = 10  # frames of a fade to or from black, each
BLACK_FRAMES = 3  # wholly black frames between; the first of them begins the new shot
DISSOLVE_FRAMES = 12  # frames on which both pictures show; the new shot begins in their middle
FLASH_FRAMES = 2  # frames that a photographer's flash lasts
MIN_CAST_DIFFERENCE = 0.30  # least difference of skin and hair (sRGB, means) between two of the cast
MIN_TURN_SECONDS = 1.2  # seconds of speech at least: shorter shots go to the speaker before


@dataclass(frozen=True, eq=False)
class FilmShot:
    """Frames between two cuts."""

    kind: str  # a name of KINDS
    frames: int
    roles: tuple[Role, ...]  # the farthest first
    backdrop: int  # seed
    light: Light
    grain: float  # standard deviation of the camera's noise, of 255 levels
    pan: Pan
    backdrop_zoom: float = 1.0
    flash: int | None = None  # frame of the shot at which a flash begins
    begins: str = "cut"  # or "fade" (through black) or "dissolve"


@dataclass(frozen=True, eq=False)
class Film:
    """A film to be drawn, with its sounds: one of each person as long as the film, at 16 kHz."""

    seed: int
    width: int
    height: int
    fps: Fraction
    cast: tuple[Identity, ...]
    performances: tuple[Performance, ...]
    speakers: tuple[tuple[float, float, int], ...]  # start, end (seconds) and person of every turn
    shots: tuple[FilmShot, ...]

    @property
    def frame_count(self) -> int:
        return sum(shot.frames for shot in self.shots)

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Each shot's frames, half-open."""
        ends = np.cumsum([shot.frames for shot in self.shots]).tolist()
        return tuple(zip([0, *ends[:-1]], ends, strict=True))

    @property
    def waveform(self) -> np.ndarray:
        """(T,) float32: all voices together."""
        return np.clip(np.sum([performance.waveform for performance in self.performances], 0), -1, 1)


# What happens, in order; a seed rearranges it. Letters are people, as the seed casts them.
SCRIPT: tuple[tuple[str, str, float], ...] = (
    ("close", "A", 3.2), ("close", "B", 2.8), ("two", "AB", 3.6), ("profile", "B", 4.2), ("glance", "C", 0.2),
    ("hand", "C", 4.0), ("cross", "ABC", 4.8), ("nobody", "", 1.2), ("enter", "AB", 4.2), ("microphone", "B", 3.2),
    ("pass", "CB", 4.2), ("profile", "A", 4.2), ("glimpse", "ABC", 0.32), ("close", "C", 2.8), ("wide", "ABC", 4.0),
    ("jump", "A", 2.0), ("two hands", "CA", 4.0), ("two", "BC", 3.2), ("walk", "A", 3.2),
)  # fmt: skip


def film(
    seed: int,
    size: tuple[int, int] = (640, 360),
    fps: Fraction = Fraction(25),
    script: Sequence[tuple[str, str, float]] = SCRIPT,
    *,
    rearranged: bool = True,
    transitions: bool = True,
) -> Film:
    """The film of this seed: the same seed, the same film. `size` is (width, height), `script` rows of kind, people and
    seconds; with `rearranged` their order and who plays whom are the seed's; two fades and a dissolve are among the
    cuts if there are shots enough and `transitions` is on."""
    rng = np.random.default_rng((3141592, seed))
    rows = [(kind, [ord(letter) - ord("A") for letter in who], seconds) for kind, who, seconds in script]
    if rearranged:
        who = rng.permutation(PEOPLE)
        rows = [(kind, [int(who[person]) for person in people], seconds) for kind, people, seconds in rows]
        rows = [rows[0], *(rows[k] for k in 1 + rng.permutation(len(rows) - 1))]
    cast = choose_cast(seed)
    sets = [(int(rng.integers(1 << 30)), sample_light(int(rng.integers(1 << 30)))) for _ in range(3)]
    shots: list[FilmShot] = []
    for kind, people, seconds in rows:
        place, light = sets[rng.integers(len(sets))]
        frames = max(1, round(seconds * fps))
        stage = Stage(rng, people, light)
        roles, pan = KINDS[kind](stage)
        grain = float(rng.choice([0.8, 1.5, 2.5]))
        flash = frames // 3 if kind == "two" and not any(shot.flash for shot in shots) else None
        shot = FilmShot(kind, frames, roles, place + 1 + len(shots), light, grain, pan, flash=flash)
        shots.append(shot)
        if kind == "jump":  # the same picture, larger: a cut within what one camera took
            shots.append(_punched_in(shot))
    if transitions:
        shots = _with_transitions(shots, rng)
    speakers = _turns(shots, fps, rng)
    length = float(sum(shot.frames for shot in shots) / fps)
    performances = []
    for person, voice in enumerate(choose_voices(seed, PEOPLE)):
        turns = [(start, end) for start, end, who in speakers if who == person]
        performances.append(perform_turns(10 * seed + person, voice, turns, length))
    return Film(seed, *size, fps, cast, tuple(performances), tuple(speakers), tuple(shots))


def choose_cast(seed: int) -> tuple[Identity, ...]:
    """The seed's three test people: of three hair cuts, unlike in skin and hair, their eyes to be seen."""
    cast: list[Identity] = []
    number = FIRST_TEST_SEED + 100 * seed
    while len(cast) < PEOPLE:
        person = sample_identity(number, "real")
        number += 1
        if person.hair_cut in ("bald", "buzz") or person.glasses == "dark":
            continue  # a skull without hair shows its front from behind, too
        if all(
            _difference(person, other) > MIN_CAST_DIFFERENCE and person.hair_cut != other.hair_cut for other in cast
        ):
            cast.append(person)
    return tuple(cast)


def _punched_in(shot: FilmShot) -> FilmShot:
    grown = 1.35
    roles = tuple(
        replace(
            role,
            keys=tuple(
                replace(k, x=0.5 + grown * (k.x - 0.5), y=0.5 + grown * (k.y - 0.48), size=k.size * grown)
                for k in role.keys
            ),
        )
        for role in shot.roles
    )  # fmt: skip
    return replace(shot, roles=roles, backdrop_zoom=grown)


def _with_transitions(shots: list[FilmShot], rng: np.random.Generator) -> list[FilmShot]:
    """Some of the shots begin with a fade or a dissolve: those long enough, with a long one before."""
    needed = FADE_FRAMES + BLACK_FRAMES + FADE_FRAMES + DISSOLVE_FRAMES
    free = [k for k in range(1, len(shots)) if min(shots[k].frames, shots[k - 1].frames) > needed]
    free = [k for k in free if "jump" not in (shots[k].kind, shots[k - 1].kind)]
    for k, how in zip(rng.permutation(free), ("fade", "dissolve", "fade"), strict=False):
        shots[k] = replace(shots[k], begins=how)
    return shots


def _turns(shots: list[FilmShot], fps: Fraction, rng: np.random.Generator) -> list[tuple[float, float, int]]:
    """Who speaks when: somebody of the shot; one of nobody, or too short for a word, leaves it to the one before."""
    turns: list[tuple[float, float, int]] = []
    at = 0
    for shot in shots:
        start, end = float(at / fps), float((at + shot.frames) / fps)
        at += shot.frames
        people = [role.person for role in shot.roles]
        who = (
            int(rng.choice(people))
            if people and (end - start >= MIN_TURN_SECONDS or not turns)
            else turns[-1][2]
            if turns
            else 0
        )
        if turns and turns[-1][2] == who:
            turns[-1] = (turns[-1][0], end, who)
        else:
            turns.append((start, end, who))
    return turns


def _difference(one: Identity, other: Identity) -> float:
    return sum(float(np.abs(np.subtract(a, b)).mean()) for a, b in ((one.skin, other.skin), (one.hair, other.hair)))
