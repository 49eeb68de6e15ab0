"""Talking clips to train on: aligned crops of rendered speakers with voices and openings, cached on disk.

``python -m training.takes --clips 1500`` draws them; stopped at any time, it goes on. Voices and texts are the
training split's, the languages in turn; none of the people is the meter's. Everybody is drawn in two takes, clips 2 n
and 2 n + 1, which no camera could film: the same motion and light to the pixel, and another text. The frames of one
take with the voice of the other make a dub. Half of the people have colours and patterns that nobody has, and half wear
such a costume (see `head.randomization`); some heads are turned further than others, some have a hand or a thing before
their mouth.
"""

from __future__ import annotations

import argparse
import functools
import logging
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from latentsync_core.errors import OptionError

from .paths import CACHE
from .performances import read_performance, write_performances
from .synthetic.crops import RESOLUTION, aligned_crop
from .synthetic.head.identity import sample_identity
from .synthetic.head.motion import MAX_ANGLE
from .synthetic.head.randomization import random_costume, randomize
from .synthetic.occluders.objects import paint_occluder_at, sample_occluder
from .synthetic.scenes.scene import Scene, render, talking_head
from .synthetic.scenes.scene import head_turns as scene_turns
from .synthetic.speech.performance import (
    LANGUAGES,
    SAMPLE_RATE,
    Performance,
    perform,
    sample_articulation,
    sample_voice,
)

FIRST_SEED = 200_000  # of the speakers; the meter's people lie below
FPS, SECONDS = 25, 3
FRAMES, SAMPLES = FPS * SECONDS, SECONDS * SAMPLE_RATE  # of each clip
SIZES = (168, 208, 248)  # pixels a side of the rendered frames: crops are sharp or soft, as real ones are
RETAKE = 400_000  # added to the seed of what is said, in the second take; as many people can be drawn
LOOSENESS = 0.01  # head units by which a clip's alignment is off, as a detector's is
RANDOMIZED_SHARE = 0.5  # of the people: colours and patterns that nobody has
COSTUMED_SHARE = 0.5  # of the people: a coat, often a scarf, of any colours in place of their own clothes
TURNED_SHARE, TURNED_MAX_YAW = 0.35, np.radians(40)  # of the people, and how far their heads are turned
OCCLUDED_SHARE = 0.1  # of the people have something before their face
MOUTH_BELOW_NOSE = 0.32  # head units

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Takes:
    """Clips that are drawn, an even number, read from disk as they are used: crops (n, 75, 3, 128, 128) uint8, openings
    (n, 75) in head units, waveforms (n, 48000) int16 at 16 kHz."""

    crops: np.ndarray
    openings: np.ndarray
    waveforms: np.ndarray

    def __len__(self) -> int:
        return len(self.openings)


def other_take(clip: int) -> int:
    """The clip in which the same person moves the same and says something else."""
    return clip ^ 1


def load_takes(clips: int, folder: Path = CACHE) -> Takes:
    """The first `clips` clips or fewer, in pairs, that `render_takes` put into `folder`. OptionError if none."""
    files = _files(folder)
    if not all(path.exists() for path in files.values()):
        raise OptionError(f"No clips are drawn in {folder}: python -m training.takes draws them.")
    openings = np.load(files["openings"], mmap_mode="r")
    missing = np.flatnonzero(np.isnan(openings[:, -1]))
    count = min(clips, int(missing[0]) if len(missing) else len(openings)) // 2 * 2
    if not count:
        raise OptionError(f"No pair of clips in {folder} is finished: python -m training.takes draws them.")
    crops, waveforms = (np.load(files[part], mmap_mode="r") for part in ("crops", "waveforms"))
    return Takes(crops[:count], openings[:count], waveforms[:count])


def render_takes(clips: int, folder: Path = CACHE, workers: int = 1, performances: Path | None = None) -> None:
    """Draws what is missing of so many clips, in `workers` processes; a clip counts once its openings are there.

    `performances` is an archive of `performances.py`, for machines without espeak-ng.
    """
    most = 2 * RETAKE
    if not 0 < clips <= most:
        raise OptionError(f"1 to {most} clips can be drawn to train with, not {clips}.")
    folder.mkdir(parents=True, exist_ok=True)
    crops = _array(folder, "crops", (clips, FRAMES, 3, RESOLUTION, RESOLUTION), np.uint8)
    waveforms = _array(folder, "waveforms", (clips, SAMPLES), np.int16)
    openings = _array(folder, "openings", (clips, FRAMES), np.float32, np.nan)
    missing = np.flatnonzero(np.isnan(openings[:, -1])).tolist()
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        draw = functools.partial(render_take, performances=performances)
        found = pool.map(draw, missing) if workers > 1 else map(draw, missing)
        for number, (pictures, sound, opening) in zip(missing, found, strict=True):
            crops[number], waveforms[number], openings[number] = pictures, sound, opening
            if number % 50 == 49:
                logger.info("%d of %d clips drawn", number + 1, clips)


