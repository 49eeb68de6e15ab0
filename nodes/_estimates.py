"""Times the stages that nodes run, for later estimates, and tells nodes what to expect of the next ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..latentsync_core.audio.features import AudioEmbedding, embed_audio
from ..latentsync_core.audio.source import AudioSource
from ..latentsync_core.compositing.composite_options import CompositeOptions
from ..latentsync_core.estimates.job_plan import compositing_work, seconds_of
from ..latentsync_core.estimates.measured import seen_faces
from ..latentsync_core.estimates.timings import read_timings, record_timings
from ..latentsync_core.estimates.work import embedding, finding_faces
from ..latentsync_core.faces.face_tracks import FaceTracks
from ..latentsync_core.models.model import LatentSyncModel
from ..latentsync_core.progress import PhaseClock
from ..latentsync_core.progress import Progress as EngineProgress
from ..latentsync_core.sampling.synced_faces import SyncedFaces
from ..latentsync_core.video.clip import Clip
from ..latentsync_core.video.writing.writer_options import WriterOptions


def expected_faces(clip: Clip) -> float | None:
    """The seconds that finding a clip's faces is expected to take, one being seen in every frame."""
    return seconds_of([finding_faces(clip, clip.frame_count)], read_timings())


def timed_faces(clip: Clip, on_progress: EngineProgress, find: Callable[[EngineProgress], FaceTracks]) -> FaceTracks:
    """What `find(on_progress)` returns; its time is kept, unless the faces were found before."""
    clock = PhaseClock(lambda _name, done, total: on_progress(done, total))
    with clock.phase("faces") as report:
        faces = find(report)
    if "faces" in clock.reported:
        record_timings([(finding_faces(clip, seen_faces(faces)), clock.seconds["faces"])])
    return faces


def expected_voice(model: LatentSyncModel, voice: AudioSource) -> float | None:
    """The seconds that embedding a voice is expected to take."""
    return seconds_of([embedding(model, voice.duration)], read_timings())


def timed_voice(
    model: LatentSyncModel, voice: AudioSource, on_progress: EngineProgress, folder: Path
) -> AudioEmbedding:
    """The embedded voice; its time is kept."""
    clock = PhaseClock(None)
    with clock.phase("voice"):
        embedded = embed_audio(voice, model.whisper, on_progress, folder)
    record_timings([(embedding(model, voice.duration), clock.seconds["voice"])])
    return embedded


def expected_compositing(
    synced_per_speaker: list[SyncedFaces], composite: CompositeOptions, writer: WriterOptions, others: str = ""
) -> float | None:
    """The seconds that compositing is expected to take."""
    first = synced_per_speaker[0]
    patches = sum(int((one.blend > 0).sum()) for one in synced_per_speaker)
    works = compositing_work(
        first.codec, first.resolution, first.output_clip, len(first.pts), patches, composite, writer, others
    )
    return seconds_of(works, read_timings())
