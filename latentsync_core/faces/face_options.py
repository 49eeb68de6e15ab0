"""The options of face detection and tracking."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import OptionError


@dataclass(frozen=True)
class FaceOptions:
    """What counts as a face, and how often the detector runs."""

    detector_score: float = 0.5  # minimum score of a detection, 0 to 1
    presence: float = 0.5  # minimum confidence of the mesh network that it sees a face, 0 to 1
    min_size: float = 40.0  # pixels, the longer side of a face's box: smaller faces may be missed
    max_gap: int = 5  # frames without the face that are bridged; a longer gap starts a new track
    search_interval: int = 10  # frames between detections of new faces, which are then tracked back to their first
    shot_threshold: float = 1.75  # a cut's difference over the usual one, 1 to 10: lower finds more cuts, some false

    def __post_init__(self) -> None:
        for name, value in (("detector score", self.detector_score), ("presence", self.presence)):
            if not 0 < value < 1:
                raise OptionError(f"the {name} is {value}; use a value between 0 and 1")
        for name, value, least, most in (
            ("smallest face to detect", self.min_size, 12, 2000),
            ("longest gap", self.max_gap, 0, 50),
            ("search interval", self.search_interval, 1, 50),
            ("shot threshold", self.shot_threshold, 1, 10),
        ):
            if not least <= value <= most:
                raise OptionError(f"the {name} is {value}; use {least} to {most}")
