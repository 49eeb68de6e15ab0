"""Recordings of several voices, as long as Whisper takes them at once (30 s), and how the mouths move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from latentsync_core.audio.features import TAIL_SILENCE_SECONDS
from latentsync_core.models.whisper.encoder import ROWS_PER_SECOND, WhisperEncoder
from latentsync_core.models.whisper.log_mel import measure_peak, normalised_mel

from ..synthetic.speech.performance import SAMPLE_RATE, Performance
from ..synthetic.speech.visemes import PARAMETERS, REST

SAMPLES_PER_ROW = SAMPLE_RATE // ROWS_PER_SECOND
PAUSE_SECONDS = (0.1, 0.9)  # seconds of silence between two voices
SHORT_SHARE = 0.25  # of the recordings end after one to three voices, as a short voice does
NOISE_FLOOR_DB = (-90, -55)  # dB: how loud the noise in half of the recordings' pauses is; the others hold zeros


@dataclass(frozen=True, eq=False)
class Recordings:
    """What the tuned blocks of Whisper see, and what they are to say.

    states: (n, context, width) float16, the state that enters the first of them. mouths: (n, context, 8) float32,
    `visemes.PARAMETERS` at each row's time; NaN after the recording's end.
    """

    states: Tensor
    mouths: Tensor

    def __len__(self) -> int:
        return len(self.states)


def make_recordings(
    encoder: WhisperEncoder, voices: Sequence[Performance], level: int, seed: int = 0, most: int | None = None
) -> Recordings:
    """Each voice once, in recordings of up to `most` of them or as many as fit, in an order that the seed decides.

    `level` is that of `states`: 0 for what enters the encoder's first block.
    """
    rng = np.random.default_rng((15487591, seed))
    waiting = list(rng.permutation(len(voices)))
    states, mouths = [], []
    while waiting:
        count = int(rng.integers(1, 4)) if rng.random() < SHORT_SHARE else len(voices)
        waveform, mouth = _join(rng, voices, waiting, min(count, most or count), encoder.context)
        states.append(encode_level(encoder, waveform, level).half())
        mouths.append(torch.from_numpy(mouth))
    return Recordings(torch.stack(states), torch.stack(mouths))


def encode_level(encoder: WhisperEncoder, waveform: np.ndarray, level: int) -> Tensor:
    """(context, width): one level of Whisper's states of up to 30 s, float32 at 16 kHz, padded as the engine pads."""
    sound = torch.from_numpy(waveform.astype(np.float32))
    peak, _ = measure_peak([sound], encoder.n_mels)
    mel = torch.cat(list(normalised_mel([sound], peak, encoder.n_mels)), dim=1)[:, : 2 * encoder.context]
    padded = torch.nn.functional.pad(mel, (0, 2 * encoder.context - mel.shape[1]))
    return encoder(padded[None])[0, :, level]


def mouth_rows(voice: Performance, rows: int) -> np.ndarray:
    """(rows, 8) float32: the mouth's parameters at the times of that many of Whisper's rows."""
    return voice.mouth.values(np.arange(rows) / ROWS_PER_SECOND).astype(np.float32)


def _join(
    rng: np.random.Generator, voices: Sequence[Performance], waiting: list[int], most: int, context: int
) -> tuple[np.ndarray, np.ndarray]:
    """Takes up to `most` of the voices `waiting` while 30 s have room for them: the sound and its mouths."""
    mouths = np.full((context, len(PARAMETERS)), np.nan, np.float32)
    room = context - round(TAIL_SILENCE_SECONDS * ROWS_PER_SECOND)
    sounds, row = [], 0
    while waiting and most:
        voice = voices[waiting[-1]]
        pause = round(rng.uniform(*PAUSE_SECONDS) * ROWS_PER_SECOND) if row else 0
        rows = len(voice.waveform) // SAMPLES_PER_ROW
        if row and row + pause + rows > room:
            break
        waiting.pop()
        most -= 1
        sounds += [np.zeros(pause * SAMPLES_PER_ROW, np.float32), voice.waveform[: rows * SAMPLES_PER_ROW]]
        mouths[row : row + pause] = REST
        mouths[row + pause : row + pause + rows] = mouth_rows(voice, rows)
        row += pause + rows
    end = min(context, row + round(TAIL_SILENCE_SECONDS * ROWS_PER_SECOND))
    mouths[row:end] = REST
    waveform = np.concatenate([*sounds, np.zeros((end - row) * SAMPLES_PER_ROW, np.float32)])
    if rng.random() < 0.5:
        loudness = 10 ** (rng.uniform(*NOISE_FLOOR_DB) / 20)
        waveform = waveform + np.float32(loudness) * rng.standard_normal(len(waveform)).astype(np.float32)
    return waveform, mouths
