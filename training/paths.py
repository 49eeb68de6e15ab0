"""Where training keeps its files, and which weights are the present ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from latentsync_core.evaluation.syncnet import CARRIED_SYNCNET
from latentsync_core.models.loading.demonstration import NANO_FOLDER
from latentsync_core.trepa.video_encoder import CARRIED_ENCODER

CACHE = Path(__file__).parent / "cache"  # rendered clips and their features
RUNS = Path(__file__).parent / "runs"  # checkpoints and figures
WEIGHTS = Path(__file__).parent / "weights"
MEDIA = Path(__file__).parent / "media"
CARRIED = {  # by stage: the networks that come with the engine
    "unet": NANO_FOLDER / "unet.safetensors",
    "vae": NANO_FOLDER / "vae.safetensors",
    "whisper": NANO_FOLDER / "whisper.safetensors",
    "syncnet": CARRIED_SYNCNET,
    "trepa": CARRIED_ENCODER,
}


def network_weights(name: str, folder: Path = WEIGHTS) -> Path:
    """The weights of a stage: those in `folder`, or, until it has any, those that come with the engine."""
    own = folder / f"{name}.safetensors"
    return CARRIED[name] if folder == WEIGHTS and name in CARRIED and not own.exists() else own


def bundle_config(weights: Path, network: str) -> dict[str, Any] | None:
    """The config of a bundle's network, whose weights file carries none; None where `weights` is in no bundle."""
    path = weights.parent / "model.json"
    return json.loads(path.read_text("utf-8"))[network] if path.exists() else None
