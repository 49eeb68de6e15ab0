"""Sounds in memory through a filter of the carried ffmpeg, and which filters it has."""

from __future__ import annotations

import functools

import numpy as np
import torch

from ..errors import AudioError
from ..media.ffmpeg import run_ffmpeg
from ..media.opening import ffmpeg_piped_samples
from ..required_packages import importing

PROBE_RATE = 8000  # Hz, of the silence through which a filter is tried


def filtered(waveform: torch.Tensor, rate: int, filters: str, what: str, layout: str | None = None) -> torch.Tensor:
    """(C, T) float32 through ffmpeg's `filters`, a chain that keeps the number of channels; (C, T') float32.

    Args:
        rate: Hz; a filter may change it.
        what: the start of an error's sentence.
        layout: ffmpeg's name of the channels' layout, where a filter goes by it.

    Raises:
        AudioError: ffmpeg fails.
    """
    channels = len(waveform)
    named = ["-channel_layout", layout] if layout else []
    args = [*named, *ffmpeg_piped_samples(rate, channels), "-af", filters, "-f", "f32le", "pipe:1"]
    made = run_ffmpeg(args, error=AudioError, what=what, input=waveform.T.contiguous().numpy().tobytes())
    return torch.from_numpy(np.frombuffer(made, "<f4").astype(np.float32).reshape(-1, channels).T.copy())


def resampled(waveform: torch.Tensor, rate: int, new_rate: int) -> torch.Tensor:
    """(C, T) float32 at `rate` Hz as (C, round(T * new_rate / rate)) at `new_rate`."""
    if rate == new_rate or not waveform.shape[1]:
        return waveform
    length = round(waveform.shape[1] * new_rate / rate)
    made = filtered(waveform, rate, f"aresample={new_rate}", "Can't resample the sound")
    return with_length(made, length)


def with_length(waveform: torch.Tensor, length: int) -> torch.Tensor:
    """(C, T) cut, or lengthened by silence, to (C, length)."""
    return torch.nn.functional.pad(waveform, (0, length - waveform.shape[1]))


@functools.cache
def has_filter(name: str) -> bool:
    """Whether the carried ffmpeg was built with a filter and its library."""
    with importing("imageio-ffmpeg", any_version=True):
        import imageio_ffmpeg  # noqa: F401  # run_ffmpeg finds it; a missing package is named first
    probe = [*ffmpeg_piped_samples(PROBE_RATE, 1), "-af", name, "-f", "null", "-"]
    try:
        run_ffmpeg(probe, error=AudioError, what=name, input=bytes(PROBE_RATE))
    except AudioError:
        return False
    return True
