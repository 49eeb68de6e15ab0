"""A dialogue as a cached file, with who speaks when: ``python -m training.synthetic.scenes.dialogue_file 1``."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .clip_file import write_frames
from .dialogue import dialogue
from .film_file import CACHE, SOURCES, ground_truth_arrays, sources_digest
from .film_frames import render_film

OWN_SOURCES = ("scenes/dialogue", "head/listening")
MIN_VISIBLE_SHARE = 0.5  # of a face that is on screen
CRF = 16


@dataclass(frozen=True, eq=False)
class DialogueTruth:
    """A dialogue's truth: N frames, P people, of whom `people` appear; what isn't in a shot is NaN or False."""

    video: Path
    people: int
    shots: np.ndarray  # (S, 2) int: half-open ranges of frames
    kinds: np.ndarray  # (S,) str, names of SHOT_KINDS
    speaks: np.ndarray  # (N, P) bool
    on_screen: np.ndarray  # (N, P) bool
    boxes: np.ndarray  # (N, P, 4) float32: x0 y0 x1 y1 of the face
    opening: np.ndarray  # (N, P) float32: of the mouth, head units


def dialogue_file(
    seed: int, people: int = 2, seconds: float = 8.0, size: tuple[int, int] = (640, 360), folder: Path = CACHE
) -> DialogueTruth:
    """The dialogue of this seed as a file in `folder`, drawn if it isn't there or if what draws it has changed.

    Raises:
        OutputError: ffmpeg can't write the file.
    """
    digest = sources_digest((*SOURCES, *OWN_SOURCES), seed, people, seconds, size)
    name = f"dialogue-{seed}-{people}-{size[0]}x{size[1]}-{digest}"
    facts, video = folder / f"{name}.npz", folder / f"{name}.mp4"
    if not facts.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = dialogue(seed, people, seconds, size)
        arrays = ground_truth_arrays(made.film, write_frames(made.film, render_film(made.film), video, crf=CRF))
        visible = np.where(arrays["cast"], 1 - arrays["shares"].sum(-1), 0)
        kept = {key: arrays[key] for key in ("shots", "kinds", "boxes", "opening")}
        fresh = facts.with_suffix(".new.npz")
        np.savez_compressed(fresh, speaks=made.speaks, on_screen=visible >= MIN_VISIBLE_SHARE, **kept)
        fresh.replace(facts)
    with np.load(facts, allow_pickle=False) as kept:
        return DialogueTruth(video, people, **{key: kept[key] for key in kept.files})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, nargs="+")
    parser.add_argument("--people", type=int, default=2, choices=(2, 3))
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--folder", type=Path, default=CACHE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed in options.seeds:
        started = time.process_time()
        truth = dialogue_file(seed, options.people, options.seconds, folder=options.folder)
        print(f"{truth.video}: {len(truth.speaks)} frames in {time.process_time() - started:.0f} s of one core")


if __name__ == "__main__":
    main()
