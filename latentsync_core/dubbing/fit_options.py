"""The options of fitting speech to its time; apart from the fitting, so that they are read without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import OptionError

MIN_TEMPO, MAX_TEMPO = 0.5, 2.0  # that may be asked for; speech beyond them can't be understood


@dataclass(frozen=True)
class FitOptions:
    """How far speech may be changed to fit its time."""

    min_tempo: float = 0.85  # speech that is too short is slowed to this at most
    max_tempo: float = 1.3  # speech that is too long is sped up to this at most

    def __post_init__(self) -> None:
        if not MIN_TEMPO <= self.min_tempo <= 1:
            raise OptionError(f"the least tempo is {self.min_tempo:g}; use {MIN_TEMPO:g} to 1, 1 never slows speech")
        if not 1 <= self.max_tempo <= MAX_TEMPO:
            raise OptionError(f"the highest tempo is {self.max_tempo:g}; use 1 to {MAX_TEMPO:g}, 1 never speeds it up")
