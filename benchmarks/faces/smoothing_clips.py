"""Clips for measuring how steady crops are: rendered heads, held still or moved in known ways, and their truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from training.synthetic.head.motion import HeadMotion
from training.synthetic.head.motion import Path as HeadPath
from training.synthetic.scenes.clip_file import write_clip
from training.synthetic.scenes.scene import Actor, Scene, talking_head

SECONDS = 4.0
FPS = Fraction(25)


class ScriptedMotion(HeadMotion):
    """A still head with one kind of movement added: `kind` names one of the methods below."""

    def __init__(self, seed: int, kind: str, facing: tuple[float, float, float]):
        super().__init__(seed, SECONDS, 0.0, facing)
        self._kind = kind

    def angles(self, time: float) -> tuple[float, float, float]:
        yaw, pitch, roll = super().angles(time)
        if self._kind == "turns":  # 46° in a quarter of a second, and back
            yaw = 0.4 - 0.8 * (_smoothstep(time, 0.8, 0.25) - _smoothstep(time, 2.0, 0.2) + _smoothstep(time, 3.0, 0.4))
        elif self._kind == "nods" and 0.8 < time < 2.8:
            pitch += 0.18 * np.sin(2 * np.pi * 2 * (time - 0.8))
        elif self._kind == "walk":
            roll += 0.03 * np.sin(2 * np.pi * 0.95 * time)
        return yaw, pitch, roll

    def drift(self, time: float) -> tuple[float, float, float]:
        x, y, size = super().drift(time)
        if self._kind == "starts":  # a head unit in a third of a second, at once and at one speed
            x += np.interp(time, [0.8, 1.13, 2.0, 2.5, 3.2, 3.4], [0, 1, 1, -0.5, -0.5, 0.3])
        elif self._kind == "walk":
            x += 0.05 * np.sin(2 * np.pi * 0.95 * time)
            y += 0.06 * np.abs(np.sin(2 * np.pi * 0.95 * time))
        return float(x), float(y), size

    def brows(self, time: float) -> float:
        if self._kind != "brows":
            return super().brows(time)
        return 0.07 * sum(_smoothstep(time, at, 0.15) - _smoothstep(time, at + 0.6, 0.2) for at in (0.7, 2.2))


@dataclass(frozen=True)
class Take:
    """A clip to be rendered."""

    name: str
    kind: str  # "still", "lively", or one of `ScriptedMotion`
    seed: int
    style: str
    size: tuple[int, int] = (640, 360)
    crf: int = 20
    grain: float = 2.0


TAKES = (
    Take("still real a", "still", 11, "real"),
    Take("still real b", "still", 12, "real", crf=26, grain=3.0),
    Take("still real c", "still", 13, "real", crf=30, grain=0.0),
    Take("still cartoon", "still", 14, "cartoon"),
    Take("still anime", "still", 15, "anime"),
    Take("still real 720", "still", 16, "real", (1280, 720)),
    Take("still real 720 noisy", "still", 17, "real", (1280, 720), 26, 3.0),
    Take("brows real", "brows", 18, "real"),
    Take("brows cartoon", "brows", 19, "cartoon"),
    Take("lively real", "lively", 20, "real"),
    Take("lively cartoon", "lively", 21, "cartoon"),
    Take("turns real", "turns", 22, "real"),
    Take("turns anime", "turns", 23, "anime"),
    Take("nods real", "nods", 24, "real"),
    Take("nods cartoon", "nods", 25, "cartoon"),
    Take("starts real", "starts", 26, "real"),
    Take("starts cartoon", "starts", 27, "cartoon"),
    Take("walk real", "walk", 28, "real"),
    Take("walk cartoon", "walk", 29, "cartoon"),
)

# Other people moving alike.
HELD_OUT_TAKES = tuple(replace(take, seed=take.seed + 500, size=(640, 360)) for take in TAKES)


def scene_of(take: Take) -> Scene:
    """The scene of a take: one person speaking; only "lively" and "walk" move otherwise than `ScriptedMotion`."""
    scene = talking_head(take.seed, "en", SECONDS, fps=FPS, size=take.size, split="test", style=take.style)
    shot = scene.shots[0]
    actor = shot.actors[0]
    facing = tuple(np.random.default_rng(take.seed).uniform(-1, 1, 3) * (0.2, 0.1, 0.08))
    track = HeadPath((0.47, 0.5), (0.47, 0.5), 0.3, 0.3)
    if take.kind == "lively":
        motion, track = HeadMotion(take.seed, SECONDS, 1.2, facing), actor.track
    else:
        motion = ScriptedMotion(take.seed, take.kind, facing)
        if take.kind == "walk":
            track = replace(track, start=(0.3, 0.5), end=(0.65, 0.5), size_start=0.24, size_end=0.34)
    actor = Actor(actor.person, actor.performance, motion, track)
    return replace(scene, shots=(replace(shot, actors=(actor,), grain=take.grain),))


def write_take(take: Take, path: Path) -> np.ndarray:
    """Renders a take into a file; returns the true three points of its frames, (N, 3, 2) float64."""
    truths = write_clip(scene_of(take), path, crf=take.crf, sound=False)
    return np.stack([truth.faces[0].three_points for truth in truths]).astype(np.float64)


def _smoothstep(time: float, at: float, lasts: float) -> float:
    """0 before `at`, 1 from `at + lasts` on, smooth in between."""
    t = float(np.clip((time - at) / lasts, 0, 1))
    return t * t * (3 - 2 * t)
