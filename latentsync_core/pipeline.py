"""The whole job in order: prepare faces, embed the voice, sample, composite; streaming from file to file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .audio.features import AudioEmbedding, embed_audio
from .audio.mix import mixed_track
from .audio.pause_options import PauseBehaviour, PauseOptions
from .audio.silenced import silence_pauses
from .audio.source import AudioSource, load_audio
from .audio.speech_activity import detect_speech
from .compositing.crediting import credits_for
from .compositing.notes import demonstration_notes, job_notes, synced_frames
from .compositing.smart_render import composite_film
from .dubbing.lines.dialogue import DialogueLine
from .estimates.job_plan import JobPlan, plan_job, with_loading
from .estimates.measured import added_up, measured_compositing, measured_sampling, seen_faces
from .estimates.timings import record_timings
from .estimates.work import embedding, finding_faces, finding_speakers
from .faces.crop_path import path_transforms
from .faces.face_tracks import FaceTracks
from .faces.find import find_faces as find_faces  # the README of 0.1 imports it from here
from .faces.report import report_data
from .files.output_checks import check_no_overwrite, check_target
from .files.scratch import ScratchFolder, remove_stale_scratch
from .job_inputs import JobInputs, check_who_speaks, job_speakers, read_clip, read_inputs, synced_faces
from .messages import Note
from .models.loading.weights import load_model
from .models.model import LatentSyncModel
from .progress import PhaseClock, PhaseProgress, Progress, WorkMeter, share_of
from .provenance.content_credentials import FilmSigner, check_signable
from .runs import runs_where
from .sampling.quality import quality_settings, resolve_quality
from .sampling.sampler import Preview, check_disk_space_for_patches, planned_windows, sample_faces
from .sampling.sampler_options import Quality, SamplerOptions
from .sampling.segments.segment_voice import SegmentVoice
from .sampling.segments.segments import plan_segments
from .sampling.synced_faces import SyncedFaces
from .sampling.timeline import LengthRule, plan_timeline
from .sampling.windows import Window
from .sync_options import Speaker, SyncOptions
from .video.clip import Clip
from .video.writing.encoding import output_path
from .video.writing.match_source import match_source
from .video.writing.sequence_writer import result_writer
from .video.writing.writer import Sign
from .video.writing.writer_options import WriterOptions


@dataclass(frozen=True)
class SyncReport:
    """What a job did."""

    output: Path
    model: str
    demonstration: bool  # True: the model is no real lip-sync model
    frames: int  # written
    fps: str  # rational, "24000/1001"
    synced_frames: int
    passed_through: tuple[tuple[int, int], ...]  # half-open ranges of output frames that were left unchanged
    occluded: tuple[tuple[int, int], ...]  # those in which a mouth was occluded; the occluder was left unchanged
    faces: tuple[dict, ...]  # of each speaker, what was done with each of the clip's frames and why: faces/report.py
    notes: tuple[Note, ...]  # what the user should know: sound cut, re-encoded, ...
    seconds: dict[str, float]  # per phase
    sampling: dict[str, int | float | str]  # the quality, and the settings that it gave: sampling/quality.py


OnPlan = Callable[[JobPlan], None]


@dataclass(frozen=True)
class _Job:
    """What a job reads and writes, opened and checked."""

    requested: Path  # the result, as it was asked for
    out: Path  # as its codec has it
    writer: WriterOptions
    signer: FilmSigner | None
    inputs: JobInputs
    mux: AudioSource | None


def _open_job(
    video: str | Path | Clip, audio: str | Path | AudioSource, out: str | Path, options: SyncOptions, clock: PhaseClock
) -> _Job:
    """Opens what a job reads, and raises what can be known to go wrong before anything slow starts."""
    check_who_speaks(options)
    requested, out = Path(out), output_path(out, options.writer.codec)
    check_target(out)
    signer = None if options.signing is None else FilmSigner(options.signing)
    speakers = job_speakers(audio, options)
    check_no_overwrite((out, options.work_folder), _input_files(video, speakers, options))
    whole, clip = read_clip(video, options, clock.progress_of("clip"))
    writer_options = match_source(clip, options.writer)
    if writer_options != options.writer:
        out = output_path(out, writer_options.codec)
        check_target(out)
        check_no_overwrite((out,), _input_files(video, speakers, options))
    if signer is not None:
        check_signable(writer_options.codec.suffix)
    inputs = read_inputs(whole, clip, speakers, options)
    mux = load_audio(options.mux_audio, clip, options.voice_tracks) if options.mux_audio else None
    return _Job(requested, out, writer_options, signer, inputs, mux)


def sync(
    video: str | Path | Clip,
    audio: str | Path | AudioSource,
    out: str | Path,
    options: SyncOptions,
    on_progress: PhaseProgress | None = None,
    on_plan: OnPlan | None = None,
) -> SyncReport:
    """Lip-syncs `video` to `audio`, and to the voices of `options.other_speakers`, and writes the result to `out`.

    Frames without the face, and samples outside the patch, reach the encoder unchanged. The file appears at `out` only
    when it is complete; where only its signing failed, it is there all the same, unsigned. Inputs are checked before
    anything slow starts. What the job's work took is kept for later estimates (`estimates/timings.py`).

    Args:
        on_plan: called with what is left to do, once the model is loaded, and again once the faces are found.

    Raises:
        LatentSyncError: one of its kinds, with a sentence for the user.
    """
    clock = PhaseClock(on_progress)
    remove_stale_scratch(output_path(out, options.writer.codec).parent, options.work_folder)
    job = _open_job(video, audio, out, options, clock)
    inputs, signer, timeline = job.inputs, job.signer, job.inputs.timeline

    with ExitStack() as cleanup:
        folder = cleanup.enter_context(ScratchFolder())
        sound = job.mux.as_track(folder) if job.mux else mixed_track(inputs.voices, folder)
        writer = result_writer(job.requested, timeline.clip, options=job.writer, pts=timeline.pts, audio=sound)
        source = inputs.clip.identity and inputs.clip.identity.path
        if signer is not None:
            writer.sign = partial(signer.sign, title=job.out.name, credits=writer.credits, source=source)
        writer.preflight()
        model, sampler = _load(options, clock)
        options = dataclasses.replace(options, composite=options.composite.resolve_region([model.recommended.region]))
        check_disk_space_for_patches(model.resolution, len(timeline.pts), len(inputs.speakers), options.work_folder)
        if on_plan:
            on_plan(_plan(job, options, model, sampler))
        faces = synced_faces(inputs, options, clock)
        if on_plan:
            on_plan(_plan(job, options, model, sampler, faces))
        with clock.phase("voice") as report_progress:
            audio_embeddings = [
                embed_audio(
                    voice, model.whisper, share_of(report_progress, number, len(faces)), kept=options.work_folder
                )
                for number, voice in enumerate(inputs.voices)
            ]
        with clock.phase("sampling") as report_progress:
            synced = []
            for number, (chosen, voice) in enumerate(zip(faces, audio_embeddings, strict=True)):
                synced.append(
                    sample(
                        model, chosen, voice, sampler, options.length, options.work_folder, inputs.max_voice_seconds,
                        on_progress=share_of(report_progress, number, len(faces)), pauses=options.pauses,
                        lines=inputs.lines, meter=clock.work,
                    )
                )  # fmt: skip
                cleanup.enter_context(synced[-1].patches)
        writer.credits = credits_for(synced)
        if signer is not None:
            writer.sign = _signing(signer, clock, title=job.out.name, credits=writer.credits, source=source)
        with clock.phase("compositing") as report_progress:
            film = composite_film(
                synced, writer, options.composite, options.work_folder, cleanup, report_progress, meter=clock.work
            )
    film.record(job.out, options.work_folder)

    _record(job, options, model, sampler, faces[0], clock)
    present, out = synced_frames(synced), job.out
    return SyncReport(
        output=out,
        model=model.name,
        demonstration=model.demonstration,
        frames=len(present),
        fps=str(timeline.clip.fps),
        synced_frames=int(present.sum()),
        passed_through=tuple(runs_where(~present)),
        occluded=tuple(runs_where(film.occluded)),
        faces=tuple(report_data(one) for one in faces),
        notes=(
            *demonstration_notes(model),
            *(
                [Note(f"The result is named {out.name}: {job.writer.codec.label} goes into {out.suffix} files.")]
                if out != job.requested and not job.writer.codec.is_sequence
                else []
            ),
            *([] if signer is None else [Note(f"{out.name} has Content Credentials, signed by {signer.name}.")]),
            *film.notes,
            *job_notes(synced, writer.notes, job.mux),
        ),
        seconds=clock.seconds,
        sampling={"quality": Quality(options.quality).value, **quality_settings(sampler)},
    )


def plan_sync(
    video: str | Path | Clip,
    audio: str | Path | AudioSource,
    out: str | Path,
    options: SyncOptions,
    on_progress: PhaseProgress | None = None,
) -> tuple[JobPlan, Clip]:
    """What `sync` would do, as far as it is known before faces are found, and the part of the clip that it would sync.

    Inputs and output are checked as `sync` checks them, and the model is loaded; nothing is written.

    Raises:
        LatentSyncError: what `sync` would raise before it looks for faces.
    """
    clock = PhaseClock(on_progress)
    job = _open_job(video, audio, out, options, clock)
    model, sampler = _load(options, clock)
    plan = _plan(job, options, model, sampler)
    is_loaded = isinstance(options.model, LatentSyncModel)
    return plan if is_loaded else with_loading(plan, clock.seconds["model"]), job.inputs.clip


def _load(options: SyncOptions, clock: PhaseClock) -> tuple[LatentSyncModel, SamplerOptions]:
    """The job's model, and the sampler's settings with it."""
    with clock.phase("model") as report_progress:
        model = loaded_model(options, report_progress)
    return model, resolve_quality(options.sampler, options.quality, model, options.explicit_settings)


def _plan(
    job: _Job,
    options: SyncOptions,
    model: LatentSyncModel,
    sampler: SamplerOptions,
    faces: Sequence[FaceTracks] | None = None,
) -> JobPlan:
    """What is to be done once the model is loaded, or, where `faces` of each speaker are given, after that."""
    inputs = job.inputs
    return plan_job(
        model, inputs.clip, inputs.timeline, sampler, inputs.voices, options.composite, job.writer, faces, inputs.lines,
        options.pauses.behaviour, finds_speakers=inputs.original is not None,
    )  # fmt: skip


def _record(
    job: _Job,
    options: SyncOptions,
    model: LatentSyncModel,
    sampler: SamplerOptions,
    found: FaceTracks,
    clock: PhaseClock,
) -> None:
    """Keeps what the job's work took, for later estimates."""
    clip, seconds = job.inputs.clip, clock.seconds
    done = measured_sampling(clock.work, model, clip, sampler)
    done += measured_compositing(clock.work, model.codec, model.resolution, clip, options.composite, job.writer)
    done.append((added_up(embedding(model, voice.duration) for voice in job.inputs.voices), seconds["voice"]))
    if "faces" in clock.reported:
        done.append((finding_faces(clip, seen_faces(found)), seconds["faces"]))
    if "speakers" in clock.reported:
        done.append((finding_speakers(clip), seconds["speakers"]))
    record_timings(done)


