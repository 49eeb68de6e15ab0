"""A clip: where its frames come from and every fact that reading or writing them needs."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import OptionError
from ..messages import Note

if TYPE_CHECKING:
    import torch


STRETCHED_TICK = Fraction(1, 240_000)  # seconds: fine enough for any ratio, and for the lengths that MP4 holds
MAX_RATE_DENOMINATOR = 100_000


@dataclass(frozen=True)
class ColorTags:
    """A stream's colour tags, in ffmpeg's names; None where a tag is missing."""

    matrix: str | None = None  # "bt709", "smpte170m", "bt470bg", "bt2020nc", "gbr", ...
    range: str | None = None  # "tv" or "pc"
    primaries: str | None = None
    transfer: str | None = None
    chroma_location: str | None = None  # "left", "center", "topleft", ...


@dataclass(frozen=True)
class FileIdentity:
    """Tells a file from another one of the same name: checked whenever a clip is opened again."""

    path: Path
    size: int  # bytes
    mtime_ns: int
    digest: str  # hex SHA-256 over the size, the first and the last mebibyte


@dataclass(frozen=True)
class Crop:
    """Stored pixels at each edge that the container hides; the left and top ones begin on the chroma grid."""

    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip: where its frames come from, and every fact that reading or writing them needs.

    Width and height are those of the displayed picture (cropped, turned), in the clip's own samples; where
    `sample_aspect` is not 1 a sample is that many times as wide as it is high. It is displayed turned by `rotation`,
    then mirrored left to right if `mirrored`.
    """

    identity: FileIdentity | None  # the file, or None for an in-memory batch
    images: torch.Tensor | None  # (N, H, W, 3) float RGB of any range, only for an in-memory batch
    frame_count: int  # N
    first_frame: int  # index in the file of this clip's frame 0 (a trimmed clip starts later)
    fps: Fraction  # nominal frames per second
    time_base: Fraction  # seconds per tick of `pts`
    pts: np.ndarray  # (N,) int64, presentation stamps in ticks, strictly rising
    width: int
    height: int
    pixel_format: str  # ffmpeg's name, "yuv420p10le"; "rgb" for an in-memory batch
    rotation: int = 0  # 0, 90, 180 or 270: degrees clockwise from the stored to the displayed picture
    sample_aspect: Fraction = Fraction(1)
    color: ColorTags = ColorTags()
    audio_codec: str | None = None  # of the file's audio stream; None if it has none
    notes: tuple[Note, ...] = ()  # what of the file is left out
    deinterlace: bool = False  # whether interlaced frames are read as progressive ones; see reading/deinterlacing.py
    video_codec: str | None = None  # of the file's video stream, ffmpeg's name; None in memory and of pictures
    video_profile: str | None = None  # of that codec, as ffmpeg names it
    pictures: tuple[Path, ...] = ()  # of a sequence, in order: its frames' files; `identity` names all of them
    mirrored: bool = False
    crop: Crop = Crop()
    has_alpha: bool = False  # beside the planes of `pixel_format`, whose name leaves it out
    file_pts: np.ndarray | None = None  # (M,) int64 stamps of all frames in the file, where `pts` had to be other ones
    stretch: Fraction = Fraction(1)  # how long frames are shown, of the file's own times; see `stretched`

    @property
    def name(self) -> str:
        """What to call the clip in messages: the file's path, or "in-memory clip"."""
        return str(self.identity.path) if self.identity else "in-memory clip"

    @property
    def geometry_key(self) -> str:
        """Tells what is seen of the file from what would be without mirroring and crop; empty where there is none."""
        return f" {self.mirrored} {self.crop}" if self.mirrored or self.crop != Crop() else ""

    @property
    def times(self) -> np.ndarray:
        """(N,) float64 seconds of every frame after the clip's first one."""
        return (self.pts - self.pts[0]) * float(self.time_base)

    @property
    def duration(self) -> float:
        """Seconds from the first frame's start to the last frame's end (that one shown for 1/fps)."""
        return float(self.times[-1]) + float(1 / self.fps)

    @property
    def exact_duration(self) -> Fraction:
        """`duration`, exactly."""
        return int(self.pts[-1] - self.pts[0]) * self.time_base + 1 / self.fps

    @property
    def start(self) -> Fraction:
        """When frame 0 is shown, in seconds on its file's clock."""
        return int(self.pts[0]) * self.time_base

    @property
    def container(self) -> Path | None:
        """The media file that the frames are one of the tracks of; None for images in memory and for pictures."""
        return self.identity.path if self.identity is not None and self.video_codec is not None else None

    def stretched(self, ratio: Fraction) -> Clip:
        """The clip with every frame shown `ratio` times as long, from the same start, in ticks of STRETCHED_TICK.

        Its frames are not to be read by these stamps, which the file doesn't have; they are for the result. What of the
        file has times of its own, sound, subtitles and chapters, doesn't follow them.
        """
        first = self.start / STRETCHED_TICK
        steps = self.time_base * ratio / STRETCHED_TICK
        pts = np.array([round(first + int(stamp - self.pts[0]) * steps) for stamp in self.pts], np.int64)
        fps = (self.fps / ratio).limit_denominator(MAX_RATE_DENOMINATOR)
        return dataclasses.replace(self, pts=pts, time_base=STRETCHED_TICK, fps=fps, stretch=self.stretch * ratio)

    def is_of_file(self, path: Path) -> bool:
        """Whether the clip was read from the file at `path`."""
        if self.identity is None:
            return False
        try:
            return os.path.samefile(path, self.identity.path)
        except OSError:
            return False

    def trim(self, start: float, end: float | None = None) -> Clip:
        """The frames shown from `start` up to `end`, seconds after the clip's first frame; None is the clip's end.

        Raises:
            OptionError: the times are the wrong way round, or no frame lies between them.
        """
        if start < 0 or (end is not None and end <= start):
            raise OptionError(f"start is {start} s and end {end} s; use 0 <= start < end")
        first, last = np.searchsorted(self.times, [start, np.inf if end is None else end])
        if first >= last:
            raise OptionError(
                f"no frame of {self.name} lies between {start} s and {end or self.duration:.3f} s; "
                f"it lasts {self.duration:.3f} s"
            )
        return self if last - first == self.frame_count else self.subclip(int(first), int(last))

    def subclip(self, start: int, stop: int) -> Clip:
        """The frames start..stop-1 as a clip of their own."""
        images = None if self.images is None else self.images[start:stop]
        return dataclasses.replace(
            self,
            images=images,
            frame_count=stop - start,
            first_frame=self.first_frame + start,
            pts=self.pts[start:stop],
        )
