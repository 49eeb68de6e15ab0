"""The whole job in order: prepare faces, embed the voice, sample, composite; streaming from file to file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import torch

from .audio.features import AudioEmbedding, embed_audio
from .audio.mix import mixed_track
from .audio.pause_options import PauseBehaviour, PauseOptions
from .audio.silenced import silence_pauses
from .audio.source import AudioSource, load_audio
from .audio.speech_activity import detect_speech
from .audio.track_choice import TrackChoice
from .compositing.composite_options import CompositeOptions
from .compositing.crediting import credits_for
from .compositing.notes import demonstration_notes, job_notes, synced_frames
from .compositing.smart_render import composite_film
from .dubbing.lines.dialogue import DialogueLine
from .dubbing.lines.line_formats import load_lines
from .errors import OptionError, VideoError
from .estimates.job_plan import JobPlan, plan_job, with_loading
from .estimates.measured import added_up, measured_compositing, measured_sampling, seen_faces
from .estimates.timings import record_timings
from .estimates.work import embedding, finding_faces, finding_speakers
from .faces.alignment.align_options import AlignOptions
from .faces.crop_path import path_transforms
from .faces.face_options import FaceOptions
from .faces.face_tracks import FaceTracks
from .faces.find import find_faces
from .faces.limits import TouchLimits
from .faces.report import report_data
from .faces.selection import FaceChoice, check_no_shared_faces, choose
from .faces.speaking import WhoSpeaks
from .files.output_checks import check_no_overwrite, check_target
from .files.scratch import ScratchFolder, remove_stale_scratch
from .messages import Note
from .models.load_options import LoadOptions
from .models.loading.weights import load_model
from .models.model import LatentSyncModel
from .progress import PhaseClock, PhaseProgress, Progress, WorkMeter, share_of
from .provenance.content_credentials import FilmSigner, check_signable
from .provenance.signing_files import SigningFiles
from .runs import runs_where
from .sampling.quality import quality_settings, resolve_quality
from .sampling.sampler import Preview, check_disk_space_for_patches, sample_faces
from .sampling.sampler_options import Quality, SamplerOptions
from .sampling.segments.segment_voice import SegmentVoice
from .sampling.segments.segments import options_of_lines, plan_segments
from .sampling.synced_faces import SyncedFaces
from .sampling.timeline import LengthRule, Timeline, plan_timeline
from .speakers.active_speaker import find_speech, original_sound
from .speakers.assignment import assign_speakers, choose_speaker
from .video.clip import Clip
from .video.reading.deinterlacing import with_deinterlacing
from .video.reading.probing import probe
from .video.reading.reader import FrameReader
from .video.writing.encoding import output_path
from .video.writing.match_source import match_source
from .video.writing.sequence_writer import result_writer
from .video.writing.writer import Sign
from .video.writing.writer_options import WriterOptions


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
class _Inputs:
    """What a job reads and writes, opened and checked."""

    requested: Path  # the result, as it was asked for
    out: Path  # as its codec has it
    signer: FilmSigner | None
    speakers: tuple[Speaker, ...]
    whole: Clip
    clip: Clip  # the part of `whole` that is synced
    writer: WriterOptions
    voices: list[AudioSource]  # of the speakers
    pictures: list[torch.Tensor | None]  # likewise
    mux: AudioSource | None
    original: AudioSource | None
    voice_seconds: float  # of the longest
    timeline: Timeline
    lines: tuple[DialogueLine, ...]


def _open_inputs(
    video: str | Path | Clip, audio: str | Path | AudioSource, out: str | Path, options: SyncOptions, clock: PhaseClock
) -> _Inputs:
    """Opens what a job reads, and raises what can be known to go wrong before anything slow starts."""
    _check_who_speaks(options)
    requested, out = Path(out), output_path(out, options.writer.codec)
    check_target(out)
    signer = None if options.signing is None else FilmSigner(options.signing)
    speakers = (Speaker(audio, options.choice, options.picture), *options.other_speakers)
    check_no_overwrite((out, options.work_folder), _input_files(video, speakers, options))
    whole = video if isinstance(video, Clip) else probe(video, options.fps, clock.progress_of("clip"))
    clip = whole.trim(options.start, options.end)
    clip = with_deinterlacing(clip, options.deinterlace)
    writer_options = match_source(clip, options.writer)
    if writer_options != options.writer:
        out = output_path(out, writer_options.codec)
        check_target(out)
        check_no_overwrite((out,), _input_files(video, speakers, options))
    if signer is not None:
        check_signable(writer_options.codec.suffix)
    voices = [
        one.audio if isinstance(one.audio, AudioSource) else load_audio(one.audio, clip, options.voice_tracks)
        for one in speakers
    ]
    pictures = [None if one.picture is None else _load_image(one.picture) for one in speakers]
    mux = load_audio(options.mux_audio, clip, options.voice_tracks) if options.mux_audio else None
    original = None
    if options.who_speaks is WhoSpeaks.AUTO:
        filmed_with = options.original_audio
        original = original_sound(clip) if filmed_with is None else load_audio(filmed_with, clip, options.voice_tracks)
    max_voice_seconds = max(voice.duration for voice in voices)
    timeline = plan_timeline(clip, max_voice_seconds, options.length)
    lines = _dialogue(options.lines, whole, clip, timeline)
    if lines:
        options_of_lines(lines, options.sampler)  # raises where a line's settings can't be used
    return _Inputs(
        requested, out, signer, speakers, whole, clip, writer_options, voices, pictures, mux, original,
        max_voice_seconds, timeline, lines,
    )  # fmt: skip


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
    job = _open_inputs(video, audio, out, options, clock)
    remove_stale_scratch(job.out.parent, options.work_folder)
    clip, timeline, lines, signer = job.clip, job.timeline, job.lines, job.signer

    with ExitStack() as cleanup:
        folder = cleanup.enter_context(ScratchFolder())
        sound = job.mux.as_track(folder) if job.mux else mixed_track(job.voices, folder)
        writer = result_writer(job.requested, timeline.clip, options=job.writer, pts=timeline.pts, audio=sound)
        source = clip.identity and clip.identity.path
        if signer is not None:
            writer.sign = partial(signer.sign, title=job.out.name, credits=writer.credits, source=source)
        writer.preflight()
        model, sampler = _load(options, clock)
        check_disk_space_for_patches(model.resolution, len(timeline.pts), len(job.speakers), options.work_folder)
        if on_plan:
            on_plan(_plan(job, options, model, sampler))
        with clock.phase("faces") as report_progress:
            found = find_faces(
                clip, options.faces, options.align, options.limits, options.marks, options.work_folder, report_progress
            )
            faces = [
                choose(found, one.choice, picture) for one, picture in zip(job.speakers, job.pictures, strict=True)
            ]
            check_no_shared_faces(faces)
        if job.original is not None:
            with clock.phase("speakers") as report_progress:
                speech = find_speech(found, job.original, options.work_folder, report_progress)
                segments, _ = assign_speakers(found, speech)
                faces = [choose_speaker(found, segments, off=options.choice.off)]
        if on_plan:
            on_plan(_plan(job, options, model, sampler, faces))
        with clock.phase("voice") as report_progress:
            audio_embeddings = [
                embed_audio(voice, model.whisper, share_of(report_progress, number, len(job.voices)))
                for number, voice in enumerate(job.voices)
            ]
        with clock.phase("sampling") as report_progress:
            synced = []
            for number, (chosen, voice) in enumerate(zip(faces, audio_embeddings, strict=True)):
                synced.append(
                    sample(
                        model, chosen, voice, sampler, options.length, options.work_folder, job.voice_seconds,
                        on_progress=share_of(report_progress, number, len(faces)), pauses=options.pauses, lines=lines,
                        meter=clock.work,
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

    _record(job, options, model, sampler, found, clock)
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
    job = _open_inputs(video, audio, out, options, clock)
    model, sampler = _load(options, clock)
    plan = _plan(job, options, model, sampler)
    is_loaded = isinstance(options.model, LatentSyncModel)
    return plan if is_loaded else with_loading(plan, clock.seconds["model"]), job.clip


def _load(options: SyncOptions, clock: PhaseClock) -> tuple[LatentSyncModel, SamplerOptions]:
    """The job's model, and the sampler's settings with it."""
    with clock.phase("model") as report_progress:
        model = options.model
        if not isinstance(model, LatentSyncModel):
            load = dataclasses.replace(options.load, window_frames=options.sampler.windows.frames)
            model = load_model(model, load, report_progress)
    return model, resolve_quality(options.sampler, options.quality, model, options.explicit_settings)


def _plan(
    job: _Inputs,
    options: SyncOptions,
    model: LatentSyncModel,
    sampler: SamplerOptions,
    faces: Sequence[FaceTracks] | None = None,
) -> JobPlan:
    """What is to be done once the model is loaded, or, where `faces` of each speaker are given, after that."""
    return plan_job(
        model, job.clip, job.timeline, sampler, job.voices, options.composite, job.writer, faces, job.lines,
        options.pauses.behaviour, finds_speakers=job.original is not None,
    )  # fmt: skip


def _record(
    job: _Inputs,
    options: SyncOptions,
    model: LatentSyncModel,
    sampler: SamplerOptions,
    found: FaceTracks,
    clock: PhaseClock,
) -> None:
    """Keeps what the job's work took, for later estimates."""
    clip, seconds = job.clip, clock.seconds
    done = measured_sampling(clock.work, model, clip, sampler)
    done += measured_compositing(clock.work, model.codec, model.resolution, clip, options.composite, job.writer)
    done.append((added_up(embedding(model, voice.duration) for voice in job.voices), seconds["voice"]))
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
    meter: WorkMeter | None = None,
) -> SyncedFaces:
    """Aligns the chosen faces, plans the timeline and generates new mouth latents (`sample_faces`).

    `seconds` overrides the voice's duration when planning the timeline, where several voices share a clip. `pauses`
    that are closed change the latents, and so the store's key; those that show the filmed mouth change `blend` alone.
    `lines`, by the clip's times, are sampled each by itself with their own settings (sampling/segments).
    """
    pauses = pauses or PauseOptions()
    transforms = path_transforms(faces, model.resolution)
    timeline = plan_timeline(faces.clip, audio.duration if seconds is None else seconds, length)
    if lines:
        shown = float(1 / timeline.clip.fps)  # seconds of the last frame
        segments = plan_segments(lines, timeline.times, shown, options or SamplerOptions(), pauses.behaviour)
        wait = None if on_progress is None else partial(on_progress, 0, 1)
        voice = SegmentVoice(audio.source, model.whisper, segments, timeline.times, shown, pauses, wait)
        return sample_faces(
            model,
            faces,
            transforms,
            timeline,
            audio,
            options,
            folder,
            on_preview,
            on_progress,
            (segments, voice),
            meter,
        )
    if pauses.behaviour is PauseBehaviour.MODEL:
        return sample_faces(
            model, faces, transforms, timeline, audio, options, folder, on_preview, on_progress, meter=meter
        )
    speech = detect_speech(audio.source)
    closed = pauses.behaviour is PauseBehaviour.CLOSED
    driving = silence_pauses(audio, speech, pauses, model.whisper) if closed else audio
    synced = sample_faces(
        model, faces, transforms, timeline, driving, options, folder, on_preview, on_progress, meter=meter
    )
    weights = speech.weights(timeline.times, pauses)
    blend = synced.blend if closed else synced.blend * weights
    return dataclasses.replace(synced, audio=audio, blend=blend, pauses=pauses.behaviour, speech=weights)