def sample(
    model: LatentSyncModel,
    faces: FaceTracks,
    audio: AudioEmbedding,
    options: SamplerOptions | None = None,
    length: LengthRule = LengthRule.VIDEO,
    folder: Path | None = None,
    seconds: float | None = None,
    on_preview: Preview | None = None,
    on_progress: Progress | None = None,
    pauses: PauseOptions | None = None,
    lines: Sequence[DialogueLine] = (),
    part: tuple[int, int] | None = None,
    meter: WorkMeter | None = None,
) -> SyncedFaces:
    """Aligns the chosen faces, plans the timeline and generates new mouth latents (`sample_faces`).

    `seconds` overrides the voice's duration when planning the timeline, where several voices share a clip. `pauses`
    that are closed change the latents, and so the store's key; those that show the filmed mouth change `blend` alone.
    `lines`, by the clip's times, are sampled each by itself with their own settings (sampling/segments). Of a `part`,
    a half-open range of output frames, the patches alone are made.
    """
    pauses = pauses or PauseOptions()
    transforms = path_transforms(faces, model.resolution)
    timeline = plan_timeline(faces.clip, audio.duration if seconds is None else seconds, length)
    generate = partial(
        sample_faces, model, faces, transforms, timeline,
        options=options, folder=folder, on_preview=on_preview, on_progress=on_progress, part=part,
        meter=meter,
    )  # fmt: skip
    if lines:
        shown = float(1 / timeline.clip.fps)  # seconds of the last frame
        segments = plan_segments(lines, timeline.times, shown, options or SamplerOptions(), pauses.behaviour)
        wait = None if on_progress is None else partial(on_progress, 0, 1)
        voice = SegmentVoice(audio.source, model.whisper, segments, timeline.times, shown, pauses, wait)
        return generate(audio, by_lines=(segments, voice))
    if pauses.behaviour is PauseBehaviour.MODEL:
        return generate(audio)
    speech = detect_speech(audio.source)
    closed = pauses.behaviour is PauseBehaviour.CLOSED
    driving = silence_pauses(audio, speech, pauses, model.whisper) if closed else audio
    synced = generate(driving)
    weights = speech.weights(timeline.times, pauses)
    blend = synced.blend if closed else synced.blend * weights
    return dataclasses.replace(synced, audio=audio, blend=blend, pauses=pauses.behaviour, speech=weights)


