"""The options of pauses in the voice; apart from the detector, so that the command line reads them without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..errors import OptionError

MAX_PAUSE_SECONDS = 5.0  # of hangover and ramp


class PauseBehaviour(str, Enum):
    """What the mouth does where the voice pauses."""

    MODEL = "model"  # the network decides from what it hears
    CLOSED = "closed"  # the network hears silence there, whatever breath, noise or music the recording has
    ORIGINAL = "original"  # the result fades to the filmed mouth


@dataclass(frozen=True)
class PauseOptions:
    """How pauses are found, and what the mouth does in them."""

    behaviour: PauseBehaviour = PauseBehaviour.MODEL
    hangover: float = 0.2  # seconds that the mouth goes on after speech, so that gaps between words are no pauses
    ramp: float = 0.12  # seconds over which it changes into a pause and out of it
    threshold: float = 0.5  # of the speech score, 0 to 1; lower counts quieter sounds as speech

    def __post_init__(self) -> None:
        for name, value in (("hangover", self.hangover), ("ramp", self.ramp)):
            if not 0 <= value <= MAX_PAUSE_SECONDS:
                raise OptionError(f"the {name} of pauses is {value} seconds; use 0 to {MAX_PAUSE_SECONDS:g}")
        if not 0 < self.threshold < 1:
            raise OptionError(f"the speech threshold is {self.threshold}; use a number between 0 and 1, 0.5 is usual")
