"""Scenes: shots of speaking heads, rendered frame by frame with the ground truth of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from ..backdrop import backdrop
from ..head.costume import Costume
from ..head.identity import Identity, sample_identity
from ..head.light import Light, sample_light
from ..head.motion import MAX_ANGLE, HeadMotion
from ..head.motion import Path as HeadPath
from ..head.painter import FaceTruth, HeadState, Painter
from ..head.surface import Pose
from ..speech.performance import (
    LANGUAGES,
    SAMPLE_RATE,
    Performance,
    delayed,
    perform,
    sample_articulation,
    sample_voice,
)

FIRST_TEST_SEED = 1_000_000  # seeds from here on are never trained with
NOISE_TILES = 6


@dataclass(frozen=True, eq=False)
class Actor:
    """Somebody in a shot. The performance's time is the scene's, so a person may go on speaking over a cut."""

    person: Identity
    performance: Performance
    motion: HeadMotion
    track: HeadPath = field(default_factory=HeadPath)
    costume: Costume | None = None  # in place of the person's own clothes


@dataclass(frozen=True, eq=False)
class Shot:
    """Frames between two cuts: the actors, the farthest first, before one backdrop in one light."""

    frames: int
    actors: tuple[Actor, ...]
    backdrop: int  # seed
    light: Light
    grain: float = 1.5  # standard deviation of the camera's noise, of 255 levels


@dataclass(frozen=True, eq=False)
class Scene:
    """A clip to be rendered, with its sound."""

    width: int
    height: int
    fps: Fraction
    shots: tuple[Shot, ...]
    waveform: np.ndarray  # (T,) float32 at 16 kHz, of the scene's length
    seed: int = 0  # of the grain

    @property
    def frame_count(self) -> int:
        return sum(shot.frames for shot in self.shots)


@dataclass(frozen=True, eq=False)
class FrameTruth:
    """What is true of a frame: its time, its shot, and every face in that shot (also beyond the edge)."""

    index: int
    time: float  # seconds
    shot: int
    faces: tuple[FaceTruth, ...]


def render(scene: Scene) -> Iterator[tuple[np.ndarray, FrameTruth]]:
    """Frame by frame: (H, W, 3) uint8 RGB and its truth. The same scene gives the same bits."""
    index = 0
    for number, shot in enumerate(scene.shots):
        behind = backdrop(shot.backdrop, scene.width, scene.height, shot.light.warmth)
        painters = [Painter(actor.person, shot.light, actor.costume) for actor in shot.actors]
        grain = _grain(scene, shot, number)
        for _ in range(shot.frames):
            time = float(index / scene.fps)
            frame = behind.copy()
            progress = (index - sum(s.frames for s in scene.shots[:number])) / max(shot.frames - 1, 1)
            faces = []
            for actor, painter in zip(shot.actors, painters, strict=True):
                faces.append(painter.paint(frame, head_state_at(actor, time, progress, scene.width, scene.height)))
            if grain is not None:
                add_grain(frame, grain[index % NOISE_TILES], index)
            yield frame, FrameTruth(index, time, number, tuple(faces))
            index += 1


def head_state_at(actor: Actor, time: float, progress: float, width: int, height: int) -> HeadState:
    """An actor at `time` seconds of the scene and `progress` (0 to 1) of the shot, in a frame of that size."""
    track, motion = actor.track, actor.motion
    x, y = (start + progress * (end - start) for start, end in zip(track.start, track.end, strict=True))
    sway_x, sway_y, factor = motion.drift(time)
    scale = (track.size_start + progress * (track.size_end - track.size_start)) * height * factor
    yaw, pitch, roll = motion.angles(time)
    pose = Pose(x * width + sway_x * scale, y * height + sway_y * scale, scale, yaw, pitch, roll)
    mouth = actor.performance.mouth(np.array([time]))[0]
    return HeadState(pose, mouth, motion.blink(time), motion.gaze(time), motion.brows(time))


def head_turns(scene: Scene) -> np.ndarray:
    """(n, 2) float32: degrees of yaw and pitch of the only actor's head in every frame of a scene without a cut."""
    (shot,) = scene.shots
    (actor,) = shot.actors
    angles = [actor.motion.angles(float(index / scene.fps))[:2] for index in range(shot.frames)]
    return np.degrees(np.array(angles, np.float32))


def talking_head(
    seed: int,
    language: str = "en",
    seconds: float = 4.0,
    *,
    fps: Fraction = Fraction(25),
    size: tuple[int, int] = (160, 160),
    split: str = "train",
    style: str | None = None,
    performance: Performance | None = None,
    augmented: bool = True,
    person: Identity | None = None,
    max_yaw: float = MAX_ANGLE,
    costume: Costume | None = None,
) -> Scene:
    """One person speaking to the camera, all of it drawn by `seed`: the main source of training and test clips.

    Person, voice and sentences are those of the split, unless `person` is given; clothes are the person's own, unless
    `costume` is. `size` is (width, height); `max_yaw` in radians is how far the head may be turned.
    """  # fmt: skip
    rng = np.random.default_rng((179424673, seed))
    identity_seed = seed + (FIRST_TEST_SEED if split == "test" else 0)
    performance = performance or perform(
        identity_seed,
        sample_voice(identity_seed, language, split),
        seconds,
        split,
        sample_articulation(identity_seed),
        augmented,
    )
    frames = max(1, round(seconds * fps))
    low = rng.uniform(0.26, 0.35)
    high = low * rng.uniform(0.88, 1.12)
    place = rng.uniform((0.42, 0.47), (0.58, 0.55))
    track = HeadPath(tuple(place), tuple(place + rng.uniform(-0.05, 0.05, 2)), low, high)
    facing = rng.uniform(-1, 1, 3) * (0.25 + max_yaw - MAX_ANGLE, 0.1, 0.08)
    actor = Actor(
        person or sample_identity(identity_seed, style),
        performance,
        HeadMotion(identity_seed, seconds, rng.uniform(0.3, 1.2), tuple(facing), max_yaw),
        track,
        costume,
    )
    shot = Shot(
        frames, (actor,), int(rng.integers(1 << 30)), sample_light(identity_seed), rng.choice([0.0, 1.0, 2.0, 3.0])
    )
    return Scene(*size, fps, (shot,), _pad_or_trim(performance.waveform, frames, fps), seed)


