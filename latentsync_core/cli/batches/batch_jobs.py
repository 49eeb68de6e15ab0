"""Does one row of a batch, or a part of a long one, and skips what is finished."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from ...batch.job_list import Job, JobPart
from ...batch.job_records import FINISHED, STARTED, JobRecord, JobRecords, file_facts, fingerprint, job_key
from ...batch.worklist import Outcome, OutcomeKind
from ...errors import LatentSyncError, OptionError
from ...estimates.job_plan import JobPlan
from ...film_parts import FACES, PART_SECONDS, FilmParts
from ...job_inputs import read_clip
from ...messages import Words
from ...models.loading.weights import load_model
from ...models.model import LatentSyncModel
from ...pipeline import SyncReport, plan_sync, sync
from ...progress import PhaseProgress
from ...remote.inputs import UrlArgument, fetch_url_inputs
from ...video.clip import Clip
from ...video.writing.encoding import output_path
from ...video.writing.writer_options import Codec
from ..options import sync_options
from ..wording import WORDS
from .batch_rows import WHERE_ONLY, JobSettings, RowParser, given_urls, input_paths, plain_value

LEAST_PARTS = 4  # that a clip just above the limit is divided into


Load = Callable[[argparse.Namespace, PhaseProgress], LatentSyncModel]
"""Gives the model of a row's options, ready to be used."""


