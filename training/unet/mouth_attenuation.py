"""Weakens the mouth's shape in the audio features that the U-Net is trained on, so that it draws larger mouths in use.

Least squares lead to the mean of all mouths that a voice allows, which moves less than each of them. Guidance makes
up for it (Ho and Salimans 2022, https://arxiv.org/abs/2207.12598), at the price of a second prediction and of larger
errors in all else. The tuned Whisper's last level holds the mouth's shape along known directions
(`whisper.mouth_directions`). A network that has learnt which mouth goes with a weaker shape draws it larger where the
shape is whole, as it is in use.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from latentsync_core.models.whisper.encoder import WhisperEncoder

from ..whisper.mouth_directions import SCALE_VOICES, measure_channel_rms, mouth_directions
from ..whisper.tiny import load_whisper_tiny
from .features import Features

GAIN = 1.6  # the shape's deviation from a closed mouth in use, relative to that in training


def attenuate_mouth(
    data: Features, waveforms: np.ndarray, gain: float = GAIN, untuned: WhisperEncoder | None = None
) -> Features:
    """The features with the mouth's deviation from a silent recording's divided by `gain`.

    `waveforms` (n, samples) int16 at 16 kHz are the clips' own. On the first of them the channels of the `untuned`
    encoder are measured, by default the released one's.
    """
    if gain == 1:
        return data
    voices = waveforms[:SCALE_VOICES].astype(np.float32) / 32767
    rms = measure_channel_rms(untuned or load_whisper_tiny(), voices)
    directions = mouth_directions(len(rms))
    onto, back = directions / rms[:, None], (directions * rms[:, None]).T
    closed = _last_level(data.silence_features).mean((0, 1)) @ onto

    def attenuated(features: np.ndarray) -> np.ndarray:
        last = _last_level(features)
        weaker = last - (1 - 1 / gain) * (last @ onto - closed) @ back
        return np.concatenate([features[:, :, :-1], weaker[:, :, None].half().numpy()], axis=2)

    return dataclasses.replace(
        data,
        audio_features=attenuated(data.audio_features),
        silence_features=attenuated(data.silence_features),
    )


def _last_level(features: np.ndarray) -> Tensor:
    """(n, rows, width) float32 of (n, rows, levels, width) float16."""
    return torch.from_numpy(np.array(features[:, :, -1], np.float32))
