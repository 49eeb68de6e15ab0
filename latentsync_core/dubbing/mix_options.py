"""The options of the mix; apart from the mixing, so that the command line reads them without PyTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from ..errors import OptionError

MAX_GAIN = 40.0  # dB, up or down
MAX_DUCK = 40.0  # dB
MAX_RAMP = 10.0  # seconds


class Reverb(Enum):
    """Where the room around the dubbed voice comes from."""

    DRY = "dry"  # none
    IMPULSE = "impulse"  # a recorded impulse response
    MATCH = "match"  # rings as long as the room in the original recording, which is listened to


class Loudness(Enum):
    """The loudness of the finished mix, integrated (EBU R128)."""

    OFF = "off"  # as it is
    BROADCAST = "-23"  # LUFS: EBU R128
    WEB = "-16"  # LUFS: usual for players on the web and phones
    ORIGINAL = "original"  # that of the original recording


@dataclass(frozen=True)
class MixOptions:
    """Levels, ducking, room and loudness of a mix."""

    dub_gain: float = 0.0  # dB
    background_gain: float = 0.0  # dB
    duck: float = 6.0  # dB by which the background is lowered while the dub speaks; 0 leaves it alone
    attack: float = 0.1  # seconds in which it is lowered, so that it is low as the speech begins
    release: float = 0.5  # seconds in which it comes back after the speech
    reverb: Reverb = Reverb.DRY
    reverb_level: float = -14.0  # dB of the reverb, as a whole, against the dry voice
    pan: float = 0.0  # -1 left to 1 right, in stereo; from 5.1 on the dub is in the centre
    loudness: Loudness = Loudness.OFF
    true_peak: float | None = -1.0  # dBTP that no peak passes (EBU R128); None: no limiter

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("gain of the dub", self.dub_gain, -MAX_GAIN, MAX_GAIN),
            ("gain of the background", self.background_gain, -MAX_GAIN, MAX_GAIN),
            ("ducking", self.duck, 0.0, MAX_DUCK),
            ("attack", self.attack, 0.0, MAX_RAMP),
            ("release", self.release, 0.0, MAX_RAMP),
            ("reverb level", self.reverb_level, -60.0, 20.0),
            ("pan", self.pan, -1.0, 1.0),
            ("true peak", -1.0 if self.true_peak is None else self.true_peak, -20.0, 0.0),
        ):
            if not low <= value <= high or math.isnan(value):
                raise OptionError(f"the {name} of the mix is {value:g}; use {low:g} to {high:g}")
