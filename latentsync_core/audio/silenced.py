"""A voice whose pauses are silence to the network: Whisper features of a silent recording in their place."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import torch

from ..models.whisper.encoder import ROWS_PER_SECOND, WhisperEncoder
from ..models.whisper.log_mel import SAMPLE_RATE
from .features import AudioEmbedding, FeatureRows
from .pause_options import PauseOptions
from .speech_activity import SpeechActivity


class SilencedFeatures:
    """Feature rows that are mixed from a voice's and a silent recording's when they are read."""

    def __init__(self, voice: torch.Tensor | FeatureRows, silence: torch.Tensor, weights: np.ndarray) -> None:
        """`silence` is one segment of Whisper, (context, levels, width), whose rows hold their place in it; `weights`
        (T,) is the voice's share of each row."""
        self.shape = voice.shape
        self._voice, self._silence = voice, silence
        self._weights = torch.from_numpy(weights)

    def __getitem__(self, rows: np.ndarray) -> torch.Tensor:
        """The rows of an int64 array of any shape, (*rows.shape, levels, width) float32; in speech the voice's own."""
        index = torch.from_numpy(rows)
        own = (self._voice[index] if isinstance(self._voice, torch.Tensor) else self._voice[rows]).float()
        return torch.lerp(self._silence[index % len(self._silence)], own, self._weights[index][..., None, None])


def silence_pauses(
    audio: AudioEmbedding, speech: SpeechActivity, options: PauseOptions, encoder: WhisperEncoder
) -> AudioEmbedding:
    """`audio` with the features of digital silence wherever `speech` pauses; its digest tells which rows these are.

    Whisper sees 30 s at once and knows every row's place in them, so each is replaced by the row in the same place.
    """
    rows = audio.features.shape[0]
    weights = speech.weights((np.arange(rows) + 0.5) / ROWS_PER_SECOND, options)
    silence = encoder.features(torch.zeros(encoder.context * SAMPLE_RATE // ROWS_PER_SECOND)).cpu().half().float()
    digest = hashlib.sha256(f"{audio.digest} silenced".encode() + weights.tobytes()).hexdigest()
    return dataclasses.replace(audio, features=SilencedFeatures(audio.features, silence, weights), digest=digest)
