"""Fits who speaks to rendered dialogues: ``python -m training.speaking.fit --scenes 8``.

The scenes' seeds begin at FITTED_SEEDS; `benchmarks.faces.speaking` measures on others. A logistic function is fitted
to the cells of speech (ridge regression by Newton's method). How cells are joined is chosen by the F score of speech
time, and the confidence of segments calibrated with another logistic function. Writes the engine's constants, and
beside this file those of SyncNet alone and of the mouths' motion alone, to compare with.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from latentsync_core.faces.speaking import SpeechSegment
from latentsync_core.speakers.decision import speech_segments
from latentsync_core.speakers.evidence import CELL, FEATURES, Evidence, gather_evidence
from latentsync_core.speakers.speaking_model import CARRIED_SPEAKING, SpeakingModel

from ..paths import CACHE
from .data import FITTED_SEEDS, Example, example
from .figures import time_shares

ALONE = Path(__file__).with_name("alone.json")
KINDS = {"SyncNet alone": ("sync",), "motion alone": ("motion", "speed")}
RIDGE = 1.0  # penalty on the squares of standardised weights, in cells
TEMPERINGS, SWITCH_COSTS = (0.25, 0.5, 1.0), (1.0, 2.0, 4.0)
LEAST_THRESHOLD = 0.6  # more likely than not, whatever the fitted scenes allow
WANTED_PRECISION = 0.97  # of the fitted scenes; unknown ones will have a little less


def fit_model(examples: Sequence[Example], names: Sequence[str] = FEATURES) -> SpeakingModel:
    """The constants for the named features."""
    features, truth = _cells(examples)
    columns = [FEATURES.index(name) for name in names]
    weights, bias = logistic_fit(features[:, columns], truth, RIDGE)
    linear = dict(zip(names, map(float, weights), strict=True))
    evidence = [gather_evidence(one.signals) for one in examples]
    best: tuple[float, SpeakingModel] | None = None
    for tempering, cost in itertools.product(TEMPERINGS, SWITCH_COSTS):
        model = SpeakingModel(linear, float(bias), tempering, cost, 1.0, 0.0, 0.5)
        shares = time_shares(examples, _decided(examples, evidence, model))
        score = 2 * shares.precision * shares.recall / max(shares.precision + shares.recall, 1e-9)
        if best is None or score > best[0]:
            best = score, model
    assert best is not None
    return _calibrated(examples, evidence, best[1])


def _decided(
    examples: Sequence[Example], evidence: Sequence[Evidence], model: SpeakingModel
) -> list[tuple[SpeechSegment, ...]]:
    return [speech_segments(one.signals, one.shots, model, of) for one, of in zip(examples, evidence, strict=True)]


def logistic_fit(features: np.ndarray, truth: np.ndarray, ridge: float) -> tuple[np.ndarray, float]:
    """Weights (k,) and bias of the ridge-penalised logistic function of (n, k) features that fits (n,) bool best."""
    middle, spread = features.mean(0), np.maximum(features.std(0), 1e-6)
    design = np.column_stack([(features - middle) / spread, np.ones(len(features))])
    penalty = np.diag([ridge] * features.shape[1] + [1e-6])
    values = np.zeros(design.shape[1])
    for _ in range(50):
        probability = 1 / (1 + np.exp(-design @ values))
        gradient = design.T @ (probability - truth) + penalty @ values
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design + penalty
        step = np.linalg.solve(curvature, gradient)
        values -= step
        if np.abs(step).max() < 1e-8:
            break
    weights = values[:-1] / spread
    return weights, float(values[-1] - weights @ middle)


def _cells(examples: Sequence[Example]) -> tuple[np.ndarray, np.ndarray]:
    """The features (n, k) and truth (n,) of every track in every cell of speech."""
    features, truth = [], []
    for one in examples:
        evidence = gather_evidence(one.signals)
        counted = evidence.shown & evidence.speech[:, None]
        cells = len(evidence.speech)
        padded = np.pad(one.truth, ((0, 0), (0, cells * CELL - one.truth.shape[1])))
        speaks = padded.reshape(len(one.truth), cells, CELL).mean(2).T > 0.5
        features.append(evidence.features()[counted])
        truth.append(speaks[counted])
    return np.concatenate(features), np.concatenate(truth)


def _calibrated(examples: Sequence[Example], evidence: Sequence[Evidence], model: SpeakingModel) -> SpeakingModel:
    """The model with the slope and offset that fit its segments, and the least threshold of the wanted precision."""
    posteriors, truths, lengths = [], [], []
    for one, segments in zip(examples, _decided(examples, evidence, model), strict=True):
        for segment in segments:
            for score in segment.scores:
                posteriors.append(score.probability)
                truths.append(one.truth[score.track, segment.first : segment.stop].mean())
                lengths.append(segment.stop - segment.first)
    odds = np.clip(posteriors, 1e-6, 1 - 1e-6)
    odds = np.log(odds / (1 - odds))
    repeats = np.maximum(np.array(lengths) // CELL, 1)
    (slope,), offset = logistic_fit(np.repeat(odds, repeats)[:, None], np.repeat(truths, repeats), RIDGE)
    for threshold in np.arange(LEAST_THRESHOLD, 0.96, 0.05):
        fitted = SpeakingModel(
            model.weights, model.bias, model.tempering, model.switch_cost, float(slope), offset, round(threshold, 2)
        )
        shares = time_shares(examples, _decided(examples, evidence, fitted))
        if shares.precision >= WANTED_PRECISION:
            break
    return fitted


def _written(model: SpeakingModel) -> dict:
    values = asdict(model)
    weights = {name: round(value, 4) for name, value in values.pop("weights").items()}
    return {"weights": weights, **{name: round(value, 4) for name, value in values.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=8, help="of two and three people in turn, 8 s each")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for the rendered scenes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    examples = [example(FITTED_SEEDS + number, options.cache) for number in range(options.scenes)]
    CARRIED_SPEAKING.write_text(json.dumps(_written(fit_model(examples)), indent=1) + "\n", "utf-8")
    alone = {kind: _written(fit_model(examples, names)) for kind, names in KINDS.items()}
    ALONE.write_text(json.dumps(alone, indent=1) + "\n", "utf-8")
    print(CARRIED_SPEAKING.read_text("utf-8"), ALONE.read_text("utf-8"))


if __name__ == "__main__":
    main()
