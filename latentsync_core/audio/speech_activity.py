"""When a voice speaks: scores every 10 ms, and from them how far the mouth follows the voice at any time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..runs import runs_where
from .pause_options import PauseOptions
from .silero import load_silero, silero_scores
from .source import AudioSource
from .speech_gate import SCORES_PER_SECOND, gate_scores

MIN_SPEECH_SECONDS = 0.05  # shorter sounds are clicks
# The lips part before the sound begins: a tenth of a second in most words, as in the visemes that training renders.
LEAD_SECONDS = 0.1


@dataclass(frozen=True, eq=False)
class SpeechActivity:
    """How much each 10 ms of a recording sound like speech."""

    scores: np.ndarray  # (T,) float32, 0 to 1; value i is of the sound from i to i + 1 hundredths of a second
    detector: str  # what made them: "silero-vad", or "own gate"

    def weights(self, times: np.ndarray, options: PauseOptions) -> np.ndarray:
        """How far the voice speaks at `times`: 1 in speech, 0 in a pause, between them in the ramps.

        A pause begins `hangover` seconds after speech has ended and is over LEAD_SECONDS before it begins again; the
        ramps lie within it. Shorter gaps are no pauses.

        Args:
            times: (n,) seconds after the recording's start; before it and after its end nothing speaks.

        Returns:
            (n,) float32, 0 to 1.
        """
        after_last = options.hangover + options.ramp
        before_first = LEAD_SECONDS + options.ramp
        ahead, behind = (int(np.ceil(seconds * SCORES_PER_SECOND)) + 1 for seconds in (before_first, after_last))
        speaks = np.pad(self.scores >= options.threshold, (ahead, behind))
        weights = np.zeros(len(speaks), np.float32)
        for start, stop in runs_where(speaks):
            if stop - start < MIN_SPEECH_SECONDS * SCORES_PER_SECOND:
                continue
            first, last = max(start - ahead, 0), min(stop + behind, len(weights))
            place = np.arange(first, last)
            early = (start - place) / SCORES_PER_SECOND - LEAD_SECONDS  # seconds before the mouth begins
            late = (place - stop + 1) / SCORES_PER_SECOND - options.hangover
            outside = np.maximum(np.maximum(early, late), 0)
            reached = outside <= 0 if options.ramp == 0 else np.clip(1 - outside / options.ramp, 0, 1)
            weights[first:last] = np.maximum(weights[first:last], reached)
        at = np.floor(np.asarray(times, np.float64) * SCORES_PER_SECOND).astype(np.int64) + ahead
        return weights[np.clip(at, 0, len(weights) - 1)]


def detect_speech(audio: AudioSource) -> SpeechActivity:
    """Listens to a whole recording: with silero-vad where it is installed, otherwise with the carried gate.

    Raises:
        AudioError: the sound can't be read, or changed since it was loaded.
    """
    network = load_silero()
    blocks = audio.mono16k_blocks()
    if network is not None:
        return SpeechActivity(silero_scores(network, blocks), "silero-vad")
    return SpeechActivity(gate_scores(blocks), "own gate")
