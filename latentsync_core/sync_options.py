"""The options of one whole job; apart from the pipeline, so that lists of jobs are read without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from .audio.pause_options import PauseOptions
from .audio.track_choice import TrackChoice
from .compositing.composite_options import CompositeOptions
from .dubbing.lines.dialogue import DialogueLine
from .faces.alignment.align_options import AlignOptions
from .faces.face_options import FaceOptions
from .faces.limits import TouchLimits
from .faces.selection import FaceChoice
from .faces.speaking import WhoSpeaks
from .models.load_options import LoadOptions
from .provenance.signing_files import SigningFiles
from .sampling.sampler_options import Quality, SamplerOptions
from .sampling.timeline import LengthRule
from .video.writing.writer_options import WriterOptions

if TYPE_CHECKING:
    from .audio.source import AudioSource
    from .models.model import LatentSyncModel


@dataclass(frozen=True)
class Speaker:
    """Somebody in the clip, and the voice that they speak with."""

    audio: str | Path | AudioSource
    choice: FaceChoice = field(default_factory=FaceChoice)
    picture: str | Path | None = None  # of the person, where the choice is by picture


@dataclass(frozen=True)
class SyncOptions:
    """Everything about one job but its files; each stage's own options live beside that stage."""

    model: str | Path | LatentSyncModel  # a known name, a bundle folder, a checkpoint file, or a loaded model
    load: LoadOptions = field(default_factory=LoadOptions)
    faces: FaceOptions = field(default_factory=FaceOptions)
    marks: str = ""  # faces marked by hand, as JSON text; see faces/keyframes/marks.py
    choice: FaceChoice = field(default_factory=FaceChoice)  # who speaks with the voice
    picture: str | Path | None = None  # of that person, where the choice is by picture
    other_speakers: tuple[Speaker, ...] = ()  # who speaks besides, each with a voice of their own
    who_speaks: WhoSpeaks = WhoSpeaks.CHOSEN  # AUTO takes the place of `choice`, and leaves no room for other speakers
    original_audio: Path | None = None  # for AUTO: the voices as filmed, where they aren't the clip's own sound
    align: AlignOptions = field(default_factory=AlignOptions)
    limits: TouchLimits = field(default_factory=TouchLimits)
    sampler: SamplerOptions = field(default_factory=SamplerOptions)
    quality: Quality = Quality.CUSTOM  # where the sampler's settings come from; see sampling/quality.py
    explicit_settings: frozenset[str] = frozenset()  # names of those that are `sampler`'s whatever the quality
    pauses: PauseOptions = field(default_factory=PauseOptions)  # what the mouth does where the voice pauses
    composite: CompositeOptions = field(default_factory=CompositeOptions)
    writer: WriterOptions = field(default_factory=WriterOptions)
    deinterlace: bool = False  # whether an interlaced clip is made progressive, one frame of each
    length: LengthRule = LengthRule.VIDEO
    start: float = 0.0  # seconds into the clip at which the output begins
    end: float | None = None  # seconds into the clip at which it ends; None: the clip's end
    # Lines of dialogue, or a file of them, with times that count from the clip's first frame whatever `start` is: each
    # is sampled by itself, with settings of its own; see sampling/segments.
    lines: Path | tuple[DialogueLine, ...] | None = None
    voice_tracks: TrackChoice = TrackChoice.FIRST  # which audio tracks of a voice's file are the voice
    fps: Fraction | None = None  # frames a second of a sequence of pictures, which doesn't tell; files do
    mux_audio: Path | None = None  # the sound to put into the file where it isn't the driving voices
    work_folder: Path | None = None  # keeps found and finished faces, for the next run or an interrupted one
    signing: SigningFiles | None = None  # signs the result, an MP4 or MOV, with Content Credentials
