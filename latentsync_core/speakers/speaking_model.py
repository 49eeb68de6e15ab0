"""The fitted constants that turn evidence into probabilities; ``python -m training.speaking.fit`` writes them."""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ModelError

CARRIED_SPEAKING = Path(__file__).parents[1] / "assets" / "speakers" / "speaking.json"


@dataclass(frozen=True)
class SpeakingModel:
    """A logistic function of a cell's features, and how its cells are joined to segments."""

    weights: dict[str, float]  # of FEATURES; those that aren't named count for nothing
    bias: float
    tempering: float  # factor on a cell's log-odds when cells are joined: neighbours look at much the same frames
    switch_cost: float  # log-odds that a change of the speaker within a shot costs
    slope: float  # of the calibration: log-odds of the confidence = slope * log-odds of the posterior + offset
    offset: float
    threshold: float  # confidence from which on a track counts as the speaker

    def log_odds(self, features: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        """(...,) of features (..., len(names)): the log-odds that a mouth speaks in a cell, by the cell alone."""
        return features @ np.array([self.weights.get(name, 0.0) for name in names]) + self.bias

    def calibrated(self, posterior: np.ndarray | float) -> np.ndarray:
        """The confidence, 0 to 1, of posterior probabilities."""
        clipped = np.clip(posterior, 1e-6, 1 - 1e-6)
        return 1 / (1 + np.exp(-(self.slope * np.log(clipped / (1 - clipped)) + self.offset)))


@functools.cache
def load_speaking_model(path: Path = CARRIED_SPEAKING) -> SpeakingModel:
    """Reads the constants.

    Raises:
        ModelError: the file is missing, or it isn't one of those that `python -m training.speaking.fit` writes.
    """
    try:
        values = json.loads(path.read_text("utf-8"))
        weights = {str(name): float(value) for name, value in values["weights"].items()}
        others = {name: float(values[name]) for name in SpeakingModel.__dataclass_fields__ if name != "weights"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ModelError(f"the constants in {path} can't be read ({problem}); install the pack again") from None
    if not all(map(math.isfinite, (*weights.values(), *others.values()))):
        raise ModelError(f"the constants in {path} aren't finite; install the pack again")
    return SpeakingModel(weights, **others)
