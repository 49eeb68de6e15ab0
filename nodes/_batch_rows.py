"""Rows of the Batch node: lists and media below ComfyUI's input folder, results below its output folder."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Collection
from pathlib import Path

from ..latentsync_core.batch.job_list import Job
from ..latentsync_core.cli.batches.batch_jobs import JobDoer
from ..latentsync_core.cli.batches.batch_rows import JobSettings, given_urls, input_paths
from ..latentsync_core.errors import OptionError
from ..latentsync_core.files.prefix import file_prefix
from ..latentsync_core.models.model import LatentSyncModel
from ..latentsync_core.phases import phase_words
from ..latentsync_core.progress import PhaseProgress
from ._comfy import TEXT_INTERVAL_SECONDS, Progress, is_below_input, make_folder, text_display
from ._managed_model import ManagedModel
from ._wording import words_on

COLUMNS = (  # settings of a row: none of them names a place to write to but "out", and none a model or a key
    "video", "audio", "out", "face", "speaker", "start", "end", "seed", "expression", "length", "region", "pauses",
    "mux-audio", "original-audio", "lines", "fps",
)  # fmt: skip
RECORDS = ".batch"  # folder beside the results that holds what is finished
SHARES = {"faces": 20, "speakers": 4, "voice": 3, "sampling": 60, "compositing": 13}  # percent of a row's time


class RowDoer(JobDoer):
    """Does rows with the graph's model, as the command line's batch does them; reads and writes only where it may.

    Args:
        defaults: the settings of rows that give none.
        folder: from which a list's relative paths start.
        results: the folder of the results.
        inputs: of the node that reports mistakes.
    """

    def __init__(
        self,
        model: ManagedModel,
        defaults: argparse.Namespace,
        folder: Path,
        results: Path,
        inputs: Collection[str],
    ) -> None:
        defaults.model = f"{model.name} {model.model.digest}"  # of the graph: known by what it is, not by a name
        self._results, self._managed = results, model
        self._row_of: dict[str, int] = {}  # result → the row that writes it
        super().__init__(JobSettings(defaults, folder, results, results / RECORDS), self._ready_model, words_on(inputs))

    def read(self, job: Job) -> argparse.Namespace:
        """The row's options. OptionError: a setting or a path that a row may not have."""
        for name, _ in job.settings:
            if name not in COLUMNS:
                raise OptionError(f"There is no column {name!r} here; a row may have {', '.join(COLUMNS)}.")
        named = ((name, self._result(value) if name == "out" else value) for name, value in job.settings)
        options = super().read(dataclasses.replace(job, settings=tuple(named)))
        if any(given_urls(options)):
            raise OptionError("A row names a URL; download the file into ComfyUI's input folder.")
        for _, path in input_paths(options):
            if not is_below_input(path):
                raise OptionError(f"{path} lies outside of ComfyUI's input folder; put it there.")
        if self._row_of.setdefault(options.out, job.number) != job.number:
            raise OptionError(f"Row {self._row_of[options.out]} writes {Path(options.out).name} too; name another out.")
        make_folder(Path(options.out).parent)
        return options

    def _result(self, name: str) -> str:
        """The path of a result that a row names."""
        return str(self._results / file_prefix(name, name="out"))

    def _ready_model(self, options: argparse.Namespace, _on_progress: PhaseProgress) -> LatentSyncModel:
        """The model with its U-Net and Whisper on the device: a row's phases follow each other without a node."""
        self._managed.load_unet(options.window * options.window_batch, True)
        return self._managed.load_whisper()


class RowProgress:
    """A row's progress on the node's bar, which is that of all rows; raises ComfyUI's interrupt."""

    def __init__(self, progress: Progress, rows: int) -> None:
        self._report, self._rows = progress.phase(), rows
        self._place, self._name, self._shown_at = 0, "", -1e9

    def begin(self, place: int, job: Job) -> None:
        """Row number `place` from 0 begins."""
        self._place, self._name = place, job.name
        self._report(100 * place, 100 * self._rows)

    def __call__(self, phase: str, done: int, total: int) -> None:
        phases = list(SHARES)
        before = sum(SHARES[name] for name in phases[: phases.index(phase)]) if phase in SHARES else 0
        percent = before + SHARES.get(phase, 0) * done / max(total, 1)
        self._report(round(100 * self._place + percent), 100 * self._rows)
        if time.monotonic() - self._shown_at >= TEXT_INTERVAL_SECONDS and (show := text_display()):
            self._shown_at = time.monotonic()
            show(f"Row {self._place + 1} of {self._rows}, {self._name}: {phase_words(phase)}")