def _dialogue(
    lines: Path | Sequence[DialogueLine] | None, whole: Clip, clip: Clip, timeline: Timeline
) -> tuple[DialogueLine, ...]:
    """The lines that are shown in `clip`, a part of `whole`, with times that count from its own first frame.

    Raises:
        DialogueError: the file's lines can't be used, or end after the clip and what is added to it.
    """
    if lines is None:
        return ()
    before = int(clip.pts[0] - whole.pts[0]) * whole.time_base
    end = before + Fraction(float(timeline.times[-1])) + 1 / timeline.clip.fps
    if isinstance(lines, Path):
        lines = load_lines(lines, max(end, whole.exact_duration)).lines
    moved = [dataclasses.replace(line, start=line.start - before, end=line.end - before) for line in lines]
    return tuple(moved)


def _check_who_speaks(options: SyncOptions) -> None:
    """OptionError where it is to be found who speaks, and something else says who does."""
    if options.who_speaks is not WhoSpeaks.AUTO:
        return
    if options.other_speakers:
        raise OptionError("who speaks is found for a single voice; leave out the other speakers")
    if dataclasses.replace(options.choice, off=()) != FaceChoice():
        raise OptionError("a face is chosen, and who speaks is to be found; leave out one of them")


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


def _load_image(source: str | Path) -> torch.Tensor:
    """(1, h, w, 3) in [0, 1]: a picture file's only frame."""
    clip = probe(source)
    if clip.frame_count > 1:
        raise VideoError(f"{source} is no picture; give a PNG or JPEG that shows the person")
    with FrameReader(clip) as frames:
        (frame,) = frames
        return frame.rgb().movedim(0, -1)[None]
