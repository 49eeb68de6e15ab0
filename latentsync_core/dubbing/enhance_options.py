"""How far noise is removed from a voice."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import OptionError

MIN_REDUCTION, MAX_REDUCTION = 3.0, 100.0  # dB


@dataclass(frozen=True)
class EnhanceOptions:
    """By how much at most; a voice from which all noise is gone may sound cut out of its room."""

    reduction: float = MAX_REDUCTION  # dB by which noise is lowered at most; MAX_REDUCTION sets no limit

    def __post_init__(self) -> None:
        if not MIN_REDUCTION <= self.reduction <= MAX_REDUCTION:
            raise OptionError(
                f"The reduction of noise is {self.reduction} dB: choose {MIN_REDUCTION:g} to {MAX_REDUCTION:g}"
            )
