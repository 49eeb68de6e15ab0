"""Does one row of a batch: reads its settings as `sync` reads its options, and skips what is finished."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections import Counter
from pathlib import Path
from typing import NoReturn

from ..batch.job_list import Job, JobPart
from ..batch.job_records import FINISHED, STARTED, JobRecord, JobRecords, file_facts, fingerprint, job_key
from ..batch.worklist import Outcome, OutcomeKind
from ..errors import LatentSyncError, OptionError
from ..film_parts import FACES, PART_SECONDS, FilmParts
from ..job_inputs import read_clip
from ..models.load_options import LoadOptions
from ..models.loading.weights import load_model
from ..models.model import LatentSyncModel
from ..pipeline import SyncReport, sync
from ..progress import PhaseProgress
from ..remote.inputs import UrlArgument, fetch_url_inputs
from ..sync_options import Speaker
from ..video.clip import Clip
from ..video.writing.encoding import output_path
from ..video.writing.writer_options import Codec
from .options import add_sync_options, sync_options
from .wording import WORDS

YES, NO = ("yes", "true", "1", "on", "x"), ("no", "false", "0", "off")  # values of a setting without a value of its own
OF_THE_BATCH = ("json", "download-limit")  # the same for all rows
LEAST_PARTS = 4  # that a clip just above the limit is divided into
WHERE_ONLY = (
    "out",
    "work_folder",
    "models_folder",
    "device",
    "offload",
    "download_limit",
)  # results don't depend on it


class RowParser(argparse.ArgumentParser):
    """Reads a row's settings by the options of `sync`; `defaults` hold where the row gives none."""

    def __init__(self, defaults: argparse.Namespace | None = None) -> None:
        super().__init__(prog="batch", add_help=False, allow_abbrev=False)
        add_sync_options(self, is_batch=True)
        self._action_of = {name.lstrip("-"): action for action in self._actions for name in action.option_strings}
        if defaults is not None:
            self.set_defaults(**vars(defaults))

    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{message[0].upper()}{message[1:]}.")

    def read(self, job: Job, folder: Path) -> argparse.Namespace:
        """The options of a row; its relative paths start from `folder`.

        Raises:
            OptionError: a setting that `sync` doesn't have, a value that it doesn't take, or one that is missing.
        """
        counts = Counter(name for name, _ in job.settings)
        arguments = []
        for name, value in job.settings:
            action = self._action_of.get(name)
            if action is None or name in OF_THE_BATCH:
                raise OptionError(f"There is no setting {name!r}: columns are named as the options of `sync` are.")
            if action.nargs == 0:  # a switch
                if value.lower() not in YES + NO:
                    raise OptionError(f"{name} is {value!r}; write yes or no.")
                arguments += [f"--{name}"] if value.lower() in YES else []
                continue
            if counts[name] > 1 and name != "speaker":
                raise OptionError(f"{name} is given {counts[name]} times; give it once.")
            arguments.append(f"--{name}={value}")
        options = self.parse_args(arguments)
        for name, count in counts.items():
            attribute = self._action_of[name].dest
            setattr(options, attribute, rooted(attribute, getattr(options, attribute), count, folder))
        for name in ("video", "audio"):
            if getattr(options, name) is None:
                raise OptionError(f"The row has no {name}: {_what_is_missing(name)}.")
        return options


def rooted(attribute: str, value, count: int, folder: Path):
    """What was given, with `folder` before its relative paths; of a list only its last `count` elements."""
    if isinstance(value, list):
        return [*value[:-count], *(rooted(attribute, one, 1, folder) for one in value[-count:])]
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, Speaker):
        return dataclasses.replace(
            value, **{part: rooted(part, getattr(value, part), 1, folder) for part in ("audio", "picture")}
        )
    if attribute == "out" or (attribute == "model" and (folder / value).exists()):
        return str(folder / value)
    return value


def _what_is_missing(name: str) -> str:
    return "name the clip in the column video" if name == "video" else "name the voice in the column audio"


@dataclasses.dataclass(frozen=True)
class JobMaker:
    """What a worker is made from; it is pickled into the worker's process."""

    defaults: argparse.Namespace  # the settings of rows that give none
    folder: Path  # from which a row's relative paths start
    out_folder: Path | None  # for the results of rows that name none
    records: Path
    device: str | None = None  # the worker's own, whatever the rows say
    threads: int | None = None  # of PyTorch; None: its own choice
    split_over: float = 0.0  # minutes of a clip beyond which its row is done in parts; 0: never

    def __call__(self) -> JobDoer:
        if self.threads is not None:
            import torch

            torch.set_num_threads(self.threads)
        return JobDoer(self)


