"""Whisper's encoder and its log-mel spectrogram."""

from .encoder import WhisperEncoder

__all__ = ["WhisperEncoder"]
