"""Kinds of shots: where people are in a picture of each kind, how they move, turn and hide one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..head.light import Light
from ..head.motion import HeadMotion
from ..occluders.objects import HAND_GESTURES, Occluder, sample_occluder

MAX_YAW = 75.0  # degrees: beyond it hair drawn on planes grows too thin
MAX_FILM_SECONDS = 180.0  # seconds of a film in which eyes go on blinking


@dataclass(frozen=True)
class Keyframe:
    """Where a head is at a moment of a shot; between keys everything is eased."""

    progress: float  # 0 to 1 of the shot
    x: float  # fractions of the frame
    y: float
    size: float  # a head unit, in frame heights; a face is about 1.5 units high
    yaw: float = 0.0  # degrees, on top of the head's own small movements
    pitch: float = 0.0


@dataclass(frozen=True, eq=False)
class Role:
    """A person's part in a shot."""

    person: int  # 0 to PEOPLE - 1
    keys: tuple[Keyframe, ...]
    motion: HeadMotion
    occluder: Occluder | None = None  # passes before the face, once in the shot


@dataclass(frozen=True)
class Pan:
    """The camera's movement, in frame widths: from `start` to `end`, and by hand a little."""

    start: tuple[float, float] = (0.0, 0.0)
    end: tuple[float, float] = (0.0, 0.0)
    shake: float = 0.0


@dataclass(frozen=True, eq=False)
class Stage:
    """What a kind of shot is made of."""

    rng: np.random.Generator
    people: list[int]
    light: Light

    def role(self, person: int, *keys: Keyframe, amplitude: float = 0.6, occluder: Occluder | None = None) -> Role:
        facing = tuple(self.rng.uniform(-1, 1, 3) * (0.12, 0.06, 0.04))
        motion = HeadMotion(int(self.rng.integers(1 << 30)), MAX_FILM_SECONDS, amplitude, facing)
        return Role(person, keys, motion, occluder)

    def occluder(self, kind: str) -> Occluder:
        gesture = str(self.rng.choice(HAND_GESTURES)) if kind == "hand" else None
        return sample_occluder(int(self.rng.integers(1 << 30)), kind, gesture=gesture, light=self.light)

    def pan(self, reach: float = 0.03) -> Pan:
        if self.rng.random() < 0.4:
            return Pan()
        start, end = (tuple(self.rng.uniform(-reach, reach, 2) * (1, 0.4)) for _ in range(2))
        return Pan(start, end, float(self.rng.choice([0.0, 0.0015])))

    @property
    def side(self) -> int:
        return 1 if self.rng.random() < 0.5 else -1


ShotPlan = tuple[tuple[Role, ...], Pan]


def _close(stage: Stage, occluder: str | None = None) -> ShotPlan:
    """One face fills the picture."""
    rng = stage.rng
    size = rng.uniform(0.20, 0.29)
    x, y = rng.uniform((0.40, 0.46), (0.60, 0.52))
    end = size * rng.uniform(0.94, 1.1)
    thing = stage.occluder(occluder) if occluder else None
    keys = Keyframe(0, x, y, size), Keyframe(1, x + rng.uniform(-0.03, 0.03), y, end)
    return (stage.role(stage.people[0], *keys, amplitude=0.8, occluder=thing),), stage.pan()


def _profile(stage: Stage) -> ShotPlan:
    """A face turns to profile and back, to one side, then to the other one half way."""
    rng, side = stage.rng, stage.side
    size = rng.uniform(0.18, 0.26)
    x, y = 0.5, rng.uniform(0.46, 0.52)
    far, less = side * rng.uniform(62, MAX_YAW - 5), -side * rng.uniform(28, 48)
    turns = ((0, 0), (0.15, 0), (0.32, far), (0.45, far), (0.6, 0), (0.68, 0), (0.8, less), (0.88, less), (1, 0))
    keys = (Keyframe(progress, x - 0.0006 * yaw, y, size, yaw) for progress, yaw in turns)
    return (stage.role(stage.people[0], *keys, amplitude=0.3),), stage.pan()


def _two(stage: Stage, occluder: str | None = None) -> ShotPlan:
    """Two faces side by side, half turned to each other; the first has the hand before the mouth."""
    rng, side = stage.rng, stage.side
    roles = []
    for number, person in enumerate(stage.people):
        way = side if number == 0 else -side
        size, x = rng.uniform(0.14, 0.19), 0.5 - way * rng.uniform(0.20, 0.25)
        y, yaw = rng.uniform(0.46, 0.54), way * rng.uniform(0, 30)
        thing = stage.occluder(occluder) if occluder and number == 0 else None
        keys = Keyframe(0, x, y, size, yaw), Keyframe(0.5, x + 0.02, y, size, yaw * 0.3), Keyframe(1, x, y, size, yaw)
        roles.append(stage.role(person, *keys, occluder=thing))
    return tuple(roles), stage.pan(0.02)


