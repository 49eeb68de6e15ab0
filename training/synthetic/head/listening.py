"""What a listener does without a word: nods, smiles, chews, and opens the mouth in silence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .mouth import MouthShape

GESTURES = ("nod", "smile", "chew", "gape")
RAMP_SECONDS = 0.25  # seconds in which a gesture begins and ends


@dataclass(frozen=True)
class Gesture:
    """One of GESTURES from `start` to `end` seconds; `rate` in Hz, `strength` 0 to 1, `open_lips` of chewing."""

    kind: str
    start: float
    end: float
    rate: float
    strength: float
    open_lips: bool = False

    def weight(self, time: float) -> float:
        """0 outside of the gesture, 1 within it, smooth between."""
        inside = min(time - self.start, self.end - time) / RAMP_SECONDS
        part = min(max(inside, 0.0), 1.0)
        return part * part * (3 - 2 * part)


def sample_gesture(rng: np.random.Generator, start: float, end: float, kind: str | None = None) -> Gesture:
    """A gesture of any kind, or of `kind`, that lies between the two seconds."""
    kind = kind or str(rng.choice(GESTURES))
    slowest, fastest = {"nod": (1.0, 2.2), "smile": (0.3, 0.8), "chew": (1.1, 2.4), "gape": (0.4, 3.5)}[kind]
    return Gesture(
        kind, start, end, float(rng.uniform(slowest, fastest)), float(rng.uniform(0.5, 1)), bool(rng.random() < 0.5)
    )


class ListeningMouth:
    """A mouth that speaks as `speech` does and has gestures besides: callable like a MouthMotion."""

    def __init__(self, speech: Callable[[np.ndarray], list[MouthShape]], gestures: Sequence[Gesture]) -> None:
        self._speech, self._gestures = speech, tuple(gestures)

    def __call__(self, times: np.ndarray) -> list[MouthShape]:
        """The mouth's shape at each of the (n,) seconds."""
        shapes = self._speech(times)
        for gesture in self._gestures:
            shapes = [_with_gesture(shape, gesture, float(time)) for shape, time in zip(shapes, times, strict=True)]
        return shapes


class NoddingMotion:
    """A head's motion with nods on top."""

    def __init__(self, motion, gestures: Sequence[Gesture]) -> None:
        self._motion = motion
        self._nods = tuple(gesture for gesture in gestures if gesture.kind == "nod")

    def angles(self, time: float) -> tuple[float, float, float]:
        """Yaw, pitch and roll in radians."""
        yaw, pitch, roll = self._motion.angles(time)
        for nod in self._nods:
            pitch += 0.16 * nod.strength * nod.weight(time) * np.sin(2 * np.pi * nod.rate * (time - nod.start))
        return yaw, float(pitch), roll

    def __getattr__(self, name: str):
        return getattr(self._motion, name)


def _with_gesture(shape: MouthShape, gesture: Gesture, time: float) -> MouthShape:
    weight = gesture.weight(time) * gesture.strength
    if weight == 0 or gesture.kind == "nod":
        return shape
    swing = 0.5 - 0.5 * np.cos(2 * np.pi * gesture.rate * (time - gesture.start))  # 0 to 1
    if gesture.kind == "smile":
        return replace(
            shape,
            smile=shape.smile + 1.1 * weight,
            width=shape.width + 0.14 * weight,
            opening=shape.opening + 0.05 * weight * swing,
        )
    if gesture.kind == "chew":
        lips = 0.09 if gesture.open_lips else 0.0
        return replace(
            shape,
            jaw=shape.jaw + 0.13 * weight * swing,
            opening=shape.opening + lips * weight * swing,
            width=shape.width - 0.08 * weight * swing,
            press=max(shape.press, 0.0 if gesture.open_lips else 0.6 * weight),
        )
    return replace(shape, opening=shape.opening + 0.16 * weight * swing, jaw=shape.jaw + 0.13 * weight * swing)
