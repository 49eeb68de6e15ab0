"""The plan of a job: windows, steps, and the time and memory that they are expected to take."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..audio.pause_options import PauseBehaviour
from ..audio.source import AudioSource
from ..compositing.composite_options import CompositeOptions
from ..dubbing.lines.dialogue import DialogueLine
from ..faces.crop_path import path_transforms
from ..faces.face_tracks import FaceTracks
from ..models.model import LatentSyncModel
from ..models.vae import LatentCodec
from ..phases import Phase, rounded_time
from ..sampling.reference_means import INTERVAL
from ..sampling.sampler import plan_face_windows, reference_mouth_of, unbroken_tracks
from ..sampling.sampler_options import ReferenceChoice, SamplerOptions
from ..sampling.segments.segments import plan_segments
from ..sampling.timeline import Timeline
from ..video.clip import Clip
from ..video.writing.writer_options import WriterOptions
from .expected_memory import expected_bytes
from .expected_time import expected_seconds
from .timings import Run, Work, read_timings
from .work import (
    cutting_crops,
    decoding,
    denoising,
    embedding,
    encoding,
    finding_faces,
    finding_speakers,
    pasting,
    writing,
)  # fmt: skip

CLOSED_SHARE = 0.4  # of the frames are others' closed mouth, and are cut and encoded once more: 0.37 of 480 drawn takes

UNKNOWN_TIME = "no run on this machine to estimate the time from yet"


@dataclass(frozen=True)
class SamplingPlan:
    """What sampling comes to."""

    windows: int
    frames: int  # that a mouth is generated in
    passes: float  # of the U-Net, in frames: see `work.denoising`
    is_exact: bool  # False: faces aren't found yet, and every frame counts as having one

    def __add__(self, other: SamplingPlan) -> SamplingPlan:
        return SamplingPlan(
            self.windows + other.windows,
            self.frames + other.frames,
            self.passes + other.passes,
            self.is_exact and other.is_exact,
        )


@dataclass(frozen=True)
class JobPlan:
    """What a job, or the part of one that a node does, comes to."""

    sampling: SamplingPlan
    steps: int
    memory_bytes: int  # on the model's device
    # Expected of each phase, by the names of a PhaseProgress; None where no run on this machine tells.
    seconds: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def total_seconds(self) -> float | None:
        """All phases together; None where one is unknown."""
        known = [one for one in self.seconds.values() if one is not None]
        return sum(known) if self.seconds and len(known) == len(self.seconds) else None

    @property
    def text(self) -> str:
        """As a line: "5 windows of 20 steps, about 2 min, 1.3 GB of memory"."""
        count = self.sampling.windows
        windows = f"{'' if self.sampling.is_exact else 'at most '}{count} {'window' if count == 1 else 'windows'}"
        steps = f"{self.steps} {'step' if self.steps == 1 else 'steps'}"
        total = self.total_seconds
        time = UNKNOWN_TIME if total is None else f"about {rounded_time(total)}"
        return f"{windows} of {steps}, {time}, {self.memory_bytes / 1e9:.1f} GB of memory"

    @property
    def phases_text(self) -> str:
        """The phases' times: "Finding faces 20 s, Generating mouths 2 min"; those that are unknown are left out."""
        return ", ".join(
            f"{Phase[name.upper()].value} {rounded_time(seconds)}"
            for name, seconds in self.seconds.items()
            if seconds is not None
        )

    @property
    def data(self) -> dict:
        """For JSON."""
        return {
            "windows": self.sampling.windows,
            "is_exact": self.sampling.is_exact,
            "steps": self.steps,
            "synced_frames": self.sampling.frames,
            "memory_bytes": self.memory_bytes,
            "seconds": None if self.total_seconds is None else round(self.total_seconds, 1),
            "phases": {name: None if one is None else round(one, 1) for name, one in self.seconds.items()},
        }