def _wide(stage: Stage) -> ShotPlan:
    """All at some distance: faces of about 40 to 80 pixels in a picture 360 high."""
    rng = stage.rng
    places = rng.permutation([0.22, 0.5, 0.78])
    people = sorted(zip(stage.people, places, rng.uniform(0.075, 0.145, 3), strict=False), key=lambda row: row[2])
    roles = []
    for person, x, size in people:
        yaw = rng.uniform(-30, 30)
        y = 0.5 + rng.uniform(-0.04, 0.04)
        keys = Keyframe(0, x, y, size, yaw), Keyframe(1, x + rng.uniform(-0.04, 0.04), y, size, -0.5 * yaw)
        roles.append(stage.role(person, *keys))
    return tuple(roles), stage.pan(0.04)


def _cross(stage: Stage) -> ShotPlan:
    """Two stand at a distance, the third walks past before them and back out of the picture."""
    rng, side = stage.rng, stage.side
    *standing, walker = stage.people
    roles = []
    for number, person in enumerate(standing):
        x, size = 0.36 + 0.3 * number + rng.uniform(-0.04, 0.04), rng.uniform(0.095, 0.115)
        keys = Keyframe(0, x, 0.5, size), Keyframe(1, x, 0.5, size)
        roles.append(stage.role(person, *keys))
    size, y = rng.uniform(0.15, 0.175), 0.47
    here, there = (-0.2, 1.2) if side > 0 else (1.2, -0.2)
    yaw = side * rng.uniform(35, 60)
    keys = (
        Keyframe(0, here, y, size, yaw),
        Keyframe(0.62, 0.5 + 0.28 * side, y, size, 0.5 * yaw),
        Keyframe(1, there, y, size, yaw),
    )
    roles.append(stage.role(walker, *keys))
    return tuple(roles), stage.pan(0.02)


def _pass(stage: Stage) -> ShotPlan:
    """Two people change sides, the nearer one before the other."""
    rng, side = stage.rng, stage.side
    near, far = stage.people
    y, low, high = 0.5, rng.uniform(0.12, 0.14), rng.uniform(0.16, 0.18)
    roles = []
    for person, way, size in ((far, -side, low), (near, side, high)):
        yaw = way * rng.uniform(20, 45)
        keys = (
            Keyframe(0, 0.5 - 0.26 * way, y, size), Keyframe(0.25, 0.5 - 0.24 * way, y, size, yaw),
            Keyframe(0.75, 0.5 + 0.24 * way, y, size, yaw), Keyframe(1, 0.5 + 0.26 * way, y, size),
        )  # fmt: skip
        roles.append(stage.role(person, *keys))
    return tuple(roles), stage.pan(0.02)


def _enter(stage: Stage) -> ShotPlan:
    """One comes in at a side, stays, and the other one leaves at the other."""
    rng, side = stage.rng, stage.side
    coming, leaving = stage.people
    size, y = rng.uniform(0.15, 0.19), 0.5
    outside = 0.5 - side * 0.72
    yaw = side * rng.uniform(25, 50)
    comes = (
        Keyframe(0, outside, y, size, yaw),
        Keyframe(0.12, outside, y, size, yaw),
        Keyframe(0.45, 0.5 - 0.22 * side, y, size, 0),
    )
    comes = (*comes, Keyframe(1, 0.5 - 0.2 * side, y, size, 0))
    x = 0.5 + side * 0.22
    goes = (
        Keyframe(0, x, y, size),
        Keyframe(0.55, x, y, size, 0),
        Keyframe(0.65, x, y, size, yaw),
        Keyframe(0.92, 0.5 + side * 0.72, y, size, yaw),
    )
    return (stage.role(coming, *comes), stage.role(leaving, *goes)), stage.pan(0.02)


def _walk(stage: Stage) -> ShotPlan:
    """One comes from far away towards the camera and goes past it."""
    rng, side = stage.rng, stage.side
    small, large = rng.uniform(0.07, 0.09), rng.uniform(0.26, 0.32)
    keys = (
        Keyframe(0, 0.5 - 0.2 * side, 0.46, small), Keyframe(0.7, 0.5, 0.48, 0.6 * large, 8 * side),
        Keyframe(1, 0.5 + 0.36 * side, 0.52, large, 25 * side),
    )  # fmt: skip
    return (stage.role(stage.people[0], *keys, amplitude=0.9),), stage.pan(0.02)


def _nobody(stage: Stage) -> ShotPlan:
    """The room without anybody."""
    return (), stage.pan(0.04)


KINDS: dict[str, Callable[[Stage], ShotPlan]] = {
    "close": _close,
    "glance": _close,  # very short
    "jump": _close,  # with a second shot, nearer, of the same
    "hand": lambda stage: _close(stage, "hand"),
    "microphone": lambda stage: _close(stage, "microphone"),
    "cup": lambda stage: _close(stage, "cup"),
    "profile": _profile,
    "two": _two,
    "two hands": lambda stage: _two(stage, "hand"),
    "wide": _wide,
    "glimpse": _wide,  # very short
    "cross": _cross,
    "pass": _pass,
    "enter": _enter,
    "walk": _walk,
    "nobody": _nobody,
}
