"""The models that come with the pack: they show that everything runs, not what LatentSync can do."""

from __future__ import annotations

from pathlib import Path

from .models_folder import BUNDLE_FILE
from .untrained import NAME as UNTRAINED

NANO = Path(__file__).parents[1] / "assets" / "nano"


def demonstration_models() -> dict[str, str | Path]:
    """What to call each in a list, and what `load_model` takes for it; the most telling one first."""
    models: dict[str, str | Path] = {"nano (demonstration)": NANO} if (NANO / BUNDLE_FILE).is_file() else {}
    return models | {f"{UNTRAINED} (demonstration)": UNTRAINED}