class JobDoer:
    """Does rows, one after the other, with the model that the last one had."""

    def __init__(self, maker: JobMaker) -> None:
        self._maker = maker
        self._parser = RowParser(maker.defaults)
        self._plain = vars(RowParser().parse_args([]))
        self.records = JobRecords(maker.records)
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
            return Outcome(OutcomeKind.FAILED, error.worded(WORDS), time.perf_counter() - started)
        return Outcome(OutcomeKind.FINISHED, "", time.perf_counter() - started, report)

    def read(self, job: Job) -> argparse.Namespace:
        """The row's options, with the place of its result and the worker's device. Raises OptionError."""
        options = self._parser.read(job, self._maker.folder)
        if options.out is None:
            if self._maker.out_folder is None:
                raise OptionError("The row has no out: name the result in the column out, or give --out FOLDER.")
            if isinstance(options.video, UrlArgument):
                raise OptionError("The row has no out, which a clip with a URL needs: name the result in a column out.")
            options.out = str(self._maker.out_folder / options.video.stem)
        options.out = str(output_path(options.out, Codec(options.codec)))
        options.network = None  # the internet
        if self._maker.device is not None:
            options.device = self._maker.device
        return options

    def fingerprint(self, options: argparse.Namespace) -> str:
        """A digest of all that the row's result is made from."""
        settings = {
            name: _plain(value)
            for name, value in vars(options).items()
            if name not in WHERE_ONLY and value != self._plain.get(name)
        }
        return fingerprint({**settings, "out": options.out}, dict(_input_paths(options)))

    def key(self, options: argparse.Namespace) -> str:
        """The name of the row's record."""
        return job_key(Path(options.out))

    def is_finished(self, options: argparse.Namespace) -> bool:
        return self.records.finished(self.key(options), self.fingerprint(options)) is not None

    def _film(
        self, options: argparse.Namespace, key: str, made_from: str, on_progress: PhaseProgress
    ) -> tuple[Clip | None, FilmParts | None]:
        """The row's clip, where it has been read, and the parts of its work, where it is long and can be divided."""
        if self._film_parts is not None and self._film_parts[0] == (key, made_from):
            return self._film_parts[1:]
        self._film_parts = None
        limit = self._maker.split_over
        if not limit or not isinstance(options.video, Path) or any(_urls(options)):
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
        asked = sync_options(options)
        return film.tracking_parts(on_progress) or film.sampling_parts(
            self._loaded(asked.model, asked.load, on_progress), on_progress
        )

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
                asked = sync_options(options)
                film.sample(part, self._loaded(asked.model, asked.load, on_progress), on_progress)
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
            model = self._loaded(asked.model, asked.load, on_progress)
            in_parts = film.gather() if film is not None else {}
            report = sync(
                clip or options.video, options.audio, options.out, dataclasses.replace(asked, model=model), on_progress
            )
        kept = _kept(report)
        for stage, seconds in in_parts.items():
            kept["seconds"][stage] = kept["seconds"].get(stage, 0.0) + seconds
        output = report.output.absolute()
        self.records.write(key, JobRecord(FINISHED, made_from, str(output), file_facts(output), kept))
        self.records.remove_work(key)
        self._film_parts = None
        return kept

    def _loaded(self, model: object, load: LoadOptions, on_progress: PhaseProgress) -> LatentSyncModel:
        """The model of the row before where it is the same, which it mostly is."""
        wanted = (model, load)
        if self._model is None or self._model[0] != wanted:
            self._model = None  # two don't fit at once
            loaded = load_model(str(model), load, lambda done, total: on_progress("model", done, total))
            self._model = (wanted, loaded)
        return self._model[1]


def _kept(report: SyncReport) -> dict:
    """What the summary and the record hold of a report: not every frame of every face."""
    kept = {name: value for name, value in dataclasses.asdict(report).items() if name not in ("faces", "notes")}
    return {**kept, "output": str(report.output), "notes": [note.worded(WORDS) for note in report.notes]}


def _plain(value: object) -> object:
    """A value as a digest takes it: a URL hides its text from its repr."""
    if isinstance(value, UrlArgument):
        return value.text
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, Speaker):
        return [_plain(value.audio), value.choice, _plain(value.picture)]
    return value


def _urls(options: argparse.Namespace):
    """Every URL among a row's options."""
    for value in vars(options).values():
        for one in value if isinstance(value, list) else [value]:
            for part in (one.audio, one.picture) if isinstance(one, Speaker) else (one,):
                if isinstance(part, UrlArgument):
                    yield part


def _input_paths(options: argparse.Namespace):
    """Every file that a row reads: which of its options names it, and where it is."""
    for name, value in vars(options).items():
        if name in WHERE_ONLY:
            continue
        if name == "model":
            value = Path(value) if Path(value).exists() else None
        for number, one in enumerate(value if isinstance(value, list) else [value]):
            media = (one.audio, one.picture) if isinstance(one, Speaker) else (one,)
            for part, path in enumerate(media):
                if isinstance(path, Path):
                    yield f"{name} {number} {part}", path