def plan_sampling(
    clip: Clip,
    timeline: Timeline,
    options: SamplerOptions,
    faces: FaceTracks | None = None,
    lines: Sequence[DialogueLine] = (),
    pauses: PauseBehaviour = PauseBehaviour.MODEL,
) -> SamplingPlan:
    """The windows that `sample_faces` will cut for one voice, nothing of them being finished yet.

    Args:
        faces: found and chosen; None counts a face in every frame, and no cut.
        lines: as `pipeline.sample` takes them.
    """
    if faces is None:
        present: np.ndarray = np.ones(len(timeline.pts), bool)
        track: np.ndarray = np.zeros(clip.frame_count, np.int64)
    else:
        transforms = path_transforms(faces, 256)  # of any size: they tell where a face is drawn
        present = np.all(np.isfinite(transforms[timeline.source_index]), axis=(1, 2))
        track = faces.path.track
    shown = float(1 / timeline.clip.fps)
    segments = plan_segments(lines, timeline.times, shown, options, pauses) if lines else None
    windows = plan_face_windows(present, unbroken_tracks(track, timeline), options.windows, segments)
    passes = 0.0
    for window in windows:
        own = options if segments is None else segments.segments[int(segments.numbers[window.start])].options
        passes += len(window.frames) * own.network_passes
    drawn = np.zeros(len(present), bool)
    for window in windows:
        drawn[window.start : window.stop] = True
    return SamplingPlan(len(windows), int(drawn.sum()), passes, faces is not None)


def sampling_work(
    model: LatentSyncModel, clip: Clip, options: SamplerOptions, plan: SamplingPlan, with_previews: bool = False
) -> list[Work]:
    """The work of sampling."""
    mouth, references = reference_mouth_of(model, options), 1.0
    crops = plan.frames
    if mouth is ReferenceChoice.AVERAGED:
        references += 1 / INTERVAL
    elif mouth is ReferenceChoice.CLOSED:
        references += CLOSED_SHARE
        crops += round(CLOSED_SHARE * plan.frames)
    return [
        cutting_crops(model, clip, crops),
        encoding(model, plan.frames * (1 + references)),  # the masked crops, too
        denoising(model, options, plan.passes, with_previews),
        decoding(model.codec, model.resolution, min(2, plan.frames)),  # the check of the first window
    ]


def compositing_work(
    codec: LatentCodec,
    resolution: int,
    clip: Clip,
    frames: int,
    patches: int,
    composite: CompositeOptions,
    writer: WriterOptions,
    others: str = "",
) -> list[Work]:
    """The work of compositing `patches` into `frames`, and of encoding them."""
    return [
        decoding(codec, resolution, patches),
        pasting(clip, frames, patches, composite),
        writing(clip, frames, writer, others),
    ]


def seconds_of(works: Sequence[Work], timings: Mapping[str, Sequence[Run]]) -> float | None:
    """All of it together; None where some of it is unknown."""
    each = [expected_seconds(work, timings) for work in works]
    known = [one for one in each if one is not None]
    return sum(known) if len(known) == len(each) else None


def plan_job(
    model: LatentSyncModel,
    clip: Clip,
    timeline: Timeline,
    options: SamplerOptions,
    voices: Sequence[AudioSource],
    composite: CompositeOptions,
    writer: WriterOptions,
    faces: Sequence[FaceTracks] | None = None,
    lines: Sequence[DialogueLine] = (),
    pauses: PauseBehaviour = PauseBehaviour.MODEL,
    finds_speakers: bool = False,
    with_previews: bool = False,
) -> JobPlan:
    """What is to be done of a job once its model is loaded; or, where `faces` are given, once they are found.

    Args:
        voices: of each speaker.
        faces: likewise, found and chosen.
        finds_speakers: whether it is to be found who speaks.
        with_previews: whether sampling shows pictures of what it comes to.
    """
    each = [plan_sampling(clip, timeline, options, of_one, lines, pauses) for of_one in faces or [None] * len(voices)]
    whole = functools.reduce(operator.add, each)
    phases: dict[str, list[Work]] = {}
    if faces is None:
        phases["faces"] = [finding_faces(clip, clip.frame_count * len(voices))]
        if finds_speakers:
            phases["speakers"] = [finding_speakers(clip)]
    phases["voice"] = [embedding(model, voice.duration) for voice in voices]
    phases["sampling"] = [work for one in each for work in sampling_work(model, clip, options, one, with_previews)]
    phases["compositing"] = compositing_work(
        model.codec, model.resolution, clip, len(timeline.pts), whole.frames, composite, writer
    )
    return make_plan(model, options, whole, phases)


def make_plan(
    model: LatentSyncModel, options: SamplerOptions, sampling: SamplingPlan, phases: Mapping[str, Sequence[Work]]
) -> JobPlan:
    """The plan of some phases, each with its work, from what earlier runs on this machine took."""
    timings = read_timings()
    seconds = {name: seconds_of(works, timings) for name, works in phases.items()}
    return JobPlan(sampling, options.steps, expected_bytes(model, options), seconds)


def with_loading(plan: JobPlan, seconds: float) -> JobPlan:
    """A plan that counts the time, too, that loading its model took."""
    return dataclasses.replace(plan, seconds={"model": seconds, **plan.seconds})
