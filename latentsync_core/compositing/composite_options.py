"""The options of compositing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..errors import OptionError


class Region(Enum):
    """How much of a new face is pasted."""

    MOUTH = "mouth"  # the generated region only: the rest of the face is left unchanged
    FACE = "face"  # all of the crop: for crops whose skin a restorer has worked on


@dataclass(frozen=True)
class CompositeOptions:
    """How a patch is blended in."""

    feather: float = 1.0  # width of the soft edges, in the usual widths; 0 is a hard edge
    region: Region = Region.MOUTH
    occlusion: bool = True  # leave objects in front of the mouth, a hand or a microphone, unchanged
    like_reference: bool = False  # the whole crop pasted, 8-bit steps and a dark rim included, as upstream does

    @classmethod
    def reference(cls) -> CompositeOptions:
        """What the reference does, flaws included."""
        return cls(like_reference=True, occlusion=False)

    def __post_init__(self) -> None:
        if not 0 <= self.feather <= 4:
            raise OptionError(f"the feather is {self.feather} of the usual width; use 0 to 4")