class JobDoer:
    """Does rows, one after the other, with the model that the last one had.

    Args:
        settings: what all rows have in common.
        load: gives each row's model in place of the one that the row names.
        words: in which a row's mistake is reported.
    """

    def __init__(self, settings: JobSettings, load: Load | None = None, words: Words = WORDS) -> None:
        self._settings, self._load, self._words = settings, load, words
        self._parser = RowParser(settings.defaults)
        self._plain = vars(RowParser().parse_args([]))
        self.records = JobRecords(settings.records)
        self._model: tuple[object, LatentSyncModel] | None = None
        self._film_parts: tuple[tuple[str, str], Clip, FilmParts] | None = None  # of the row before

    def __call__(self, job: Job, on_progress: PhaseProgress) -> Outcome:
        """Does a row, or a part of one, unless it is finished; its mistakes become the outcome's text.

        Of a row that is longer than the batch's limit it gives the parts that have to be done before.
        """
        started = time.perf_counter()
        try:
            if job.part is not None:
                return self._do_part(job, job.part, on_progress)
            options = self.read(job)
            key, made_from = self.key(options), self.fingerprint(options)
            with self.records.lock(key) as is_ours:
                if not is_ours:
                    return Outcome(OutcomeKind.BUSY)
                if record := self.records.finished(key, made_from):
                    return Outcome(OutcomeKind.SKIPPED, report=record.report)
                if options.work_folder is None:
                    options.work_folder = self.records.work_folder(key)
                clip, film = self._film(options, key, made_from, on_progress)
                if film is not None and (parts := self._parts(film, options, on_progress)):
                    taken = time.perf_counter() - started
                    return Outcome(OutcomeKind.PARTS, seconds=taken, parts=tuple(parts))
                report = self._sync(options, key, made_from, clip, film, on_progress)
        except LatentSyncError as error:
            return Outcome(OutcomeKind.FAILED, error.worded(self._words), time.perf_counter() - started)
        return Outcome(OutcomeKind.FINISHED, "", time.perf_counter() - started, report)

    def read(self, job: Job) -> argparse.Namespace:
        """The row's options, with the place of its result and the worker's device. Raises OptionError."""
        options = self._parser.read(job, self._settings.folder)
        if options.out is None:
            if self._settings.out_folder is None:
                raise OptionError("The row has no out: name the result in the column out, or give --out FOLDER.")
            if isinstance(options.video, UrlArgument):
                raise OptionError("The row has no out, which a clip with a URL needs: name the result in a column out.")
            options.out = str(self._settings.out_folder / options.video.stem)
        options.out = str(output_path(options.out, Codec(options.codec)))
        options.network = None  # the internet
        if self._settings.device is not None:
            options.device = self._settings.device
        return options

    def fingerprint(self, options: argparse.Namespace) -> str:
        """A digest of all that the row's result is made from."""
        settings = {
            name: plain_value(value)
            for name, value in vars(options).items()
            if name not in WHERE_ONLY and value != self._plain.get(name)
        }
        return fingerprint({**settings, "out": options.out}, dict(input_paths(options)))

    def key(self, options: argparse.Namespace) -> str:
        """The name of the row's record."""
        return job_key(Path(options.out))

    def is_finished(self, options: argparse.Namespace) -> bool:
        return self.records.finished(self.key(options), self.fingerprint(options)) is not None

    def plan(self, options: argparse.Namespace) -> tuple[JobPlan, Clip]:
        """What the row's job would come to; its model is loaded, unless the row before had it. Raises LatentSyncError.

        The time is that of the job with a loaded model.
        """
        model = self._loaded(options, lambda *_: None)
        return plan_sync(
            options.video, options.audio, options.out, dataclasses.replace(sync_options(options), model=model)
        )

    def _film(
        self, options: argparse.Namespace, key: str, made_from: str, on_progress: PhaseProgress
    ) -> tuple[Clip | None, FilmParts | None]:
        """The row's clip, where it has been read, and the parts of its work, where it is long and can be divided."""
        if self._film_parts is not None and self._film_parts[0] == (key, made_from):
            return self._film_parts[1:]
        self._film_parts = None
        limit = self._settings.split_over
        if not limit or not isinstance(options.video, Path) or any(given_urls(options)):
            return None, None
        asked = sync_options(options)
        whole, clip = read_clip(options.video, asked, lambda done, total: on_progress("clip", done, total))
        if clip.duration <= 60 * limit:
            return whole, None
        # Beside the row's other work, and apart from that of other inputs or settings.
        folder = self.records.work_folder(key) / f"parts-{made_from[:16]}"
        seconds = min(PART_SECONDS, 60 * limit / LEAST_PARTS)
        film = FilmParts(whole, clip, options.audio, asked, folder, seconds)
        self._film_parts = ((key, made_from), whole, film)
        return whole, film

    def _parts(self, film: FilmParts, options: argparse.Namespace, on_progress: PhaseProgress) -> list[JobPart]:
        """The parts of a row that can be done now."""
        return film.tracking_parts(on_progress) or film.sampling_parts(self._loaded(options, on_progress), on_progress)

    def _do_part(self, job: Job, part: JobPart, on_progress: PhaseProgress) -> Outcome:
        started = time.perf_counter()
        options = self.read(job)
        key, made_from = self.key(options), self.fingerprint(options)
        if options.work_folder is None:
            options.work_folder = self.records.work_folder(key)
        with self.records.lock(f"{key}-{part.name}") as is_ours:
            if not is_ours:
                return Outcome(OutcomeKind.BUSY)
            _, film = self._film(options, key, made_from, on_progress)
            if film is None or film.is_done(part) or self.records.finished(key, made_from):
                return Outcome(OutcomeKind.SKIPPED)
            if part.stage == FACES:
                film.track(part, on_progress)
            else:
                film.sample(part, self._loaded(options, on_progress), on_progress)
        return Outcome(OutcomeKind.FINISHED, seconds=time.perf_counter() - started)

    def _sync(
        self,
        options: argparse.Namespace,
        key: str,
        made_from: str,
        clip: Clip | None,
        film: FilmParts | None,
        on_progress: PhaseProgress,
    ) -> dict:
        # A codec that isn't known yet may rename the result, and a result that is there may still lack its signature:
        # then a result alone doesn't show that the job had ended.
        is_known = Codec(options.codec) is not Codec.MATCH_SOURCE and options.c2pa_key is None
        output = Path(options.out).absolute()
        self.records.write(key, JobRecord(STARTED, made_from, str(output) if is_known else "", file_facts(output)))
        with fetch_url_inputs(options, on_progress):
            asked = sync_options(options)
            model = self._loaded(options, on_progress)
            in_parts = film.gather() if film is not None else {}
            report = sync(
                clip or options.video, options.audio, options.out, dataclasses.replace(asked, model=model), on_progress
            )
        kept = _kept(report, self._words)
        for stage, seconds in in_parts.items():
            kept["seconds"][stage] = kept["seconds"].get(stage, 0.0) + seconds
        output = report.output.absolute()
        self.records.write(key, JobRecord(FINISHED, made_from, str(output), file_facts(output), kept))
        self.records.remove_work(key)
        self._film_parts = None
        return kept

    def _loaded(self, options: argparse.Namespace, on_progress: PhaseProgress) -> LatentSyncModel:
        """The model of the row before where it is the same, which it mostly is."""
        if self._load is not None:
            return self._load(options, on_progress)
        asked = sync_options(options)
        wanted = (asked.model, asked.load)
        if self._model is None or self._model[0] != wanted:
            self._model = None  # two don't fit at once
            loaded = load_model(str(asked.model), asked.load, lambda done, total: on_progress("model", done, total))
            self._model = (wanted, loaded)
        return self._model[1]


def _kept(report: SyncReport, words: Words) -> dict:
    """What the summary and the record hold of a report: not every frame of every face."""
    kept = {name: value for name, value in dataclasses.asdict(report).items() if name not in ("faces", "notes")}
    return {**kept, "output": str(report.output), "notes": [note.worded(words) for note in report.notes]}