def cuts(seed: int, lengths: tuple[int, ...] = (20, 25, 15), *, fps: Fraction = Fraction(25), size=(320, 240)) -> Scene:
    """Two people answering each other, a cut between: shots of the given numbers of frames, speakers taking turns."""
    seconds = float(sum(lengths) / fps)
    scenes = [
        talking_head(seed * 2 + k, _language(seed + k), seconds, fps=fps, size=size, split="test") for k in (0, 1)
    ]
    shots, parts, start = [], [], 0
    for number, length in enumerate(lengths):
        source = scenes[number % 2]
        actor = source.shots[0].actors[0]
        shots.append(Shot(length, (actor,), source.shots[0].backdrop, source.shots[0].light, source.shots[0].grain))
        begin, end = (round(float(at / fps) * SAMPLE_RATE) for at in (start, start + length))
        parts.append(source.waveform[begin:end])
        start += length
    return Scene(*size, fps, tuple(shots), _pad_or_trim(np.concatenate(parts), start, fps), seed)


def side_by_side(seed: int, seconds: float = 3.0, *, fps: Fraction = Fraction(25), size=(480, 270)) -> Scene:
    """Two people in one picture: the left one speaks the first half, the right one the second."""
    frames = round(seconds * fps)
    half = perform(seed, sample_voice(seed, _language(seed), "test"), seconds / 2, "test")
    other = perform(seed + 1, sample_voice(seed + 1, _language(seed + 1), "test"), seconds / 2, "test")
    early, late = delayed(half, 0.0, seconds), delayed(other, seconds / 2, seconds)
    actors = []
    for number, (speech, x) in enumerate(((early, 0.27), (late, 0.73))):
        motion = HeadMotion(seed + number, seconds, 0.5, (0.2 - 0.4 * number, 0, 0))
        person = sample_identity(FIRST_TEST_SEED + 2 * seed + number, "real")
        actors.append(Actor(person, speech, motion, HeadPath((x, 0.55), (x, 0.55), 0.27, 0.27)))
    shot = Shot(frames, tuple(actors), seed, sample_light(seed))
    return Scene(*size, fps, (shot,), _pad_or_trim(np.concatenate([half.waveform, other.waveform]), frames, fps), seed)


def leaving(seed: int, seconds: float = 3.0, *, fps: Fraction = Fraction(25), size=(320, 240)) -> Scene:
    """A face that walks out of the picture and is gone for about the last third."""
    scene = talking_head(seed, _language(seed), seconds, fps=fps, size=size, split="test", style="real")
    shot = scene.shots[0]
    actor = shot.actors[0]
    away = Actor(
        actor.person, actor.performance, HeadMotion(seed, seconds, 0.4), HeadPath((0.4, 0.55), (1.95, 0.55), 0.28, 0.28)
    )
    return Scene(*size, fps, (Shot(shot.frames, (away,), shot.backdrop, shot.light, shot.grain),), scene.waveform, seed)


def with_gap(
    seed: int, lengths: tuple[int, int, int] = (20, 15, 20), *, fps: Fraction = Fraction(25), size=(320, 240)
) -> Scene:
    """A speaker, then a shot of nobody while the voice goes on, then the speaker again."""
    seconds = float(sum(lengths) / fps)
    scene = talking_head(seed, _language(seed), seconds, fps=fps, size=size, split="test", style="real")
    one = scene.shots[0]
    shots = [
        Shot(length, one.actors if k != 1 else (), one.backdrop + (k == 1), one.light, one.grain)
        for k, length in enumerate(lengths)
    ]
    return Scene(*size, fps, tuple(shots), scene.waveform, seed)


def _pad_or_trim(waveform: np.ndarray, frames: int, fps: Fraction) -> np.ndarray:
    """Cut or filled with silence to the length of the picture."""
    length = round(float(frames / fps) * SAMPLE_RATE)
    return np.pad(waveform[:length], (0, max(0, length - len(waveform))))


def _language(seed: int) -> str:
    return list(LANGUAGES)[seed % len(LANGUAGES)]


def _grain(scene: Scene, shot: Shot, number: int) -> np.ndarray | None:
    if shot.grain <= 0:
        return None
    rng = np.random.default_rng((982451653, scene.seed, number))
    noise = rng.standard_normal((NOISE_TILES, min(scene.height, 512), min(scene.width, 512), 1), np.float32)
    return np.round(noise * shot.grain).astype(np.int16)


def add_grain(frame: np.ndarray, tile: np.ndarray, index: int) -> None:
    """Adds the camera's noise of frame `index` to (H, W, 3) uint8, in place; `tile` (h, w, 1) int16 repeats."""
    tile = np.roll(tile, (index * 37, index * 71), (0, 1))
    height, width, _ = frame.shape
    for top in range(0, height, tile.shape[0]):
        for left in range(0, width, tile.shape[1]):
            part = frame[top : top + tile.shape[0], left : left + tile.shape[1]]
            part[...] = np.clip(part + tile[: part.shape[0], : part.shape[1]], 0, 255)
