"""Faces found in drawn films, against the truth: python -m benchmarks.faces.films 1 2 3

Each film is drawn once and kept under training/cache. Prints the figures; --out writes them to a file, and pictures of
frames at which something is wrong into its folder.
"""

from __future__ import annotations

import argparse
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from latentsync_core.faces.tracking.find_tracks import track_faces
from latentsync_core.video.reading.probing import probe
from training.synthetic.scenes.film import DISSOLVE_FRAMES
from training.synthetic.scenes.film_file import FilmGroundTruth, film_file

from . import figures
from .pictures import overlays
from .report import report, table


def truth_of(facts: FilmGroundTruth) -> figures.Truth:
    """What must be found of a film: what is seen well enough; all else by its cause."""
    unseen = facts.visible < figures.MIN_VISIBLE_SHARE
    most = facts.shares.argmax(-1)
    causes = {
        "in a fade or dissolve": np.broadcast_to((facts.pure < figures.MIN_SHOT_SHARE)[:, None], facts.cast.shape),
        "beyond the edge": unseen & (most == 0),
        "hidden by somebody": unseen & (most == 1),
        "under a hand": unseen & (most == 2),
        "turned beyond 55°": np.abs(facts.pose[..., 0]) > figures.MAX_YAW,
        "under 40 px": facts.sizes < figures.MIN_FACE_SIZE,
    }
    in_dissolve = np.zeros(len(facts.pure), bool)
    for start in facts.shots[facts.begins == "dissolve", 0]:
        in_dissolve[start - DISSOLVE_FRAMES : start + DISSOLVE_FRAMES] = (
            facts.pure[start - DISSOLVE_FRAMES : start + DISSOLVE_FRAMES] < 1
        )
    return figures.Truth(
        facts.shots, facts.begins, facts.points, facts.eye_distance, causes, facts.cast, facts.boxes, in_dissolve,
        facts.pose[..., 0],
    )  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("seeds", type=int, nargs="*", default=[1, 2, 3])
    arguments.add_argument("--size", type=int, nargs=2, default=(640, 360), metavar=("WIDTH", "HEIGHT"))
    arguments.add_argument("--fps", type=Fraction, default=Fraction(25))
    arguments.add_argument("--out", type=Path, default=Path("benchmarks/results/film_faces.md"))
    options = arguments.parse_args()
    torch.set_num_threads(1)
    texts, rows = [], []
    for seed in options.seeds:
        facts = film_file(seed, tuple(options.size), options.fps)
        clip = probe(facts.video)
        assert clip.frame_count == len(facts.shot), f"{clip.frame_count} frames read, {len(facts.shot)} drawn"
        started = time.process_time()
        faces = track_faces(clip)
        text, row = report(f"film {seed}", faces, truth_of(facts), time.process_time() - started)
        texts.append(text)
        rows.append(row)
        print(text, flush=True)
        overlays(faces, truth_of(facts), options.out.with_name(f"film-{seed}.tmp"))
    whole = table(rows) + "\n\n" + "\n\n".join(texts) + "\n"
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(whole, encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
