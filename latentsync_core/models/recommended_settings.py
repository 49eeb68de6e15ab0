"""The settings that a model's makers recommend."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ModelError
from .names import one_line

STEPS = range(1, 1000 + 1)
OVERLAPS = range(12 + 1)  # frames: half of the longest window that the motion modules take
MAX_CFG = 100  # far beyond any that was ever of use
REMEDY = "write it again"


@dataclass(frozen=True)
class RecommendedSettings:
    """The defaults are the inference of LatentSync's releases, for every model that recommends nothing itself."""

    steps: int = 20
    cfg: float = 1.5  # audio guidance; 1.0 is none
    scheduler: str = "ddim"  # the name of a sampling.sampler_options.Scheduler, perhaps of a newer version
    noise_sharing: float = 1.0  # variance share of the initial noise that all frames have in common
    overlap: int = 0  # frames that neighbouring windows share and cross-fade
    region: str = "speech"  # how much of a new face is pasted: a compositing.composite_options.Region, likewise

    @classmethod
    def from_dict(cls, settings: Any, source: str) -> RecommendedSettings:
        """Reads what `to_dict` gives; what is missing has its default.

        Args:
            settings: untrusted.
            source: where it comes from, as errors name it.

        Raises:
            ModelError: an unknown setting, or a value of the wrong kind or out of range.
        """
        if not isinstance(settings, Mapping):
            raise ModelError(f"{source} gives {one_line(repr(settings))} for recommended, not a dict; {REMEDY}.")
        names = [field.name for field in dataclasses.fields(cls)]
        for name in settings:
            if name not in names:
                raise ModelError(
                    f"{source} recommends {one_line(repr(name))}, which is no setting; there are {', '.join(names)}."
                )
        result = cls(**settings)
        for name, valid, expected in (
            ("steps", _is_whole(result.steps) and result.steps in STEPS, f"a whole number up to {STEPS[-1]}"),
            ("cfg", _is_number(result.cfg) and 1 <= result.cfg <= MAX_CFG, "a number of at least 1"),
            ("scheduler", isinstance(result.scheduler, str), "a name"),
            ("noise_sharing", _is_number(result.noise_sharing) and 0 <= result.noise_sharing <= 1, "a number up to 1"),
            ("region", isinstance(result.region, str), "a name"),
            ("overlap", _is_whole(result.overlap) and result.overlap in OVERLAPS, f"whole, up to {OVERLAPS[-1]}"),
        ):
            if not valid:
                raise ModelError(
                    f"{source} recommends {one_line(repr(getattr(result, name)))} for {name}, not {expected}; {REMEDY}."
                )
        return dataclasses.replace(result, cfg=float(result.cfg), noise_sharing=float(result.noise_sharing))

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON holds it."""
        return dataclasses.asdict(self)


REFERENCE_SETTINGS = RecommendedSettings()


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
