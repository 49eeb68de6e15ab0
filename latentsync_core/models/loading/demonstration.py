"""The demonstration models that come with the pack."""

from __future__ import annotations

from pathlib import Path

from .untrained import NAME as UNTRAINED

NANO = "nano"  # a small model that was trained on drawn people; its mouths follow the voice
NANO_FOLDER = Path(__file__).parents[2] / "assets" / "nano"


def demonstration_models() -> dict[str, str]:
    """What to call each in a list, and what `load_model` takes for it; the most telling one first."""
    return {f"{name} (demonstration)": name for name in (NANO, UNTRAINED)}
