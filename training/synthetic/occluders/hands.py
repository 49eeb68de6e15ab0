"""Hands: their bones, bent into gestures and turned to the camera, as bodies to be drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .solids import Capsule, Material, Slab

# Lengths in head units (about 0.1 m), of a hand 1.85 long; across from the index finger's side, along from the wrist.
KNUCKLES = ((-0.31, 0.93), (-0.105, 0.98), (0.10, 0.94), (0.285, 0.84))  # index to little finger
PHALANX_LENGTHS = ((0.42, 0.25, 0.19), (0.46, 0.29, 0.20), (0.42, 0.27, 0.20), (0.33, 0.20, 0.18))
JOINT_RADII = ((0.115, 0.098, 0.090, 0.066), (0.118, 0.100, 0.092, 0.068), (0.110, 0.094, 0.086, 0.064),
          (0.095, 0.082, 0.074, 0.056))  # radii at each joint and the tip  # fmt: skip
NAIL_TINT = np.array([1.10, 0.96, 0.98])  # of the skin's colour
PALM_TINT = np.array([1.12, 0.98, 0.94])  # of the skin's colour, on the palm


@dataclass(frozen=True)
class Gesture:
    """A hand's form, and how it is held before a face. Angles in degrees."""

    bends: tuple[tuple[float, float, float], ...]  # of the three joints of four fingers
    spread: float  # between neighbouring fingers
    thumb: tuple[float, float]  # how far it stands off, how far it is bent
    anchor: tuple[float, float]  # the hand's place (across, along) that is put before the face
    offset: tuple[float, float]  # where that is from the mouth's middle, head units right and down
    turn: tuple[float, float]  # least and most: fingers' direction from upwards, to either side
    palm_probability: float  # how often the palm faces the camera


GESTURES = {
    "palm": Gesture(((8, 14, 8),) * 4, 1.5, (25, 15), (0.0, 1.0), (0.0, 0.02), (55, 105), 0.05),
    "cover": Gesture(((12, 18, 10),) * 4, 7.0, (45, 15), (0.0, 1.05), (0.0, 0.05), (0, 50), 0.15),
    "point": Gesture(((2, 4, 2), (78, 98, 55), (82, 100, 55), (85, 100, 55)), 2.0, (-8, 45), (-0.31, 1.55),
                     (0.0, 0.0), (0, 60), 0.3),
    "fist": Gesture(((72, 98, 60), (76, 100, 60), (78, 100, 60), (80, 98, 60)), 1.0, (-5, 50), (0.0, 0.85),
                    (0.0, 0.42), (0, 55), 0.1),
    "two_fingers": Gesture(((5, 10, 6), (6, 12, 6), (80, 98, 55), (82, 98, 55)), 4.0, (15, 40), (-0.2, 1.5),
                           (0.05, 0.08), (20, 75), 0.3),
    "wave": Gesture(((4, 6, 4),) * 4, 13.0, (55, 5), (0.0, 1.0), (0.0, 0.1), (0, 40), 0.8),
    "grip": Gesture(((55, 75, 40), (58, 78, 42), (60, 80, 44), (62, 80, 45)), 1.0, (5, 35), (0.0, 1.05),
                    (0.0, 0.9), (60, 95), 0.0),
}  # fmt: skip


@dataclass(frozen=True)
class Hand:
    """One hand: its gesture, how it is turned, how large, of which skin, in which sleeve."""

    gesture: Gesture
    mirrored: bool  # the thumb on the picture's other side
    size: float  # 1 a man's
    turn: float  # radians clockwise, of the fingers from upwards
    twist: float  # radians about the forearm; pi shows the palm
    tilt: float  # radians that the fingers lean towards the camera
    skin: tuple[float, float, float]  # sRGB in [0, 1]
    sleeve: Material | None
    sleeve_offset: float  # head units behind the wrist
    nails: tuple[float, float, float] | None  # painted, sRGB
    seed: int


def sample_hand(
    rng: np.random.Generator, gesture: str, skin: tuple[float, float, float], sleeve: Material | None
) -> Hand:
    """A hand in that gesture, no two alike: joints, turns and sizes vary."""
    form = GESTURES[gesture]
    loose = rng.normal(0, 1, (4, 3)) * (5, 7, 4) + rng.normal(0, 5)
    bends = tuple(tuple(row) for row in np.clip(np.array(form.bends) + loose, -8, 112).tolist())
    spread = form.spread + rng.normal(0, 1.5)
    thumb = (form.thumb[0] + rng.normal(0, 8), max(form.thumb[1] + rng.normal(0, 8), 0))
    form = replace(form, bends=bends, spread=spread, thumb=thumb)
    side = 1 if rng.random() < 0.5 else -1
    turn = np.deg2rad(side * rng.uniform(*form.turn))
    twist = rng.normal(0, 0.3) + (np.pi if rng.random() < form.palm_probability else 0)
    painted = tuple(rng.uniform((0.4, 0, 0), (0.9, 0.4, 0.5))) if rng.random() < 0.12 else None
    return Hand(
        form, bool(rng.random() < 0.5), rng.uniform(0.78, 1.05), float(turn), float(twist), float(rng.normal(0, 0.22)),
        skin, sleeve, float(rng.uniform(-0.05, 0.7)), painted, int(rng.integers(1 << 30)),
    )  # fmt: skip


