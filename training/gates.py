"""Everything in order, each step only once the one before has shown what it must: ``python -m training.gates``.

Draws the crops and clips, trains the autoencoder, SyncNet, the U-Net's first stage, TREPA's video encoders and the
U-Net's second stage, and measures each on the test split. Weights that pass their gate aren't trained again, what was
stopped goes on, so the same command continues after any interruption; a gate that isn't passed stops it. Then
`python -m training.make_nano` writes the bundle. ``--preset gpu`` takes larger steps, for minutes on a GPU.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from .loop import RUNS, WEIGHTS

FIGURES = RUNS / "figures"
PRESETS = {  # by step: the arguments of its training
    "cpu": {
        "draw": ["--clips", "1400"],
        "vae": ["--minutes", "110"],
        "syncnet": ["--minutes", "90"],
        "unet": ["--minutes", "300"],
        "trepa": ["--steps", "1500"],
        "trepa_judge": ["--which", "judge", "--steps", "1500"],
        "stage2": ["--minutes", "60"],
    },
    "gpu": {
        "draw": ["--clips", "2000", "--workers", "16"],
        "vae": ["--steps", "15000", "--pixels", str(24 * 128 * 128), "--workers", "16"],
        "syncnet": ["--steps", "4000", "--batch", "24", "--clips", "2000"],
        "unet": ["--steps", "15000", "--batch", "16", "--clips", "2000", "--precision", "bf16"],
        "trepa": ["--steps", "6000", "--batch", "32", "--clips", "2000"],
        "trepa_judge": ["--which", "judge", "--steps", "6000", "--batch", "32", "--clips", "2000"],
        "stage2": ["--steps", "2000", "--batch", "4", "--clips", "2000"],
    },
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """One training and what it must show."""

    name: str
    train: str  # module
    measure: str | None = None  # module that prints figures
    shows: Callable[[dict], dict[str, bool]] = lambda figures: {}  # what must hold, by its name
    look: tuple[str, ...] = ()  # arguments of the measurement
    goes_on: bool = True  # whether a fresh run may begin with weights that didn't pass


def _follows(figures: dict) -> dict[str, bool]:
    """What a U-Net must do as it is used."""
    whole = figures["whole clips"]
    return {
        "follows its voice 0.80": whole["own voice"][0] >= 0.80,
        "best lag within a frame 0.95": figures["own voice"]["clips whose best lag is within a frame"] >= 0.95,
        "follows another voice 0.75": whole["dubbed: new voice"][0] >= 0.75,
        "old mouth at most 0.30": whole["dubbed: old mouth"][0] <= 0.30,
        "silence closes 0.95": figures["silence"]["frames closed"] >= 0.95,
    }


def _sees(figures: dict) -> dict[str, bool]:
    """What a video encoder must do: know jittered mouths, and find clips the further away the more they are spoiled."""
    found = {"tells jitter 0.7": figures["trained"]["jitter told"] >= 0.7}
    for name, ladder in figures["trained"].items():
        if isinstance(ladder, dict) and "distance by step" in ladder:
            steps = [0.0, *ladder["distance by step"]]
            found[f"grows with {name}"] = all(a < b for a, b in pairwise(steps))
    return found


STEPS = (
    Step("draw", "training.sequences"),
    Step(
        "vae",
        "training.train_vae",
        "training.measure_vae",
        lambda figures: {"decoded openings correlate 0.97": figures["opening, decoded"]["pooled"] >= 0.97},
    ),
    Step(
        "syncnet",
        "training.train_syncnet",
        "training.measure_syncnet",
        lambda figures: {
            "own sound before a shifted one 0.9": figures["own before shifted by 5 to 15 frames"][0] >= 0.9
        },
    ),
    Step("unet", "training.train_unet", "training.measure_unet", _follows),
    Step("trepa", "training.train_trepa", "training.measure_trepa_encoder", _sees, goes_on=False),
    Step("trepa_judge", "training.train_trepa", "training.measure_trepa_encoder", _sees, ("--which", "judge"), False),
    # Its pictures are to look better without losing what the first stage can.
    Step(
        "stage2",
        "training.train_stage2",
        "training.measure_unet",
        _follows,
        ("--weights", str(WEIGHTS / "stage2.safetensors")),
        False,
    ),
)


def pass_gates(preset: str, until: str | None = None, device: str = "cpu") -> list[str]:
    """Runs the steps in order, to the one named `until`; returns what a gate lacks, nothing where all is shown.

    Carried weights that pass already aren't trained again; others are what a fresh run begins with.
    """
    for step in STEPS:
        weights = WEIGHTS / f"{step.name}.safetensors"
        lacking = _lacking(step, device) if step.measure and weights.exists() else [step.name]
        if lacking:
            logger.info("training: %s", step.name)
            start = ["--from", str(weights)] if weights.exists() and step.goes_on else []
            _module(step.train, PRESETS[preset][step.name] + start)
            lacking = _lacking(step, device)
        if lacking:
            return [f"{step.name}: {name}" for name in lacking]
        if step.name == until:
            break
    return []


def _lacking(step: Step, device: str) -> list[str]:
    """What the step's weights don't show; the figures are kept."""
    if not step.measure:
        return []
    logger.info("measuring: %s", step.name)
    look = [*step.look, *(["--device", device] if step.measure == "training.measure_unet" else [])]
    figures = json.loads(_module(step.measure, look, read=True))
    FIGURES.mkdir(parents=True, exist_ok=True)
    (FIGURES / f"{step.name}.json").write_text(json.dumps(figures, indent=1), "utf-8")
    return [name for name, holds in step.shows(figures).items() if not holds]


def _module(name: str, arguments: list[str], read: bool = False) -> str:
    """Runs a module with this interpreter; returns what it prints, where that is wanted. Raises CalledProcessError."""
    command = [sys.executable, "-m", name, *arguments]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], check=True, text=True,
                          stdout=subprocess.PIPE if read else None)  # fmt: skip
    return done.stdout or ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--until", choices=[step.name for step in STEPS])
    parser.add_argument("--device", default="cpu", help="where the finished model draws its test clips")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    lacking = pass_gates(options.preset, options.until, options.device)
    if lacking:
        sys.exit(f"Not shown yet: {'; '.join(lacking)}. The figures are in {FIGURES}.")


if __name__ == "__main__":
    main()
