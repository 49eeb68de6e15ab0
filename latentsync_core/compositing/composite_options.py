"""The options of compositing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from ..errors import ModelError, OptionError
from ..messages import Remedy
from ..models.names import one_line


class Region(Enum):
    """How much of a new face is pasted."""

    MODEL = "model"  # what the model that generated the face recommends; `SPEECH` where models disagree
    # What speech moves: lips, chin and jaw, as far as the mesh of the two faces shows them. In a shot in which it never
    # finds a face (a drawn one) all that is generated, since the mouth may lie anywhere.
    SPEECH = "speech"
    LIPS = "lips"  # the lips and what lies between them: a beard keeps its filmed hair
    MOUTH = "mouth"  # all that the network generates: the lower face from the eyes to the neck
    FACE = "face"  # all of the crop: for crops whose skin a restorer has worked on

    @property
    def follows_contour(self) -> bool:
        """Whether the region follows the face's contour in each frame; the others are fixed parts of the crop."""
        return self not in (Region.MOUTH, Region.FACE)


@dataclass(frozen=True)
class CompositeOptions:
    """How a patch is blended in."""

    feather: float = 1.0  # width of the soft edges, in the usual widths; 0 is a hard edge
    region: Region = Region.MODEL
    occlusion: bool = True  # leave objects in front of the mouth, a hand or a microphone, unchanged
    like_reference: bool = False  # the whole crop pasted, 8-bit steps and a dark rim included, as upstream does
    match_color: float = 1.0  # 0 to 1: how far the patch takes the colour and light of the filmed skin around it
    match_grain: float = 1.0  # 0 to 1: how far the patch takes the sharpness and grain of the filmed skin around it
    grow: float = 0.0  # percent of the crop's width by which the regions speech and lips grow, or below 0 shrink

    @classmethod
    def reference(cls) -> CompositeOptions:
        """What the reference does, flaws included."""
        return cls(region=Region.FACE, like_reference=True, occlusion=False, match_color=0.0, match_grain=0.0)

    @classmethod
    def before_contours(cls) -> CompositeOptions:
        """What was pasted before regions followed the face and patches were matched: for workflows made then."""
        return cls(region=Region.MOUTH, match_color=0.0, match_grain=0.0)

    def resolve_region(self, recommended: Iterable[str]) -> CompositeOptions:
        """The options with `Region.MODEL` replaced by what the speakers' models recommend.

        Args:
            recommended: the names of regions, one for each speaker (`RecommendedSettings.region`).

        Raises:
            ModelError: a model recommends a region that isn't known.
        """
        if self.region is not Region.MODEL:
            return self
        regions = {_known_region(name) for name in recommended}
        return dataclasses.replace(self, region=regions.pop() if len(regions) == 1 else Region.SPEECH)

    def __post_init__(self) -> None:
        if not 0 <= self.feather <= 4:
            raise OptionError(f"the feather is {self.feather} of the usual width; use 0 to 4")
        if not -10 <= self.grow <= 10:
            raise OptionError(f"the region grows by {self.grow} percent of the crop's width; use -10 to 10")
        for name, strength in (("colour", self.match_color), ("grain", self.match_grain)):
            if not 0 <= strength <= 1:
                raise OptionError(f"the match of {name} is {strength}; use 0 (none) to 1 (full)")


def _known_region(name: str) -> Region:
    known = {region.value: region for region in Region if region is not Region.MODEL}
    if name not in known:
        raise ModelError(
            f"the model recommends the region {one_line(repr(name))}, which this version doesn't have, only "
            f"{', '.join(known)}.",
            Remedy.CHOOSE_REGION,
        )
    return known[name]
