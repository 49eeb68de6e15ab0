"""Runs all training stages, each once the previous one meets its criteria: ``python -m training.stages``.

Draws the crops and clips, trains the autoencoder, SyncNet, Whisper's last blocks, the U-Net's first stage, TREPA's
video encoders and the U-Net's second stage, and measures each on the test split. Weights that pass their gate aren't
trained again, what was stopped goes on, so the same command continues after any interruption; a gate that isn't passed
stops it. Then `python -m training.make_nano` writes the bundle.

``--preset gpu --performances FILE`` is for nine minutes of one H100-class card with 16 cores: clips are rendered there
from an archive of performances (``python -m training.takes --clips 900 --archive FILE``), autoencoder and U-Net trained
from the carried weights, each for a fixed time, their weights written every two minutes. Nothing is measured there.
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

from .paths import RUNS, WEIGHTS, network_weights

FIGURES_FOLDER = RUNS / "figures"
PRESETS = {  # by step: the arguments of its training
    "cpu": {
        "draw": ["--clips", "1400"],
        "vae": ["--minutes", "110"],
        "syncnet": ["--minutes", "90"],
        "whisper": ["--steps", "400"],
        "features": ["--clips", "1400"],
        "unet": ["--minutes", "300"],
        "trepa": ["--steps", "1500"],
        "trepa_judge": ["--which", "judge", "--steps", "1500"],
        "stage2": ["--minutes", "60"],
    },
    "gpu": {  # planned, not run on a card yet: 150 s to render, 40 s for the features, 330 s of training
        "draw": ["--clips", "900", "--workers", "16"],
        "vae": ["--people", "0", "--clips", "900", "--minutes", "1.5", "--pixels", "131072", "--precision", "bf16"],
        "features": ["--clips", "900", "--workers", "16", "--device", "cuda"],
        "unet": ["--clips", "900", "--minutes", "3", "--batch", "16"],
        "stage2": ["--clips", "900", "--minutes", "1", "--batch", "4"],
    },
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingStage:
    """One training and what it must show."""

    name: str
    train: str  # module
    measure: str | None = None  # module that prints figures
    criteria: Callable[[dict], dict[str, bool]] = lambda figures: {}  # what must hold, by its name
    measure_arguments: tuple[str, ...] = ()  # arguments of the measurement
    warm_start: bool = True  # whether a fresh run may begin with weights that didn't pass


def _unet_criteria(figures: dict) -> dict[str, bool]:
    """What a U-Net must do as it is used."""
    whole = figures["whole clips"]
    return {
        "follows its voice 0.80": whole["own voice"][0] >= 0.80,
        "best lag within a frame 0.95": figures["own voice"]["clips whose best lag is within a frame"] >= 0.95,
        "follows another voice 0.75": whole["dubbed: new voice"][0] >= 0.75,
        "old mouth at most 0.30": whole["dubbed: old mouth"][0] <= 0.30,
        "silence closes 0.95": figures["silence"]["frames closed"] >= 0.95,
    }


def _encoder_criteria(figures: dict) -> dict[str, bool]:
    """What a video encoder must do: know jittered mouths, and find clips the further away the more they are spoiled."""
    found = {"tells jitter 0.7": figures["trained"]["jitter told"] >= 0.7}
    for name, ladder in figures["trained"].items():
        if isinstance(ladder, dict) and "distance by step" in ladder:
            steps = [0.0, *ladder["distance by step"]]
            found[f"grows with {name}"] = all(a < b for a, b in pairwise(steps))
    return found


STAGES = (
    TrainingStage("draw", "training.takes"),
    TrainingStage(
        "vae",
        "training.vae.train",
        "training.vae.measure",
        lambda figures: {"decoded openings correlate 0.97": figures["opening, decoded"]["pooled"] >= 0.97},
    ),
    TrainingStage(
        "syncnet",
        "training.syncnet.train",
        "training.syncnet.measure",
        lambda figures: {
            "own sound before a shifted one 0.9": figures["own before shifted by 5 to 15 frames"][0] >= 0.9
        },
    ),
    TrainingStage(
        "whisper",
        "training.whisper.train",
        "training.whisper.measure",
        lambda figures: {"predicts the opening 0.95": figures["correlation"] >= 0.95},
        warm_start=False,
    ),
    TrainingStage("features", "training.unet.features"),
    TrainingStage("unet", "training.unet.train", "training.unet.measure", _unet_criteria),
    TrainingStage("trepa", "training.trepa.train", "training.trepa.measure", _encoder_criteria, warm_start=False),
    TrainingStage(
        "trepa_judge",
        "training.trepa.train",
        "training.trepa.measure",
        _encoder_criteria,
        ("--which", "judge"),
        False,
    ),
    # Its pictures are to look better without losing what the first stage can.
    TrainingStage(
        "stage2",
        "training.stage2.train",
        "training.unet.measure",
        _unet_criteria,
        ("--weights", str(WEIGHTS / "stage2.safetensors")),
        False,
    ),
)


def run_stages(preset: str, until: str | None = None, device: str = "cpu") -> list[str]:
    """Runs the steps in order, to the one named `until`; returns what a gate lacks, nothing where all is shown.

    Carried weights that pass already aren't trained again; others are what a fresh run begins with.
    """
    for step in STAGES:
        weights = network_weights(step.name, WEIGHTS)
        unmet = _unmet_criteria(step, device) if step.measure and weights.exists() else [step.name]
        if unmet:
            logger.info("training: %s", step.name)
            start = ["--from", str(weights)] if weights.exists() and step.warm_start else []
            _run_module(step.train, PRESETS[preset][step.name] + start)
            unmet = _unmet_criteria(step, device)
        if unmet:
            return [f"{step.name}: {name}" for name in unmet]
        if step.name == until:
            break
    return []


def run_for_fixed_time(preset: str, performances: Path) -> None:
    """Trains the preset's stages one after the other, each from the present weights; measures nothing."""
    for step in STAGES:
        if step.name not in PRESETS[preset]:
            continue
        logger.info("training: %s", step.name)
        weights = network_weights(step.name, WEIGHTS)
        start = ["--from", str(weights)] if weights.exists() and step.warm_start else []
        voices = ["--performances", str(performances)] if step.name == "draw" else []
        _run_module(step.train, PRESETS[preset][step.name] + start + voices)


