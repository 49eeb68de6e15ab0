"""Downmixing of audio channels to stereo or mono, also of those that would cancel each other."""

from __future__ import annotations

from enum import Enum

import torch

MINUS_3_DB = 0.5**0.5
# What each channel gives to the left and the right, per layout, in the order in which files hold them; the low effects
# channel is left out, as everywhere (ITU-R BS.775-3, table 2).
DOWNMIX_COEFFICIENTS = {
    1: ((1, 1),),
    2: ((1, 0), (0, 1)),
    3: ((1, 0), (0, 1), (MINUS_3_DB, MINUS_3_DB)),  # L R C
    4: ((1, 0), (0, 1), (MINUS_3_DB, 0), (0, MINUS_3_DB)),  # L R Ls Rs
    5: ((1, 0), (0, 1), (MINUS_3_DB, MINUS_3_DB), (MINUS_3_DB, 0), (0, MINUS_3_DB)),  # L R C Ls Rs
    6: ((1, 0), (0, 1), (MINUS_3_DB, MINUS_3_DB), (0, 0), (MINUS_3_DB, 0), (0, MINUS_3_DB)),  # L R C LFE Ls Rs
    8: (
        (1, 0),
        (0, 1),
        (MINUS_3_DB, MINUS_3_DB),
        (0, 0),
        (MINUS_3_DB, 0),  # rear, then side
        (0, MINUS_3_DB),
        (MINUS_3_DB, 0),
        (0, MINUS_3_DB),
    ),
}
# Power of the channels' sum by the sum of their powers: 1 for unrelated channels or a single one that sounds, their
# number for equal ones, 0 for opposite ones. Below this, two equally loud channels correlate by less than -0.8.
MAX_CANCELLING_RATIO = 0.2
MIN_CANCELLED_SHARE = 0.1  # of a sound's energy in stretches that cancel, from which on a channel stands for all


class Channels(Enum):
    """How many channels a sound shall have."""

    ALL = "all"
    STEREO = "stereo"
    MONO = "mono"


def stereo_downmix_matrix(count: int) -> torch.Tensor:
    """(2, count) float32: what each channel gives to left and right; the average for a count without a usual layout."""
    coefficients = DOWNMIX_COEFFICIENTS.get(count)
    return (
        torch.full((2, count), 1 / count) if coefficients is None else torch.tensor(coefficients, dtype=torch.float32).T
    )


def stereo_downmix_filter(count: int, *, scaled: bool = False) -> str:
    """ffmpeg's filter that mixes `count` channels down to stereo, by their order alone, so whatever their layout is.

    `scaled` divides by the sum of the shares, so that nothing clips; else what one channel holds keeps its level.
    """
    sides = [
        "+".join(f"{share:.6f}*c{channel}" for channel, share in enumerate(row) if share)
        for row in stereo_downmix_matrix(count).tolist()
    ]
    sign = "<" if scaled else "="
    return f"pan=stereo|c0{sign}{sides[0]}|c1{sign}{sides[1]}"


class Cancellation:
    """Measures, stretch by stretch, whether a sound's channels cancel when they are added: an inverted channel does."""

    def __init__(self) -> None:
        self._powers: torch.Tensor | None = None  # (C,) float64
        self._cancelled = 0.0

    def add(self, piece: torch.Tensor) -> None:
        """Counts the next (C, n) samples, about a second of them."""
        powers = piece.double().square().sum(dim=1)
        self._powers = powers if self._powers is None else self._powers + powers
        if len(piece) > 1 and piece.double().sum(dim=0).square().sum() < MAX_CANCELLING_RATIO * powers.sum():
            self._cancelled += float(powers.sum())

    @property
    def mono_channel(self) -> int | None:
        """The loudest channel, to stand for all of them in mono; None where their mean holds the sound."""
        if self._powers is None or self._cancelled <= MIN_CANCELLED_SHARE * float(self._powers.sum()):
            return None
        return int(self._powers.argmax())


def to_mono(waveform: torch.Tensor, channel: int | None = None) -> torch.Tensor:
    """(C, T) → (T,): the mean of the channels, or the one that stands for all (`Cancellation.mono_channel`)."""
    return waveform.mean(dim=0) if channel is None else waveform[channel]


def cancelling_channel(waveform: torch.Tensor, rate: int) -> int | None:
    """`Cancellation.mono_channel` of a whole (C, T) waveform."""
    measured = Cancellation()
    for piece in waveform.split(rate, dim=-1):
        measured.add(piece)
    return measured.mono_channel


def downmix_channels(waveform: torch.Tensor, channels: Channels) -> torch.Tensor:
    """(..., C, T) float → (..., C or 2 or 1, T), about [-1, 1]: divided by the largest sum that could come, so that
    nothing clips. Mono is the mean of the two. A number of channels that has no usual layout is averaged."""
    count = waveform.shape[-2]
    if channels is Channels.ALL or (channels is Channels.STEREO and count == 2):
        return waveform
    matrix = stereo_downmix_matrix(count)
    matrix = matrix / matrix.sum(dim=1).max().clamp(min=1)
    if channels is Channels.MONO:
        matrix = matrix.mean(dim=0, keepdim=True)
    return matrix.to(waveform) @ waveform
