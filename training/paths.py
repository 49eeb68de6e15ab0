"""Where training keeps its files, and which weights are the present ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from latentsync_core.models.loading.demonstration import NANO_FOLDER

CACHE = Path(__file__).parent / "cache"  # rendered clips and their features
RUNS = Path(__file__).parent / "runs"  # checkpoints and figures
WEIGHTS = Path(__file__).parent / "weights"
MEDIA = Path(__file__).parent / "media"


def network_weights(name: str, folder: Path = WEIGHTS) -> Path:
    """The weights of a stage: those in `folder`, or, of the U-Net and the VAE, the carried model's until others are."""
    own, carried = folder / f"{name}.safetensors", NANO_FOLDER / f"{name}.safetensors"
    return carried if folder == WEIGHTS and carried.exists() and not own.exists() else own


def bundle_config(weights: Path, network: str) -> dict[str, Any] | None:
    """The config of a bundle's network, whose weights file carries none; None where `weights` is in no bundle."""
    path = weights.parent / "model.json"
    return json.loads(path.read_text("utf-8"))[network] if path.exists() else None
