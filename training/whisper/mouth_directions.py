"""Where the tuned Whisper's states hold the mouth's shape: along eight fixed directions of the last level."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from latentsync_core.models.whisper.encoder import WhisperEncoder

from ..synthetic.speech.visemes import PARAMETERS

SEED = 15487597
SCALE_VOICES = 100  # from which the sizes of the channels are taken


def mouth_directions(width: int) -> Tensor:
    """(width, 8) float32, orthonormal, one for each of PARAMETERS, of states divided by `measure_channel_rms`."""
    draw = torch.Generator().manual_seed(SEED)
    return torch.linalg.qr(torch.randn(width, len(PARAMETERS), generator=draw))[0]


def measure_channel_rms(encoder: WhisperEncoder, waveforms: Iterable[np.ndarray]) -> Tensor:
    """(width,) root mean squares over all levels of the states of these voices, each float32 at 16 kHz."""
    states = [encoder.features(torch.from_numpy(waveform)) for waveform in waveforms]
    return torch.cat(states).float().square().mean((0, 1)).sqrt()
