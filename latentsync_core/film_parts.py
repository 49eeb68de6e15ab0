"""A long film's slow work in parts that any worker does, in any order: faces by shots, mouths by windows.

Each part leaves one file, or one folder, and then a record that it is finished; done again it leaves the same. What
the parts have in common (where the shots are, who the persons are, the voice's features) is made once, between them,
and the job itself, `sync`, then finds its work done in the work folder and only writes the film.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from .audio.features import keep_embedding
from .audio.source import AudioSource
from .batch.job_list import JobPart
from .errors import OutputError
from .faces.tracking.find_tracks import TrackedClip, frames_ahead, track_range
from .faces.tracking.shot_log import ShotLog, log_shots, tracked_ranges
from .faces.tracking.tracked_files import read_shots, read_tracked, write_shots, write_tracked
from .files.scratch import atomic_write
from .job_inputs import JobInputs, check_who_speaks, job_speakers, read_inputs, synced_faces
from .models.model import LatentSyncModel
from .pipeline import sample, sampling_windows
from .progress import PhaseClock, PhaseProgress, share_of
from .sampling.patch_store import gather_patches
from .sampling.quality import resolve_quality
from .sampling.windows import part_ranges
from .sync_options import SyncOptions
from .video.clip import Clip

PART_SECONDS = 30.0  # seconds of film in a part: a few minutes of a graphics card's work
FACES, SAMPLING = "faces", "sampling"  # what parts are of; also the names of their phases
RECORD_SUFFIX = ".json"  # of the file that says that a part is finished

log = logging.getLogger(__name__)


class FilmParts:
    """The parts of a job, whose files lie in a folder that all workers share.

    Args:
        clip: the part of the video that is synced.
        whole: the video.
        folder: of the parts' files; it has to be another one for other inputs or settings.
        options: of the job; its work folder is where `sync` looks for finished work, and may not be None.
        seconds: about how long a part lasts.
    """

    def __init__(
        self,
        whole: Clip,
        clip: Clip,
        audio: str | Path | AudioSource,
        options: SyncOptions,
        folder: Path,
        seconds: float = PART_SECONDS,
    ) -> None:
        if options.work_folder is None:
            raise ValueError("parts of a job need its work folder")
        check_who_speaks(options)
        self._whole, self._clip, self._audio, self._options = whole, clip, audio, options
        self._folder, self._work = folder, options.work_folder
        self._frames = max(round(seconds * float(clip.fps)), 1)

    def tracking_parts(self, on_progress: PhaseProgress | None = None) -> list[JobPart]:
        """The parts of face tracking that aren't finished; looks for the shots, which has to be done once.

        Raises:
            VideoError, OutputError.
        """
        return [part for part in self._tracked_parts(self._shots(PhaseClock(on_progress))) if not self.is_done(part)]

    def sampling_parts(self, model: LatentSyncModel, on_progress: PhaseProgress | None = None) -> list[JobPart]:
        """The parts of sampling that aren't finished, once all of tracking is: identities and voices are made here.

        Raises:
            LatentSyncError: one of its kinds.
        """
        clock = PhaseClock(on_progress)
        faces = synced_faces(self._inputs, self._options, clock, self._tracked(clock))
        with clock.phase("voice") as report_progress:
            voices = self._inputs.voices
            for number, voice in enumerate(voices):
                keep_embedding(voice, model.whisper, self._work, share_of(report_progress, number, len(voices)))
        windows = sampling_windows(model, self._inputs, faces, self._options)
        ranges = part_ranges(windows, len(self._inputs.timeline.pts), self._frames)
        parts = [JobPart(SAMPLING, first, stop) for first, stop in ranges]
        return [part for part in parts if not self.is_done(part)]

    def track(self, part: JobPart, on_progress: PhaseProgress | None = None) -> None:
        """Tracks the faces of a part.

        Raises:
            VideoError, OutputError.
        """
        clock, started = PhaseClock(on_progress), time.perf_counter()
        shots = self._shots(clock)
        with clock.phase("faces") as report_progress:
            faces = track_range(self._clip, shots, part.first, part.stop, self._options.faces, report_progress)
        write_tracked(faces, self._tracked_file(part))
        self._finish(part, time.perf_counter() - started)

    def sample(self, part: JobPart, model: LatentSyncModel, on_progress: PhaseProgress | None = None) -> None:
        """Samples the mouths of a part; one that was interrupted goes on.

        Raises:
            LatentSyncError: one of its kinds.
        """
        clock, started = PhaseClock(on_progress), time.perf_counter()
        options, inputs = self._options, self._inputs
        faces = synced_faces(inputs, options, clock)
        sampler = resolve_quality(options.sampler, options.quality, model, options.explicit_settings)
        with clock.phase("sampling") as report_progress:
            for number, (chosen, voice) in enumerate(zip(faces, inputs.voices, strict=True)):
                sample(
                    model, chosen, keep_embedding(voice, model.whisper, self._work), sampler, options.length,
                    self._folder / part.name, inputs.max_voice_seconds, pauses=options.pauses, lines=inputs.lines,
                    on_progress=share_of(report_progress, number, len(faces)), part=(part.first, part.stop),
                ).patches.close()  # fmt: skip
        self._finish(part, time.perf_counter() - started)

    def gather(self) -> dict[str, float]:
        """Puts what all parts sampled where `sync` looks for it; returns the seconds that each stage's parts took.

        Raises:
            OutputError: it can't be written.
        """
        seconds = {FACES: 0.0, SAMPLING: 0.0}
        self._work.mkdir(parents=True, exist_ok=True)
        for stage, name, took in self._records():
            seconds[stage] += took
            source = self._folder / name
            if stage == SAMPLING and source.is_dir():
                gather_patches(source, self._work)
                shutil.rmtree(source, ignore_errors=True)
        return seconds

    @cached_property
    def _inputs(self) -> JobInputs:
        return read_inputs(self._whole, self._clip, job_speakers(self._audio, self._options), self._options)

    def _shots(self, clock: PhaseClock) -> ShotLog:
        path = self._folder / "shots.npz"
        shots = read_shots(path, self._clip.frame_count)
        if shots is None:
            shots = log_shots(self._clip, self._options.faces, clock.progress_of("clip"))
            write_shots(shots, path)
        return shots

    def _tracked_parts(self, shots: ShotLog) -> list[JobPart]:
        frames = self._clip.frame_count
        ranges = tracked_ranges(shots, frames, frames_ahead(self._clip), self._frames)
        return [JobPart(FACES, first, stop) for first, stop in ranges]

    def _tracked(self, clock: PhaseClock) -> TrackedClip | None:
        """What the parts tracked; None where a file of theirs is missing or damaged: then the clip is tracked whole."""
        shots, faces = self._shots(clock), []
        for part in self._tracked_parts(shots):
            read = read_tracked(self._tracked_file(part), part.first, part.stop)
            if read is None:
                return None
            faces += read
        return TrackedClip(faces, shots.starts)

    def _tracked_file(self, part: JobPart) -> Path:
        return self._folder / f"{part.name}.npz"

    def is_done(self, part: JobPart) -> bool:
        """Whether a part is finished."""
        return (self._folder / f"{part.name}{RECORD_SUFFIX}").is_file()

    def _finish(self, part: JobPart, seconds: float) -> None:
        record = {**dataclasses.asdict(part), "seconds": round(seconds, 3)}
        try:
            with atomic_write(self._folder / f"{part.name}{RECORD_SUFFIX}") as partial:
                partial.write_text(json.dumps(record), "utf-8")
        except OSError as problem:
            raise OutputError(f"Can't write to {self._folder} ({problem.strerror}): make room there.") from None

    def _records(self) -> Iterator[tuple[str, str, float]]:
        """Stage, name and seconds of each finished part."""
        for path in sorted(self._folder.glob(f"*{RECORD_SUFFIX}")):
            stage = path.name.split("-", 1)[0]
            try:
                seconds = float(json.loads(path.read_text("utf-8"))["seconds"])
            except (OSError, ValueError, TypeError, LookupError) as problem:
                log.warning("%s can't be read (%s): its part took a time that isn't known", path, problem)
                seconds = 0.0
            if stage in (FACES, SAMPLING):
                yield stage, path.stem, seconds
