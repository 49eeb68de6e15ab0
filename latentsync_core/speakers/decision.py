"""Decides who speaks: joins the evidence of cells to segments of speech, each of one track or of nobody shown.

A hidden Markov model of each shot: its states are the tracks that are shown and NOBODY, a cell's log-odds are the
emissions, and a change of the speaker has its cost. The best path gives the segments, and the posterior probability of
its states, calibrated, their confidence.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..faces.speaking import NOBODY, SpeakerScore, SpeechSegment
from ..runs import runs, runs_where
from .evidence import CELL, FEATURES, Evidence, gather_evidence
from .signals import SpeakerSignals
from .speaking_model import SpeakingModel, load_speaking_model


def speech_segments(
    signals: SpeakerSignals,
    shots: Sequence[tuple[int, int]],
    model: SpeakingModel | None = None,
    evidence: Evidence | None = None,
) -> tuple[SpeechSegment, ...]:
    """All speech of the clip in order of time, cut at pauses, at cuts and where the speaker changes.

    Args:
        shots: half-open ranges of the clip's frames, in order; together the whole clip.
        model: by default the carried one.
        evidence: what `gather_evidence` made of the signals, where it is at hand.
    """
    model = model or load_speaking_model()
    evidence = evidence or gather_evidence(signals)
    log_odds = model.log_odds(evidence.features(), FEATURES)
    segments: list[SpeechSegment] = []
    for first, stop in shots:
        steps = np.searchsorted(signals.frames, (first, stop))
        cells = slice(-(-(int(steps[0]) - CELL // 2) // CELL), -(-(int(steps[1]) - CELL // 2) // CELL))
        tracks = np.flatnonzero(evidence.shown[cells].any(0))
        states, posterior = _decode(evidence, log_odds, cells, tracks, model)
        for start, end in _stretches(signals.speech, int(steps[0]), int(steps[1])):
            segments += _segments(signals, evidence, (start, end), cells, tracks, states, posterior, model)
    return tuple(segments)


def _stretches(speech: np.ndarray, first: int, stop: int) -> list[tuple[int, int]]:
    """The steps of speech within first..stop-1, half-open."""
    return [(first + start, first + end) for start, end in runs_where(speech[first:stop])]


def _decode(
    evidence: Evidence, log_odds: np.ndarray, cells: slice, tracks: np.ndarray, model: SpeakingModel
) -> tuple[np.ndarray, np.ndarray]:
    """The best path's states (c,), places in `tracks` or NOBODY, and the posterior (c, states), NOBODY's last."""
    count = max(cells.stop - cells.start, 0)
    emissions = np.zeros((count, len(tracks) + 1))
    shown = evidence.shown[cells][:, tracks]
    tempered = model.tempering * log_odds[cells][:, tracks]
    emissions[:, :-1] = np.where(shown, np.where(evidence.speech[cells][:, None], tempered, 0.0), -np.inf)
    stay = np.where(np.eye(len(tracks) + 1, dtype=bool), 0.0, -model.switch_cost)
    path = _best_path(emissions, stay)
    states = np.where(path == len(tracks), NOBODY, path)
    return states, _posterior(emissions, stay)


def _best_path(emissions: np.ndarray, transitions: np.ndarray) -> np.ndarray:
    """(c,) Viterbi's path through (c, s) log emissions with (s, s) log transitions."""
    if not len(emissions):
        return np.zeros(0, np.int64)
    score, back = emissions[0], []
    for row in emissions[1:]:
        through = score[:, None] + transitions
        back.append(through.argmax(0))
        score = through.max(0) + row
    path = [int(score.argmax())]
    for step in reversed(back):
        path.append(int(step[path[-1]]))
    return np.array(path[::-1])


def _posterior(emissions: np.ndarray, transitions: np.ndarray) -> np.ndarray:
    """(c, s) the probability of each state, by the forward-backward algorithm."""
    forward, backward = emissions.copy(), np.zeros_like(emissions)
    for row in range(1, len(emissions)):
        forward[row] += _log_sum(forward[row - 1][:, None] + transitions, 0)
    for row in range(len(emissions) - 2, -1, -1):
        backward[row] = _log_sum(transitions + (emissions[row + 1] + backward[row + 1])[None], 1)
    joint = forward + backward
    return np.exp(joint - _log_sum(joint, 1)[:, None]) if len(joint) else joint


def _log_sum(values: np.ndarray, axis: int) -> np.ndarray:
    most = values.max(axis, keepdims=True)  # finite: NOBODY is always possible
    return np.log(np.exp(values - most).sum(axis)) + np.squeeze(most, axis)


def _segments(
    signals: SpeakerSignals,
    evidence: Evidence,
    stretch: tuple[int, int],
    cells: slice,
    tracks: np.ndarray,
    states: np.ndarray,
    posterior: np.ndarray,
    model: SpeakingModel,
) -> list[SpeechSegment]:
    """One stretch of speech without a pause, cut where the best path's state changes."""
    start, stop = stretch
    steps = np.arange(start, stop)
    places = np.clip(steps // CELL - cells.start, 0, max(len(states) - 1, 0))
    of_step = states[places] if len(states) else np.full(len(steps), NOBODY)

    def scores(first: int, last: int) -> tuple[SpeakerScore, ...]:
        own = np.unique(places[first:last])
        return _scores(evidence, own + cells.start, tracks, posterior[own] if len(states) else posterior, model)

    for first, last in runs(of_step):
        if of_step[first] != NOBODY:
            track = int(tracks[of_step[first]])
            (own,) = (score.probability for score in scores(first, last) if score.track == track)
            if own < model.threshold:
                of_step[first:last] = NOBODY
    found = []
    for first, last in runs(of_step):
        track = NOBODY if of_step[first] == NOBODY else int(tracks[of_step[first]])
        of_all = scores(first, last)
        own = next((score.probability for score in of_all if track in (NOBODY, score.track)), 0.0)  # the likeliest's
        # Up to the frame of the next step: a clip of a higher rate has several to a step.
        edges = np.minimum([start + first, start + last - 1, start + last], len(signals.frames) - 1)
        begin, end, after = signals.frames[edges].tolist()
        confidence = 1 - own if track == NOBODY else own
        found.append(SpeechSegment(begin, max(end + 1, after), track, float(confidence), of_all))
    return found


def _scores(
    evidence: Evidence, cells: np.ndarray, tracks: np.ndarray, posterior: np.ndarray, model: SpeakingModel
) -> tuple[SpeakerScore, ...]:
    """Every track's score in some cells, the likeliest first."""
    scores = []
    for place, track in enumerate(tracks.tolist()):
        probability = float(model.calibrated(posterior[:, place].mean()))
        motion, sync = (_mean(values[cells, track]) for values in (evidence.motion, evidence.sync))
        scores.append(SpeakerScore(track, probability, motion, sync))
    return tuple(sorted(scores, key=lambda score: (-score.probability, score.track)))


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
