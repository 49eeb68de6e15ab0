# Of transformers' Whisper encoder, what the engine uses.
import torch
from torch import nn

from .configuration_whisper import WhisperConfig

class WhisperEncoder(nn.Module):
    config: WhisperConfig
    conv1: nn.Conv1d
    layers: nn.ModuleList
    layer_norm: nn.LayerNorm
    def __init__(self, config: WhisperConfig) -> None: ...
    def __call__(self, input_features: torch.Tensor) -> object: ...
