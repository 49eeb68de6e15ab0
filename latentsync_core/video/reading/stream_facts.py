"""What ffmpeg prints of a stream and PyAV doesn't tell: chroma siting, the container's crop, Dolby Vision's profile."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from ...media.description import describe
from ..clip import Crop
from ..pixel_format import SITINGS

STREAM = re.compile(r"\s*Stream #0:(\d+)\b.*?: (\w+): ")
# Tags of a file are printed as "name            : value", with a blank before the colon.
CROP = re.compile(r"\s+Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)$")
DOLBY_VISION = re.compile(r"\s+DOVI configuration record: .*profile: (\d+).*compatibility id: (\d+)")


@dataclass(frozen=True)
class StreamFacts:
    chroma_location: str | None = None  # one of SITINGS
    crop: Crop = field(default_factory=Crop)  # as the container states it
    dolby_vision_only: int | None = None  # the profile of Dolby Vision whose pictures nothing else shows right


def stream_facts(path: Path, index: int) -> StreamFacts:
    """What ffmpeg prints of the video stream `index`; ffmpeg reports crops from its version 7.1 on."""
    about_input = re.split(r"^(?:Stream mapping|Output #)", describe(path, index), maxsplit=1, flags=re.MULTILINE)[0]
    location, crop, profile, is_ours = None, Crop(), None, False
    for line in about_input.splitlines():
        if stream := STREAM.match(line):
            is_ours = int(stream[1]) == index and stream[2] == "Video"
            if is_ours:
                words = set(re.split(r"[(),\s]+", line))
                location = next((name for name in SITINGS if name in words), None)
        elif is_ours and (edges := CROP.match(line)):
            crop = Crop(*map(int, edges.groups()))
        elif is_ours and (dolby := DOLBY_VISION.match(line)) and int(dolby[2]) == 0:
            profile = int(dolby[1])
    return StreamFacts(location, crop, profile)
