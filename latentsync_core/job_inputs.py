"""What a job reads before its slow part: clip, voices, pictures, timeline and lines; and the faces that it syncs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch

from .audio.source import AudioSource, load_audio
from .dubbing.lines.dialogue import DialogueLine
from .dubbing.lines.line_formats import load_lines
from .errors import OptionError, VideoError
from .faces.face_tracks import FaceTracks
from .faces.find import find_faces
from .faces.selection import FaceChoice, check_no_shared_faces, choose
from .faces.speaking import WhoSpeaks
from .faces.tracking.find_tracks import TrackedClip
from .progress import PhaseClock, Progress
from .sampling.segments.segments import options_of_lines
from .sampling.timeline import Timeline, plan_timeline
from .speakers.active_speaker import find_speech, original_sound
from .speakers.assignment import assign_speakers, choose_speaker
from .sync_options import Speaker, SyncOptions
from .video.clip import Clip
from .video.reading.deinterlacing import with_deinterlacing
from .video.reading.probing import probe
from .video.reading.reader import FrameReader


@dataclass(frozen=True, eq=False)
class JobInputs:
    """A job's inputs, read and checked."""

    clip: Clip  # the part of the video that is synced
    speakers: tuple[Speaker, ...]
    voices: tuple[AudioSource, ...]  # of each speaker
    pictures: tuple[torch.Tensor | None, ...]  # of each speaker, (1, h, w, 3) in [0, 1], where the choice is by picture
    original: AudioSource | None  # the sound as filmed, where it tells who speaks
    timeline: Timeline
    lines: tuple[DialogueLine, ...]  # by the times of `clip`

    @property
    def max_voice_seconds(self) -> float:
        """The duration of the longest voice, by which the timeline is planned."""
        return max(voice.duration for voice in self.voices)


def job_speakers(audio: str | Path | AudioSource, options: SyncOptions) -> tuple[Speaker, ...]:
    """All speakers of a job, the one of the main voice first."""
    return Speaker(audio, options.choice, options.picture), *options.other_speakers


def read_clip(video: str | Path | Clip, options: SyncOptions, on_progress: Progress | None = None) -> tuple[Clip, Clip]:
    """The whole clip, and the part of it that is synced.

    Raises:
        OptionError, VideoError: it can't be read, or start and end lie outside of it.
    """
    whole = video if isinstance(video, Clip) else probe(video, options.fps, on_progress)
    return whole, with_deinterlacing(whole.trim(options.start, options.end), options.deinterlace)


def read_inputs(whole: Clip, clip: Clip, speakers: Sequence[Speaker], options: SyncOptions) -> JobInputs:
    """Reads what else a job needs besides its clip, and plans its timeline.

    Raises:
        LatentSyncError: one of its kinds, for an input that can't be used.
    """
    voices = tuple(
        one.audio if isinstance(one.audio, AudioSource) else load_audio(one.audio, clip, options.voice_tracks)
        for one in speakers
    )
    pictures = tuple(None if one.picture is None else load_picture(one.picture) for one in speakers)
    original = None
    if options.who_speaks is WhoSpeaks.AUTO:
        filmed_with = options.original_audio
        original = original_sound(clip) if filmed_with is None else load_audio(filmed_with, clip, options.voice_tracks)
    timeline = plan_timeline(clip, max(voice.duration for voice in voices), options.length)
    lines = _dialogue(options.lines, whole, clip, timeline)
    if lines:
        options_of_lines(lines, options.sampler)  # raises where a line's settings can't be used
    return JobInputs(clip, tuple(speakers), voices, pictures, original, timeline, lines)


def synced_faces(
    inputs: JobInputs, options: SyncOptions, clock: PhaseClock, tracked: TrackedClip | None = None
) -> list[FaceTracks]:
    """The faces of the clip, with those chosen that each speaker has.

    Args:
        tracked: see `find_faces`.

    Raises:
        FaceError, OptionError, VideoError, AudioError, OutputError.
    """
    with clock.phase("faces") as report_progress:
        found = find_faces(
            inputs.clip, options.faces, options.align, options.limits, options.marks, options.work_folder,
            report_progress, tracked,
        )  # fmt: skip
        faces = [
            choose(found, one.choice, picture) for one, picture in zip(inputs.speakers, inputs.pictures, strict=True)
        ]
        check_no_shared_faces(faces)
    if inputs.original is not None:
        with clock.phase("speakers") as report_progress:
            speech = find_speech(found, inputs.original, options.work_folder, report_progress)
            segments, _ = assign_speakers(found, speech)
            faces = [choose_speaker(found, segments, off=options.choice.off)]
    return faces


def check_who_speaks(options: SyncOptions) -> None:
    """OptionError where it is to be found who speaks, and something else says who does."""
    if options.who_speaks is not WhoSpeaks.AUTO:
        return
    if options.other_speakers:
        raise OptionError("who speaks is found for a single voice; leave out the other speakers")
    if dataclasses.replace(options.choice, off=()) != FaceChoice():
        raise OptionError("a face is chosen, and who speaks is to be found; leave out one of them")


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


def load_picture(source: str | Path) -> torch.Tensor:
    """(1, h, w, 3) in [0, 1]: a picture file's only frame."""
    clip = probe(source)
    if clip.frame_count > 1:
        raise VideoError(f"{source} is no picture; give a PNG or JPEG that shows the person")
    with FrameReader(clip) as frames:
        (frame,) = frames
        return frame.rgb().movedim(0, -1)[None]
