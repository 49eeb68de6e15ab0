"""The options of the alignment."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import OptionError


@dataclass(frozen=True)
class AlignOptions:
    """How landmarks become transforms. The defaults smooth them over time as far as the head's movements allow."""

    smoothing_strength: float = 1.0  # 0 leaves landmarks unchanged; higher values follow small movements less
    reference_smoothing: bool = False  # the reference's recursive filter: moves the crop by less than a pixel
    round_landmarks: bool = False  # to whole pixels, as the reference does
    scale: float = 1.0  # of the face in the crop: corrects for landmarks unlike the training's
    shift_y: float = 0.0  # of the face in the crop, downwards, in crop heights: the same

    @classmethod
    def reference(cls) -> AlignOptions:
        """The reference's alignment."""
        return cls(smoothing_strength=0.0, reference_smoothing=True, round_landmarks=True)

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing_strength <= 3:
            raise OptionError(f"the smoothing of the landmarks is {self.smoothing_strength}; use 0 (none) to 3")
        if not 0.25 <= self.scale <= 4:
            raise OptionError(f"the face scale is {self.scale}; use 0.25 to 4")
        if not -0.5 <= self.shift_y <= 0.5:
            raise OptionError(f"the face shift is {self.shift_y} crop heights; use -0.5 to 0.5")
