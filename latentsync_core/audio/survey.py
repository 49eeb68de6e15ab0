"""Reads a sound through once: its length, whether every sample is a number, its level, and how it becomes mono."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from ..errors import AudioError
from ..media.downmix import Cancellation, to_mono
from ..messages import Note, NoteLevel

# dBFS of the loudest second, RMS: speech lies at -40 and above, the noise of a 16-bit recording's last bits below -80.
SILENCE_DBFS = -60.0
MIN_DBFS = -120.0  # shown for digital silence as "below"


@dataclass(frozen=True)
class Survey:
    """What one reading of a sound found."""

    samples: int  # per channel
    mono_channel: int | None  # the channel that stands for all in mono, where their mean would cancel; None: the mean
    level: float  # dBFS, RMS of the loudest second in mono; -inf for digital silence

    def notes(self, name: str) -> tuple[Note, ...]:
        """What the user should know of the voice called `name`."""
        notes = []
        if self.mono_channel is not None:
            notes.append(cancellation_note(name, self.mono_channel))
        if self.level < SILENCE_DBFS:
            measured = f"{self.level:.0f}" if self.level >= MIN_DBFS else f"below {MIN_DBFS:.0f}"
            notes.append(
                Note(
                    f"The level of {name} is that of silence: its loudest second measures {measured} dBFS (RMS), "
                    "speech -40 or more. Check that it is the right file or track.",
                    NoteLevel.WARNING,
                )
            )
        return tuple(notes)


def cancellation_note(name: str, channel: int) -> Note:
    """Says that one channel of a sound stands for all."""
    return Note(
        f"The channels of {name} cancel each other when mixed to mono (one is inverted): channel {channel + 1} alone "
        "is used.",
        NoteLevel.WARNING,
    )


def survey(blocks: Iterable[torch.Tensor], rate: int, name: str) -> Survey:
    """Reads (C, n) float32 blocks at `rate` Hz to their end.

    Raises:
        AudioError: there is no sample, or one is not finite; and whatever reading raises.
    """
    samples = 0
    cancellation = Cancellation()
    mean_power = 0.0  # of the loudest second
    channel_power: torch.Tensor | None = None  # (C,) of each channel's loudest second
    for block in blocks:
        bad = (~torch.isfinite(block)).any(dim=0).nonzero()
        if len(bad):
            second = (samples + int(bad[0])) / rate
            raise AudioError(
                f"{name} has a sample that is not a finite number at {second:.3f} s: repair or remake the recording."
            )
        samples += block.shape[1]
        for piece in block.split(rate, dim=1):
            cancellation.add(piece)
            # A short last piece counts as a whole second: a click in it is no loud second.
            mean_power = max(mean_power, float(to_mono(piece).double().square().sum()) / rate)
            powers = piece.double().square().sum(dim=1) / rate
            channel_power = powers if channel_power is None else torch.maximum(channel_power, powers)
    if not samples or channel_power is None:
        raise AudioError(f"{name} holds no samples: give a sound that lasts.")
    channel = cancellation.mono_channel
    power = mean_power if channel is None else float(channel_power[channel])
    if samples < rate:  # shorter than a second: its own mean
        power *= rate / samples
    return Survey(samples, channel, 10 * math.log10(power) if power > 0 else -math.inf)