def _unmet_criteria(step: TrainingStage, device: str) -> list[str]:
    """What the step's weights don't show; the figures are kept."""
    if not step.measure:
        return []
    logger.info("measuring: %s", step.name)
    measure_arguments = [
        *step.measure_arguments,
        *(["--device", device] if step.measure == "training.unet.measure" else []),
    ]
    figures = json.loads(_run_module(step.measure, measure_arguments, read=True))
    FIGURES_FOLDER.mkdir(parents=True, exist_ok=True)
    (FIGURES_FOLDER / f"{step.name}.json").write_text(json.dumps(figures, indent=1), "utf-8")
    return [name for name, holds in step.criteria(figures).items() if not holds]


def _run_module(name: str, arguments: list[str], read: bool = False) -> str:
    """Runs a module with this interpreter; returns what it prints, where that is wanted. Raises CalledProcessError."""
    command = [sys.executable, "-m", name, *arguments]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], check=True, text=True,
                          stdout=subprocess.PIPE if read else None)  # fmt: skip
    return done.stdout or ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--until", choices=[step.name for step in STAGES])
    parser.add_argument("--device", default="cpu", help="where the finished model draws its test clips")
    parser.add_argument("--performances", type=Path, help="archive that --preset gpu renders from")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if options.preset == "gpu":
        if options.performances is None:
            parser.error("--preset gpu renders from an archive of performances: name it with --performances.")
        run_for_fixed_time(options.preset, options.performances)
        return
    unmet = run_stages(options.preset, options.until, options.device)
    if unmet:
        sys.exit(f"Not shown yet: {'; '.join(unmet)}. The figures are in {FIGURES_FOLDER}.")


if __name__ == "__main__":
    main()
