"""Clips of the test split, which nothing was trained with: crops, openings and voices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .paths import CACHE
from .synthetic.crops import aligned_crop
from .synthetic.scenes.scene import Scene, head_turns, render, talking_head
from .synthetic.speech.performance import LANGUAGES, Performance


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Clips of people, voices and sentences of the test split: crops (clips, n, 3, 128, 128) uint8, openings (clips, n)
    in head units, turns (clips, n, 2) degrees of the head's yaw and pitch."""

    crops: np.ndarray
    openings: np.ndarray
    turns: np.ndarray


def held_out(clips: int, seconds: float, size: int = 256, folder: Path | None = CACHE, first: int = 0) -> HeldOut:
    """The clips that the meter's own figures are of, in turn in the five languages; kept in `folder` once drawn.

    Those from `first` = 40 on are of no figure: what is chosen, as guidance is, is chosen on them.
    """
    scenes = [_scene(first + number, seconds, size) for number in range(clips)]
    turns = np.stack([head_turns(scene) for scene in scenes])
    name = f"test-{clips}x{seconds:g}s-{size}" + (f"-from-{first}" if first else "")
    path = folder / f"{name}.npz" if folder else None
    if path and path.exists():
        kept = np.load(path)
        return HeldOut(kept["crops"], kept["openings"], turns)
    crops, openings = [], []
    for scene in scenes:
        frames = [(aligned_crop(picture, truth.faces[0].three_points), truth.faces[0].opening)
                  for picture, truth in render(scene)]  # fmt: skip
        crops.append((torch.stack([crop for crop, _ in frames]) * 255).round().byte().numpy())
        openings.append([opening for _, opening in frames])
    found = HeldOut(np.stack(crops), np.array(openings), turns)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, crops=found.crops, openings=found.openings)
    return found


def held_out_voices(clips: int, seconds: float, first: int = 0) -> list[np.ndarray]:
    """The waveforms of `held_out`'s clips, which are rendered from the same seeds."""
    return [_scene(first + number, seconds, 256).waveform for number in range(clips)]


def held_out_performances(clips: int, seconds: float, first: int = 0) -> list[Performance]:
    """The speech of `held_out`'s clips and the mouths' motion."""
    return [_scene(first + number, seconds, 256).shots[0].actors[0].performance for number in range(clips)]


def _scene(number: int, seconds: float, size: int) -> Scene:
    languages = list(LANGUAGES)
    return talking_head(number, languages[number % len(languages)], seconds, size=(size, size), split="test")