def perform_take(number: int) -> Performance:
    """The speech of a clip."""
    person, retaken = divmod(number, 2)
    seed = FIRST_SEED + person
    said_by = seed + RETAKE * retaken
    voice = sample_voice(said_by, _language(person))
    return perform(said_by, voice, SECONDS, "train", sample_articulation(seed))


def render_take(number: int, performances: Path | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One clip's crops, waveform and openings; the same number gives the same bits."""
    seed = FIRST_SEED + number // 2
    rng = np.random.default_rng((15487517, seed))
    size = int(rng.choice(SIZES))
    scene = _scene(number, rng, size, performances)
    occluder = sample_occluder(seed, light=scene.shots[0].light) if rng.random() < OCCLUDED_SHARE else None
    crops = np.empty((FRAMES, 3, RESOLUTION, RESOLUTION), np.uint8)
    openings = np.empty(FRAMES, np.float32)
    off = rng.normal(0, LOOSENESS, (3, 2))
    for picture, truth in render(scene):
        face = truth.faces[0]
        scale = face.head_state.pose.scale
        if occluder:  # at the same place in both takes, so not where either mouth is
            below = float(face.nose[0]), float(face.nose[1] + MOUTH_BELOW_NOSE * scale)
            paint_occluder_at(picture, occluder, below, scale, truth.index / FRAMES, 1 / FRAMES)
        jitter = off + rng.normal(0, LOOSENESS / 4, (3, 2))
        points = face.three_points + jitter * scale
        crops[truth.index] = (aligned_crop(picture, points.astype(np.float32)) * 255).round().byte().numpy()
        openings[truth.index] = face.opening
    return crops, (np.clip(scene.waveform, -1, 1) * 32767).round().astype(np.int16), openings


def head_turns(number: int, performances: Path | None = None) -> np.ndarray:
    """(75, 2) float32: degrees of yaw and pitch of a clip's head, which both takes of a pair share."""
    rng = np.random.default_rng((15487517, FIRST_SEED + number // 2))
    scene = _scene(number, rng, int(rng.choice(SIZES)), performances)
    return scene_turns(scene)


def _scene(number: int, rng: np.random.Generator, size: int, performances: Path | None) -> Scene:
    """The scene of a clip; `rng` goes on to what is in front of the face."""
    person = number // 2
    seed = FIRST_SEED + person
    said = read_performance(performances, number, seed) if performances else perform_take(number)
    identity = sample_identity(seed)
    if rng.random() < RANDOMIZED_SHARE:
        identity = randomize(identity, seed)
    max_yaw = TURNED_MAX_YAW if rng.random() < TURNED_SHARE else MAX_ANGLE
    costume = random_costume(seed) if np.random.default_rng((15487589, seed)).random() < COSTUMED_SHARE else None
    return talking_head(
        seed, _language(person), SECONDS, size=(size, size), performance=said, person=identity,
        max_yaw=float(max_yaw), costume=costume,
    )  # fmt: skip


def _language(person: int) -> str:
    return list(LANGUAGES)[person % len(LANGUAGES)]


def _files(folder: Path) -> dict[str, Path]:
    return {part: folder / f"takes-{part}.npy" for part in ("crops", "waveforms", "openings")}


def _array(folder: Path, part: str, shape: tuple[int, ...], dtype: type, value: float = 0) -> np.ndarray:
    """The array on disk, made or made longer where it is shorter than wanted; a new part holds `value`."""
    path = _files(folder)[part]
    kept = np.load(path, mmap_mode="r+") if path.exists() else None
    if kept is not None and len(kept) >= shape[0]:
        return kept
    fresh = np.lib.format.open_memmap(path.with_suffix(".new"), mode="w+", dtype=dtype, shape=shape)
    if value:
        fresh[:] = value
    if kept is not None:
        fresh[: len(kept)] = kept
    path.with_suffix(".new").replace(path)
    return fresh


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=1500)
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for the drawn clips")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw")
    parser.add_argument(
        "--performances", type=Path, help="archive of the clips' speech, for machines without espeak-ng"
    )
    parser.add_argument("--archive", type=Path, help="write such an archive instead of drawing")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    if options.archive:
        write_performances({number: perform_take(number) for number in range(options.clips)}, options.archive)
        logger.info("%d clips, %.1f MB", options.clips, options.archive.stat().st_size / 1e6)
        return
    render_takes(options.clips, options.cache, options.workers, options.performances)


if __name__ == "__main__":
    main()
