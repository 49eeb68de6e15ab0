# Of transformers' Whisper settings, what the engine uses.
from typing import Any

class WhisperConfig:
    encoder_layers: int
    d_model: int
    num_mel_bins: int
    max_source_positions: int
    def __init__(self, **config: Any) -> None: ...
