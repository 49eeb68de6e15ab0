"""The whole job in order: prepare faces, embed the voice, sample, composite; streaming from file to file."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from .audio_features import AudioEmbedding, embed_audio
from .audio_io import AudioSource, load_audio
from .compositor import CompositeOptions
from .faces.align import AlignOptions, align_track
from .faces.track import FaceOptions, prepare_faces
from .models.weights import LatentSyncModel, LoadOptions, load_model
from .rendering import render_frames
from .sampling.sampler import Preview, SamplerOptions, sample_faces
from .sampling.windows import runs
from .timeline import LengthRule, plan_timeline
from .types import Clip, FaceTracks, Progress, SyncedFaces
from .video_io import FrameWriter, WriterOptions, check_target, output_path, probe

PhaseProgress = Callable[[str, int, int], None]
"""Called as ``on_progress(phase, done, total)``, phase being model, faces, voice, sampling or compositing; whatever it
raises cancels the job and leaves no output file."""


@dataclass(frozen=True)
class SyncOptions:
    """Everything about one job but its files; each stage's own options live beside that stage."""

    model: str | Path | LatentSyncModel  # a known name, a bundle folder, a checkpoint file, or a loaded model
    load: LoadOptions = field(default_factory=LoadOptions)
    faces: FaceOptions = field(default_factory=FaceOptions)
    align: AlignOptions = field(default_factory=AlignOptions)
    sampler: SamplerOptions = field(default_factory=SamplerOptions)
    composite: CompositeOptions = field(default_factory=CompositeOptions)
    writer: WriterOptions = field(default_factory=WriterOptions)
    length: LengthRule = LengthRule.VIDEO
    start: float = 0.0  # seconds into the clip at which the output begins
    end: float | None = None  # seconds into the clip at which it ends; None: the clip's end
    mux_audio: Path | None = None  # the sound to put into the file where it isn't the driving voice
    work_folder: Path | None = None  # keeps finished faces, so that an interrupted job can go on


@dataclass(frozen=True)
class SyncReport:
    """What a job did."""

    output: Path
    model: str
    demonstration: bool  # True: the model is no real lip-sync model
    frames: int  # written
    fps: str  # rational, "24000/1001"
    synced_frames: int
    passed_through: tuple[tuple[int, int], ...]  # half-open ranges of output frames without a face
    notes: tuple[str, ...]  # what the user should know: sound cut, re-encoded, ...
    seconds: dict[str, float]  # per phase


def sync(
    video: str | Path | Clip,
    audio: str | Path | AudioSource,
    out: str | Path,
    options: SyncOptions,
    on_progress: PhaseProgress | None = None,
) -> SyncReport:
    """Lip-syncs `video` to `audio` and writes the result to `out`.

    Every frame without the face, and every sample outside the patch, leaves as it came. The file appears at `out` only
    when it is complete. Inputs are checked before anything slow starts.

    Raises:
        LatentSyncError: one of its kinds, with a sentence for the user.
    """
    clock = _PhaseClock(on_progress)
    out = output_path(Path(out), options.writer.codec)
    check_target(out)
    clip = (video if isinstance(video, Clip) else probe(video)).between(options.start, options.end)
    voice = audio if isinstance(audio, AudioSource) else load_audio(audio)
    mux = load_audio(options.mux_audio) if options.mux_audio else voice

    with ExitStack() as cleanup:
        with clock.phase("model") as tell:
            model = (
                options.model
                if isinstance(options.model, LatentSyncModel)
                else load_model(options.model, options.load, tell)
            )
        with clock.phase("faces") as tell:
            faces = prepare_faces(clip, options.faces, options.align, tell)
        with clock.phase("voice") as tell:
            embedding = embed_audio(voice, model.whisper, tell)
        with clock.phase("sampling") as tell:
            synced = sample(
                model, faces, embedding, options.sampler, options.length, options.work_folder, on_progress=tell
            )
            cleanup.enter_context(synced.patches)
        with clock.phase("compositing") as tell:
            sound = mux.as_file(Path(cleanup.enter_context(TemporaryDirectory(prefix="latentsync_dub_"))))
            writer = cleanup.enter_context(
                FrameWriter(out, clip, options=options.writer, stamps=synced.stamps, audio=sound)
            )
            for done, frame in enumerate(render_frames(synced, options.composite), start=1):
                writer.write(frame)
                tell(done, len(synced.stamps))

    present = np.isfinite(synced.transforms).all(axis=(1, 2))
    return SyncReport(
        output=out,
        model=model.name,
        demonstration=model.demonstration,
        frames=len(present),
        fps=str(clip.fps),
        synced_frames=int(present.sum()),
        passed_through=tuple(runs(~present)),
        notes=(*_length_notes(synced, options.length), *writer.notes),
        seconds=clock.seconds,
    )


def sample(
    model: LatentSyncModel,
    faces: FaceTracks,
    audio: AudioEmbedding,
    options: SamplerOptions | None = None,
    length: LengthRule = LengthRule.VIDEO,
    folder: Path | None = None,
    on_preview: Preview | None = None,
    on_progress: Progress | None = None,
) -> SyncedFaces:
    """Aligns the chosen face, lays the clip out under the voice and draws the faces (`sample_faces`)."""
    track, clip = faces.track, faces.clip
    transforms = align_track(track.landmarks, track.visible, model.resolution, faces.align, clip.sample_aspect)
    timeline = plan_timeline(clip, audio.duration, length)
    return sample_faces(model, faces, transforms, timeline, audio, options, folder, on_preview, on_progress)


def _length_notes(synced: SyncedFaces, rule: LengthRule) -> list[str]:
    clip, voice_seconds = synced.faces.clip, synced.audio.duration
    written = float((synced.stamps[-1] - synced.stamps[0]) * clip.time_base + 1 / clip.fps)
    if voice_seconds > written + float(1 / clip.fps):
        way_out = "" if rule is LengthRule.CUT else "; --length hold or ping-pong would keep all of it"
        return [f"the voice lasts {voice_seconds:.2f} s, the clip {written:.2f} s: the voice was cut{way_out}"]
    return []


class _PhaseClock:
    """Names the phase for the caller's progress and measures how long each takes."""

    def __init__(self, on_progress: PhaseProgress | None) -> None:
        self._on_progress = on_progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str):
        def tell(done: int, total: int) -> None:
            if self._on_progress:
                self._on_progress(name, done, total)

        started = time.perf_counter()
        yield tell
        self.seconds[name] = time.perf_counter() - started
