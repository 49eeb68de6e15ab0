"""A film as a cached file, with its voices and ground truth: ``python -m training.synthetic.scenes.film_file 1``."""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from .clip_file import write_frames, write_wave
from .film import PEOPLE, Film, film
from .film_frames import FilmTruth, render_film

SYNTHETIC = Path(__file__).parents[1]
CACHE = SYNTHETIC.parent / "cache"
SOURCES = (  # what decides about a pixel or a sample of it
    "scenes/film", "scenes/film_staging", "scenes/film_frames", "scenes/scene", "head/painter", "head/surface",
    "head/skin", "head/pattern", "head/motion", "head/eyes", "head/mouth", "head/surroundings", "head/identity",
    "head/costume", "head/light", "noise", "backdrop", "degrade", "occluders/objects", "occluders/hands",
    "occluders/solids", "speech/turns", "speech/performance", "speech/visemes", "speech/espeak",
)  # fmt: skip
CRF = 14


@dataclass(frozen=True, eq=False)
class FilmGroundTruth:
    """A film's truth: N frames, P people. What isn't in a shot is NaN, or 0 for shares."""

    video: Path
    voices: tuple[Path, ...]  # a person's sound each, as long as the film; the video has them mixed
    shots: np.ndarray  # (S, 2) int: half-open ranges of frames
    kinds: np.ndarray  # (S,) str: of each shot, names of film_staging.KINDS
    begins: np.ndarray  # (S,) str: "cut", "fade" or "dissolve", how each shot begins
    shot: np.ndarray  # (N,) int
    pure: np.ndarray  # (N,) float32: 1, or less in fades and dissolves
    cast: np.ndarray  # (N, P) bool: has a part in the frame's shot
    boxes: np.ndarray  # (N, P, 4) float32: x0 y0 x1 y1, of the face from above the brows to the chin
    points: np.ndarray  # (N, P, 3, 2) float32: left brow, right brow, nose
    eye_distance: np.ndarray  # (N, P) float32 pixels, as if seen from the front
    pose: np.ndarray  # (N, P, 3) float32 degrees: yaw, pitch, roll
    shares: np.ndarray  # (N, P, 3) float32: of the face outside the frame, hidden by somebody, covered by something
    opening: np.ndarray  # (N, P) float32: of the mouth, head units
    covered_frames: np.ndarray  # (K,) int: frames in which a hand or a thing is before a face
    covers: np.ndarray  # (K, ceil(H W / 8)) uint8: their masks (alpha of at least a half), packed bits

    @property
    def visible(self) -> np.ndarray:
        """(N, P) float32: the share of the face that is seen."""
        return np.where(self.cast, np.clip(1 - self.shares.sum(-1), 0, 1), 0).astype(np.float32)

    @property
    def sizes(self) -> np.ndarray:
        """(N, P) float32: the longer sides of the boxes, pixels."""
        return (self.boxes[..., 2:] - self.boxes[..., :2]).max(-1)

    def occluder_mask(self, frame: int, width: int, height: int) -> np.ndarray:
        """(H, W) bool: what hands and things hide in a frame."""
        place = np.flatnonzero(self.covered_frames == frame)
        if not len(place):
            return np.zeros((height, width), bool)
        return np.unpackbits(self.covers[place[0]], count=width * height).reshape(height, width).astype(bool)


def film_file(
    seed: int, size: tuple[int, int] = (640, 360), fps: Fraction = Fraction(25), folder: Path = CACHE, **options
) -> FilmGroundTruth:
    """The film of this seed as a file in `folder`, drawn if it isn't there or if the sources that draw it have changed.

    `options` are those of `film`.

    Raises:
        OutputError: ffmpeg can't write the file.
    """
    name = f"film-{seed}-{size[0]}x{size[1]}-{sources_digest(SOURCES, seed, size, fps, options)}"
    facts, video = folder / f"{name}.npz", folder / f"{name}.mp4"
    voices = tuple(folder / f"{name}-voice{person}.wav" for person in range(PEOPLE))
    if not facts.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = film(seed, size, fps, **options)
        for person, path in enumerate(voices):
            write_wave(path, made.performances[person].waveform)
        truths = write_frames(made, render_film(made), video, crf=CRF, preset="superfast")
        arrays = ground_truth_arrays(made, truths)
        fresh = facts.with_suffix(".new.npz")
        np.savez_compressed(fresh, **arrays)
        fresh.replace(facts)
    with np.load(facts, allow_pickle=False) as kept:
        return FilmGroundTruth(video, voices, **{key: kept[key] for key in kept.files})


def ground_truth_arrays(made: Film, truths: list[FilmTruth]) -> dict[str, np.ndarray]:
    """The arrays of FilmFacts."""
    count = len(truths)
    facts = {
        "shots": np.array(made.ranges), "kinds": np.array([shot.kind for shot in made.shots]),
        "begins": np.array([shot.begins for shot in made.shots]),
        "shot": np.array([truth.shot for truth in truths]), "pure": np.array([t.pure for t in truths], np.float32),
        "cast": np.zeros((count, PEOPLE), bool), "shares": np.zeros((count, PEOPLE, 3), np.float32),
    }  # fmt: skip
    for name, shape in (("boxes", (4,)), ("points", (3, 2)), ("eye_distance", ()), ("pose", (3,)), ("opening", ())):
        facts[name] = np.full((count, PEOPLE, *shape), np.nan, np.float32)
    covers = []
    for truth in truths:
        for face in truth.faces:
            at = truth.index, face.person
            head_state = face.truth.head_state
            facts["cast"][at] = True
            facts["shares"][at] = face.outside, face.hidden, face.covered
            facts["boxes"][at], facts["points"][at] = face.truth.box, face.truth.three_points
            facts["eye_distance"][at] = 2 * made.cast[face.person].eye_x * head_state.pose.scale
            facts["opening"][at] = face.truth.opening
            facts["pose"][at] = np.degrees((head_state.pose.yaw, head_state.pose.pitch, head_state.pose.roll))
        if truth.occluder_alpha is not None and truth.occluder_alpha.max() >= 0.5:
            covers.append((truth.index, np.packbits(truth.occluder_alpha >= 0.5)))
    facts["covered_frames"] = np.array([index for index, _ in covers], np.int64)
    width = -(-made.width * made.height // 8)
    facts["covers"] = np.stack([bits for _, bits in covers]) if covers else np.zeros((0, width), np.uint8)
    return facts


def sources_digest(sources: Sequence[str], *arguments: object) -> str:
    """Ten hex digits of the arguments and of the sources that draw by them, named as SOURCES are."""
    found = hashlib.sha256(repr(arguments).encode())
    for name in sources:
        found.update((SYNTHETIC / f"{name}.py").read_bytes())
    return found.hexdigest()[:10]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, nargs="+")
    parser.add_argument("--size", type=int, nargs=2, default=(640, 360), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--fps", type=Fraction, default=Fraction(25))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed in options.seeds:
        started = time.process_time()
        facts = film_file(seed, tuple(options.size), options.fps)
        print(f"{facts.video}: {len(facts.shot)} frames in {time.process_time() - started:.0f} s of one core")


if __name__ == "__main__":
    main()
