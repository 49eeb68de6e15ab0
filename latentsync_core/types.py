"""The values that flow from stage to stage; all frozen, each keeps what it was made from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .errors import OptionError

if TYPE_CHECKING:
    import torch

    from .audio.features import AudioEmbedding
    from .faces.alignment.align import AlignOptions
    from .faces.limits import TouchLimits
    from .models.vae import LatentCodec
    from .sampling.patch_store import PatchStore

Progress = Callable[[int, int], None]
"""Called as ``on_progress(done, total)``; whatever it raises cancels the stage at once."""


class Roi(NamedTuple):
    """A half-open rectangle of displayed pixels: columns x0..x1-1, rows y0..y1-1."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0


@dataclass(frozen=True)
class ColorTags:
    """What a stream says of its colours, in ffmpeg's names; None where it says nothing."""

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


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip: where its frames come from, and every fact that reading or writing them needs.

    Width and height are those of the displayed picture (rotation applied), in the clip's own samples; where
    `sample_aspect` is not 1 a sample is that many times as wide as it is high.
    """

    identity: FileIdentity | None  # the file, or None for an in-memory batch
    images: torch.Tensor | None  # (N, H, W, 3) float RGB of any range, only for an in-memory batch
    frame_count: int  # N
    first_frame: int  # index in the file of this clip's frame 0 (a trimmed clip starts later)
    fps: Fraction  # nominal frames per second
    time_base: Fraction  # seconds per tick of `stamps`
    stamps: np.ndarray  # (N,) int64, presentation stamps in ticks, strictly rising
    width: int
    height: int
    pixel_format: str  # ffmpeg's name, "yuv420p10le"; "rgb" for an in-memory batch
    rotation: int = 0  # 0, 90, 180 or 270: degrees clockwise from the stored to the displayed picture
    sample_aspect: Fraction = Fraction(1)
    color: ColorTags = ColorTags()
    audio_codec: str | None = None  # of the file's audio stream; None if it has none
    notes: tuple[str, ...] = ()  # sentences for the user: what of the file is left out

    @property
    def name(self) -> str:
        """What to call the clip in messages: the file's path, or "in-memory clip"."""
        return str(self.identity.path) if self.identity else "in-memory clip"

    @property
    def times(self) -> np.ndarray:
        """(N,) float64 seconds of every frame after the clip's first one."""
        return (self.stamps - self.stamps[0]) * float(self.time_base)

    @property
    def duration(self) -> float:
        """Seconds from the first frame's start to the last frame's end (that one shown for 1/fps)."""
        return float(self.times[-1]) + float(1 / self.fps)

    def between(self, start: float, end: float | None = None) -> Clip:
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
        return self if last - first == self.frame_count else self.part(int(first), int(last))

    def part(self, start: int, stop: int) -> Clip:
        """The frames start..stop-1 as a clip of their own."""
        images = None if self.images is None else self.images[start:stop]
        return dataclasses.replace(
            self,
            images=images,
            frame_count=stop - start,
            first_frame=self.first_frame + start,
            stamps=self.stamps[start:stop],
        )