def hand_bodies(hand: Hand, lift: float = 0.0) -> list[Capsule | Slab]:
    """The hand's bodies in head units, its anchor at the origin, `lift` towards the camera."""
    axes = _axes(hand)
    form = hand.gesture
    origin = np.array([*form.anchor, 0.0])
    base = np.array(hand.skin) ** 2
    inner = base * PALM_TINT if np.cos(hand.twist) < 0 else base
    skin = Material(tuple(np.clip(inner, 0, 1)), 0.22, 0.09, seed=hand.seed)
    nail_color = np.array(hand.nails) ** 2 if hand.nails else np.clip(base * NAIL_TINT + 0.03, 0, 1)
    nail = Material(tuple(nail_color), 1.0, 0.0)
    bodies: list[Capsule | Slab] = []

    def place(point) -> tuple[float, float, float]:
        seen = axes @ ((np.asarray(point, float) - origin) * hand.size)
        return (float(seen[0]), float(seen[1]), float(seen[2] + lift))

    def add(start, end, start_radius, end_radius, material=skin, **more) -> None:
        radii = (start_radius * hand.size, end_radius * hand.size)
        bodies.append(Capsule(place(start), place(end), *radii, material, **more))

    add((0, 0.02, 0), (0, -4.0, 0), 0.235, 0.42, depth=0.8, flat=1.3, merge=0.1)
    for (across, along), widths in zip(KNUCKLES, JOINT_RADII, strict=True):
        add((across * 0.55, 0.1, 0), (across, along, 0.02), 0.2, widths[0] + 0.035, depth=0.6, flat=1.8, merge=0.12)
    add((-0.2, 0.18, -0.06), (-0.27, 0.55, -0.04), 0.2, 0.17, flat=1.2, depth=0.7, merge=0.1)
    add((0.17, 0.2, -0.04), (0.25, 0.6, -0.02), 0.17, 0.15, flat=1.2, depth=0.7, merge=0.1)
    for number in range(4):
        spread = np.deg2rad((number - 1.3) * form.spread)
        point = np.array([*KNUCKLES[number], 0.0])
        _finger(add, point, spread, form.bends[number], PHALANX_LENGTHS[number], JOINT_RADII[number], nail)
    stand, bent = np.deg2rad(form.thumb)
    point = np.array([-0.26, 0.3, -0.08])
    away = np.array([-np.sin(stand + 0.35), np.cos(stand + 0.35), -0.25])
    knuckle = point + away * 0.42
    add(point, knuckle, 0.16, 0.125, merge=0.07)
    _finger(add, knuckle, -(stand + 0.25 - bent * 0.6), (bent * 20, bent * 20), (0.33, 0.27), (0.12, 0.108, 0.08), nail)
    if hand.sleeve is not None:
        add((0, -hand.sleeve_offset, 0), (0, -4.5, 0), 0.33, 0.62, hand.sleeve, flat=1.6, depth=0.9)
    return bodies


def _finger(add, point, spread, bends, bones, widths, nail) -> None:
    forward = np.array([np.sin(spread), np.cos(spread), 0.0])
    bent = 0.0
    for number, (bend, length) in enumerate(zip(bends, bones, strict=True)):
        bent += np.deg2rad(bend)
        along = np.cos(bent) * forward - np.array([0, 0, np.sin(bent)])
        back = np.sin(bent) * forward + np.array([0, 0, np.cos(bent)])
        end = point + along * (length - (widths[number + 1] if number == len(bones) - 1 else 0))
        add(point, end, widths[number], widths[number + 1], crease=0.35 if number else 0.15)
        if number == len(bones) - 1:
            wide = widths[number + 1] * 0.74
            top = back * widths[number + 1] * 0.62
            add(end - along * 0.05 + top, end + along * 0.045 + top, wide, wide * 0.92, nail, flat=2.0, depth=0.55)
        point = end


def _axes(hand: Hand) -> np.ndarray:
    """(3, 3): the hand's own axes (across, along the fingers, out of its back) in the camera's."""
    cosine, sine = np.cos(hand.twist), np.sin(hand.twist)
    twisted = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    cosine, sine = np.cos(hand.tilt), np.sin(hand.tilt)
    tilted = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    cosine, sine = np.cos(hand.turn), np.sin(hand.turn)
    turned = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    picture = np.diag([-1.0 if hand.mirrored else 1.0, -1.0, 1.0])  # fingers up: y falls
    return turned @ picture @ tilted @ twisted