def sampling_windows(
    model: LatentSyncModel, inputs: JobInputs, faces: Sequence[FaceTracks], options: SyncOptions
) -> list[list[Window]]:
    """The windows of each speaker's faces that `sample` samples for a job."""
    sampler, timeline, segments = options.sampler, inputs.timeline, None
    if inputs.lines:
        shown = float(1 / timeline.clip.fps)
        segments = plan_segments(inputs.lines, timeline.times, shown, sampler, options.pauses.behaviour)
    return [
        planned_windows(chosen, path_transforms(chosen, model.resolution), timeline, sampler, segments)
        for chosen in faces
    ]


def loaded_model(options: SyncOptions, on_progress: Progress | None = None) -> LatentSyncModel:
    """The model of a job, which may be given loaded.

    Raises:
        ModelError, DownloadError: it can't be loaded.
    """
    if isinstance(options.model, LatentSyncModel):
        return options.model
    load = dataclasses.replace(options.load, window_frames=options.sampler.windows.frames)
    return load_model(options.model, load, on_progress)


def _signing(signer: FilmSigner, clock: PhaseClock, **facts: Any) -> Sign:
    """A writer's last step, as a phase of the job."""

    def sign(film: Path, target: Path) -> None:
        with clock.phase("signing") as report_progress:
            signer.sign(film, target, on_progress=report_progress, **facts)

    return sign


def _input_files(
    video: str | Path | Clip, speakers: Sequence[Speaker], options: SyncOptions
) -> Iterator[tuple[str, str | Path | None]]:
    """Every file that a job reads: what it is, and where."""
    if isinstance(video, Clip):
        yield "the video", video.identity and video.identity.path
    else:
        yield "the video", video
    for number, one in enumerate(speakers, 1):
        of = "" if len(speakers) == 1 else f" of speaker {number}"
        yield f"the voice{of}", one.audio.path if isinstance(one.audio, AudioSource) else one.audio
        yield f"the picture{of}", one.picture
    yield "the audio to mux", options.mux_audio
    yield "the lines", options.lines if isinstance(options.lines, Path) else None
    yield "the original sound", options.original_audio
    yield "the VAE", options.load.vae
    yield "Whisper's weights", options.load.whisper
    if options.signing is not None:
        yield "the certificate", options.signing.certificate
        yield "the private key", options.signing.key