PER_FRAME = {"boxes": (4,), "landmarks": (3, 2), "visible": (), "pose": (3,), "sharpness": (), "doubt": ()}
"""The columns of a FaceTrack, which have a row for each of its frames, and the shape of one row."""


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """One face through one stretch of one shot: the clip's frames start..stop-1, n of them.

    Where `visible` is False (a gap that isn't bridged) the other columns are NaN.

    Raises:
        ValueError: a column isn't n rows of its shape; only a mistake in the program makes such a track.
    """

    track_id: int  # its place in FaceTracks.tracks
    start: int  # the clip's frame of index 0
    boxes: np.ndarray  # (n, 4) float32, x0 y0 x1 y1 in displayed pixels
    landmarks: (
        np.ndarray
    )  # (n, 3, 2) float32, x y in displayed pixels: left brow, right brow, nose (image left and right)
    visible: np.ndarray  # (n,) bool
    pose: np.ndarray  # (n, 3) float32 degrees: yaw > 0 looks to the picture's right, pitch > 0 down, roll > 0 clockwise
    sharpness: (
        np.ndarray
    )  # (n,) float32: how much fine detail the face shows, 0 to about 1; see faces/detection/sharpness.py
    doubt: np.ndarray  # (n,) float32 face widths: how far the mesh is from that of the mirror image, 0.01 mostly
    portrait: np.ndarray  # (128, 128, 3) uint8 RGB: the aligned crop of its best frame, sharp and from the front
    embedding: np.ndarray | None = (
        None  # (128,) float32: its appearance, see faces/identity/embedding.py; None where unknown
    )
    person: int = 0  # tracks of one number are taken for the same person; 0 is the one seen most
    by_hand: bool = False  # follows marks that the user set: never thought turned away, small or blurred

    def __post_init__(self) -> None:
        for name, shape in PER_FRAME.items():
            column = getattr(self, name)
            if column.shape != (len(self.visible), *shape):
                raise ValueError(
                    f"track {self.track_id} has {len(self.visible)} frames, but its {name} have shape {column.shape}"
                )

    @property
    def stop(self) -> int:
        return self.start + len(self.visible)

    def part(self, start: int, stop: int, keep: np.ndarray) -> FaceTrack:
        """The clip's frames start..stop-1 of the track, visible only where `keep`, (stop - start,) bool, is True."""
        rows = slice(start - self.start, stop - self.start)
        columns = {name: getattr(self, name)[rows].copy() for name in PER_FRAME}
        columns["visible"] &= keep
        for name in PER_FRAME.keys() - {"visible"}:
            columns[name][~columns["visible"]] = np.nan
        return dataclasses.replace(self, start=start, **columns)


@dataclass(frozen=True, eq=False)
class FacePath:
    """The face to be synced in each of the clip's N frames; rest values where there is none: NaN, -1, 0."""

    boxes: np.ndarray  # (N, 4) float32, as of FaceTrack
    landmarks: np.ndarray  # (N, 3, 2) float32
    visible: np.ndarray  # (N,) bool
    track: np.ndarray  # (N,) int32: whose landmarks these are, its track_id
    person: np.ndarray  # (N,) int32
    blend: np.ndarray  # (N,) float32, 0 to 1: how much of the new face shows; 0 where the frame passes through
    outcome: np.ndarray  # (N,) uint8: the `Outcome` of each frame


class Outcome(IntEnum):
    """What becomes of a frame, and why."""

    SYNCED = 0
    FADED = 1  # synced in part, on the way to or from one of those below
    NO_FACE = 2
    NOT_CHOSEN = 3  # there are faces, none of them chosen
    TURNED_AWAY = 4
    TOO_SMALL = 5
    BLURRED = 6


@dataclass(frozen=True, eq=False)
class FaceTracks:
    """Every face found in a clip, and those to be synced."""

    clip: Clip
    tracks: tuple[FaceTrack, ...]
    shots: tuple[tuple[int, int], ...]  # half-open ranges of frames between cuts, in order; together the whole clip
    align: AlignOptions  # how crops are cut
    limits: TouchLimits  # beyond which a face is left as it is
    chosen: tuple[int, ...] = (0,)  # track ids; where two share a frame the earlier in this list is synced

    @cached_property
    def path(self) -> FacePath:
        """The chosen face of every frame."""
        from .faces.limits import chosen_path

        return chosen_path(self)


@dataclass(frozen=True, eq=False)
class SyncedFaces:
    """New faces for a clip's output frames, not yet pasted: what compositing needs and nothing more."""

    faces: FaceTracks
    transforms: np.ndarray  # (F, 2, 3) float32 source pixel → crop pixel, of every output frame; NaN where no face
    patches: PatchStore  # latents (4, h, w) per output frame that has one
    codec: LatentCodec  # decodes those latents
    resolution: int  # pixels, of the square crops
    audio: AudioEmbedding  # the voice that drove them
    source_index: np.ndarray  # (F,) int64: which source frame each output frame shows
    blend: np.ndarray  # (F,) float32, 0 to 1: how much of the new face shows
    stamps: np.ndarray  # (F,) int64 ticks of the clip's time base
