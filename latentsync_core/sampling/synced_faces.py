"""What sampling hands to compositing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..audio.features import AudioEmbedding
from ..audio.pause_options import PauseBehaviour
from ..faces.face_tracks import FaceTracks
from ..messages import Note
from ..models.vae import LatentCodec
from ..video.clip import Clip
from .patch_store import PatchStore
from .segments.segment_store import SegmentStore
from .segments.segments import Segments


@dataclass(frozen=True, eq=False)
class SyncedFaces:
    """New faces for a clip's output frames, not yet pasted: what compositing needs and nothing more."""

    faces: FaceTracks
    transforms: np.ndarray  # (F, 2, 3) float32 source pixel → crop pixel, of every output frame; NaN where no face
    patches: PatchStore | SegmentStore  # latents (4, h, w) per output frame that has one, or crops of any size
    codec: LatentCodec  # decodes those latents
    resolution: int  # pixels, of the square crops
    audio: AudioEmbedding  # the voice that drove them
    source_index: np.ndarray  # (F,) int64: which source frame each output frame shows
    blend: np.ndarray  # (F,) float32, 0 to 1: how much of the new face shows
    pts: np.ndarray  # (F,) int64 ticks of `output_clip.time_base`
    pauses: PauseBehaviour = PauseBehaviour.MODEL  # what the mouth does where the voice pauses
    speech: np.ndarray | None = None  # (F,) float32, 0 (pause) to 1; None where pauses were not looked for
    model: str = ""  # the name of the model that generated them
    region: str = "speech"  # how much of them that model's makers recommend to paste: a compositing Region's name
    notes: tuple[Note, ...] = ()  # what had to be lowered for lack of memory, or ran uncompiled
    # The sampler's own patches, where `patches` are crops in their place.
    sampled: PatchStore | SegmentStore | None = None
    segments: Segments | None = None  # where the clip was sampled by lines
    stretched: Clip | None = None  # the clip with the output's stamps, where those are scaled

    @property
    def output_clip(self) -> Clip:
        """The clip as it is written: of its own time base and rate, or of scaled ones."""
        return self.stretched or self.faces.clip

    def stretch_of(self, index: int) -> tuple[int, int]:
        """Tells apart the stretches of output frames over which compositing may average: a face in a shot and segment.

        What is pasted into a segment's frames then depends on no other segment.
        """
        track = int(self.faces.path.track[self.source_index[index]])
        return track, 0 if self.segments is None else int(self.segments.numbers[index])
