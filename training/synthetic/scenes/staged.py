"""Staged scenes: costumed actors in a film set, before a camera that moves; rendered with the truth of every face."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch

from ..film_look import FilmLook, apply_look
from ..film_set import FilmSet, composite_layers
from ..head.costume import Costume
from ..head.identity import Identity
from ..head.light import Light
from ..head.motion import HeadMotion
from ..head.painter import FaceTruth, HeadState, Painter
from ..head.surface import Pose
from ..speech.performance import Performance
from .film_frames import interpolate_keyframes
from .film_staging import Keyframe
from .scene import NOISE_TILES, FrameTruth, add_grain


@dataclass(frozen=True, eq=False)
class StagedActor:
    """Somebody in a shot; the performance's and the motion's time is the scene's."""

    person: Identity
    costume: Costume
    performance: Performance
    motion: HeadMotion
    keys: tuple[Keyframe, ...]  # where the head is without the camera's movement


@dataclass(frozen=True)
class CameraMove:
    """From rest to the values here, at an even pace, with the unsteadiness of a hand."""

    zoom: float = 1.0  # how much larger things at the actor's depth become
    shift: tuple[float, float] = (0.0, 0.0)  # how far they move right and down, in frame heights
    shake: float = 0.0  # frame heights

    def at(self, progress: float, time: float) -> tuple[float, tuple[float, float]]:
        """The zoom and the shift at 0 to 1 of the shot and `time` seconds of the scene."""
        x, y = self.shake * (np.sin(2 * np.pi * np.array([[0.31, 0.73], [0.43, 0.61]]) * time + (0.3, 1.9))).sum(1)
        shift = float(self.shift[0] * progress + x), float(self.shift[1] * progress + y)
        return 1 + (self.zoom - 1) * progress, shift


@dataclass(frozen=True, eq=False)
class StagedShot:
    """Frames between two cuts."""

    frames: int
    actors: tuple[StagedActor, ...]  # the farthest first
    film_set: FilmSet
    light: Light
    camera: CameraMove
    look: FilmLook
    grain: float = 1.0  # standard deviation of the camera's noise, of 255 levels


@dataclass(frozen=True, eq=False)
class StagedScene:
    """A clip to be rendered, with its sound."""

    width: int
    height: int
    fps: Fraction
    shots: tuple[StagedShot, ...]
    waveform: np.ndarray  # (T,) float32 at 16 kHz, of the scene's length
    seed: int = 0  # of the grain


def render_staged(scene: StagedScene) -> Iterator[tuple[np.ndarray, FrameTruth]]:
    """Frame by frame: (H, W, 3) uint8 RGB and its truth. The same scene gives the same bits."""
    index = 0
    for number, shot in enumerate(scene.shots):
        painters = [Painter(actor.person, shot.light, actor.costume) for actor in shot.actors]
        rng = np.random.default_rng((67867967, scene.seed, number))
        tiles = rng.standard_normal((NOISE_TILES, min(scene.height, 512), min(scene.width, 512), 1), np.float32)
        tiles = np.round(tiles * shot.grain).astype(np.int16)
        for step in range(shot.frames):
            time, progress = float(index / scene.fps), step / max(shot.frames - 1, 1)
            zoom, shift = shot.camera.at(progress, time)
            behind = composite_layers(torch.zeros(3, scene.height, scene.width), shot.film_set.behind, zoom, shift)
            states = [_head_state(scene, actor, time, progress, zoom, shift) for actor in shot.actors]
            frame, truths = _paint_actors(painters, behind, states)
            frame = apply_look(composite_layers(frame, shot.film_set.before, zoom, shift), shot.look)
            picture = (frame.permute(1, 2, 0) * 255 + 0.5).to(torch.uint8).contiguous().numpy()
            add_grain(picture, tiles[index % NOISE_TILES], index)
            yield picture, FrameTruth(index, time, number, truths)
            index += 1


def _paint_actors(
    painters: list[Painter], behind: torch.Tensor, states: list[HeadState]
) -> tuple[torch.Tensor, tuple[FaceTruth, ...]]:
    """The actors over (3, h, w) linear light, whose lamps stay brighter than 1 where nothing hides them."""
    levels = (behind.clamp(0, 1).sqrt() * 255 + 0.5).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    painted = levels.copy()
    truths = tuple(painter.paint(painted, state) for painter, state in zip(painters, states, strict=True))
    changed = torch.from_numpy((painted != levels).any(2))
    return torch.where(changed, (torch.from_numpy(painted).permute(2, 0, 1) / 255.0).square(), behind), truths


def _head_state(scene: StagedScene, actor: StagedActor, time: float, progress: float, zoom: float, shift) -> HeadState:
    motion = actor.motion
    x, y, size, yaw, pitch = interpolate_keyframes(actor.keys, progress)
    sway_x, sway_y, factor = motion.drift(time)
    scale = size * zoom * factor * scene.height
    own = motion.angles(time)
    pose = Pose(
        scene.width * (0.5 + (x - 0.5) * zoom) + shift[0] * scene.height + sway_x * scale,
        scene.height * (0.5 + (y - 0.5) * zoom + shift[1]) + sway_y * scale,
        scale, own[0] + np.radians(yaw), own[1] + np.radians(pitch), own[2],
    )  # fmt: skip
    mouth = actor.performance.mouth(np.array([time]))[0]
    return HeadState(pose, mouth, motion.blink(time), motion.gaze(time), motion.brows(time))
