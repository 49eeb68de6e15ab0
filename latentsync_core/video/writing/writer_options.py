"""The options of the written video."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ...errors import OptionError
from .encoders import Codec

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")


class KeepAudio(Enum):
    """Which of the clip's own audio tracks go into the result, after its sound."""

    NONE = "none"
    FIRST = "first"
    ALL = "all"


@dataclass(frozen=True)
class WriterOptions:
    """How the result is encoded; crf and preset concern H.264 and HEVC alone."""

    codec: Codec = Codec.H264
    crf: int = 16  # 0 (largest file) to 51
    preset: str = "medium"  # one of PRESETS
    keep_audio: KeepAudio = KeepAudio.NONE
    variant: str = ""  # of the codec, where the source is matched: see VARIANTS in encoders.py

    def __post_init__(self) -> None:
        if not 0 <= self.crf <= 51:
            raise OptionError(f"crf must be 0 to 51, not {self.crf}; 16 is visually lossless.")
        if self.preset not in PRESETS:
            raise OptionError(f"There is no preset {self.preset!r}: choose one of {', '.join(PRESETS)}.")
