"""How high a node of the workflows is drawn, in ComfyUI's both node styles, before and after a run."""

from __future__ import annotations

import json
from pathlib import Path

HEIGHTS_FILE = Path(__file__).with_name("node_heights.json")  # written by dev.measure_nodes
STYLES = ("classic", "vue")
TITLE = 30  # pixels on the canvas, as all here: a node's title bar, which lies above its position


def load_heights() -> dict[str, dict[str, list[int]]]:
    """{node: {style: [before a run, after it]}}: heights below the title."""
    return json.loads(HEIGHTS_FILE.read_text(encoding="utf-8"))


def room(heights: dict[str, list[int]]) -> int:
    """The height that holds a node in both styles, before and after a run."""
    return max(height for both in heights.values() for height in both)
