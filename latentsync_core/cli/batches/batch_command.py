"""The batch command: many jobs from one list, over the workers of this machine."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...batch.job_list import Job, read_job_list
from ...batch.job_records import JobRecords
from ...batch.local_workers import LocalWorkers
from ...batch.worklist import JobProgress, Outcome, OutcomeKind, Workers, run_jobs
from ...errors import LatentSyncError, OptionError, OutputError
from ...files.output_checks import check_target
from ...phases import phase_words
from ..wording import WORDS
from .batch_rows import given_urls, rooted
from .batch_summary import summary_data, summary_text
from .job_maker import JobMaker

if TYPE_CHECKING:
    from .batch_jobs import JobDoer

RECORDS_SUFFIX = ".batch"  # of the folder beside the list that holds what is finished
OWN_OPTIONS = (  # of the command, not of its rows
    "jobs", "records", "workers", "devices", "threads", "ray", "split_over", "dry_run", "json", "out", "command",
    "left", "network",
)  # fmt: skip
GPU_DEVICES = ("nvidia[0-9]*", "kfd", "dxg")  # in /dev: NVIDIA's, AMD's, and those of a Windows host


@dataclass(frozen=True)
class Batch:
    """A list of jobs and who does them."""

    jobs: list[Job]
    makers: list[JobMaker]  # one per worker of this machine


def plan_batch(options: argparse.Namespace) -> Batch:
    """Reads the list, and checks all that doesn't concern single rows.

    Raises:
        OptionError: no list, no jobs, two rows with one result, or no such device.
        OutputError: the folder of records can't be written to.
    """
    source = options.jobs
    jobs = read_job_list(source)
    folder = Path.cwd() if source.is_dir() else source.absolute().parent  # a folder's rows hold its name
    out_folder = None if options.out is None else Path(options.out).absolute()
    if out_folder is not None:
        _make_folder(out_folder)
    elif source.is_dir():
        raise OptionError(f"{source} is a folder of clips: give --out, a folder for the results.")
    records = (options.records or Path(f"{source.absolute()}{RECORDS_SUFFIX}")).absolute()
    JobRecords(records)
    _check_distinct_results(jobs, folder)
    # A worker may have another working directory.
    defaults = argparse.Namespace(
        **{
            name: rooted(name, value, len(value) if isinstance(value, list) else 1, Path.cwd())
            for name, value in vars(options).items()
            if name not in OWN_OPTIONS
        }
    )
    defaults.out = None
    devices = _devices(options.devices, options.workers)
    threads = options.threads or (max((os.cpu_count() or 1) // len(devices), 1) if len(devices) > 1 else None)
    split_over = options.split_over
    makers = [JobMaker(defaults, folder, out_folder, records, device, threads, split_over) for device in devices]
    return Batch(jobs, makers)


def run_batch(options: argparse.Namespace) -> int:
    """Does the jobs of a list; returns the exit code: 0, or 1 where a row failed."""
    batch = plan_batch(options)
    if options.dry_run:
        return _dry_run(batch, options.json)
    workers = LocalWorkers(batch.makers) if options.ray is None else _ray_workers(batch.makers[0], options)
    outcomes: list[tuple[Job, Outcome]] = []
    # Ray prints its machines' messages to standard output, which is the summary's.
    with redirect_stdout(sys.stderr), _BatchBar(len(batch.jobs), options.json) as bar:
        for job, outcome in run_jobs(batch.jobs, workers, bar.report):
            outcomes.append((job, outcome))
            bar.end(job, outcome)
    outcomes.sort(key=lambda one: one[0].number)
    print(json.dumps(summary_data(outcomes)) if options.json else summary_text(outcomes))
    return int(any(outcome.kind is OutcomeKind.FAILED for _, outcome in outcomes))


def _ray_workers(maker: JobMaker, options: argparse.Namespace) -> Workers:
    """Actors whose device is the GPU that Ray gives them, and whose folders are those of this machine."""
    from ...batch.ray_workers import RayWorkers

    if options.devices:
        raise OptionError("--devices doesn't go with --ray, which gives each worker a GPU: leave one of them out.")
    maker = dataclasses.replace(maker, threads=options.threads)
    return RayWorkers(maker, options.ray, options.workers, options.threads)


def _dry_run(batch: Batch, as_json: bool) -> int:
    """Says what a run would do, and what it would need; nothing is written but the folder of records."""
    doer = batch.makers[0]()
    rows, failed = [], 0
    for job in batch.jobs:
        row: dict[str, object] = {"row": job.number, "result": job.name}
        try:
            options = doer.read(job)
            row["result"] = options.out
            if doer.is_finished(options):
                row["plan"] = "skip: finished"
            else:
                check_target(Path(options.out))
                row |= _needs(doer, options)
                row["plan"] = "sync"
        except LatentSyncError as error:
            row |= {"plan": "fails", "error": error.worded(WORDS)}
            failed += 1
        rows.append(row)
    todo = [row for row in rows if row["plan"] == "sync"]
    frames = sum(int(str(row.get("frames", 0))) for row in todo)
    seconds = [row["seconds"] for row in todo if "seconds" in row]
    known = [float(str(one)) for one in seconds if one is not None]
    total = {
        "rows": len(rows),
        "to_do": len(todo),
        "finished": sum(row["plan"] == "skip: finished" for row in rows),
        "failing": failed,
        "frames": frames,
        "workers": len(batch.makers),
        "seconds": round(sum(known) / len(batch.makers), 1) if len(known) == len(seconds) else None,
        "bytes_free_for_work": shutil.disk_usage(batch.makers[0].records).free,
    }
    if as_json:
        print(json.dumps({"plan": total, "rows": rows}))
        return int(failed > 0)
    for row in rows:
        frames_text = f", {row['frames']} frames at {row['fps']} fps; {row['text']}" if "frames" in row else ""
        print(f"{row['row']:>5}  {row['plan']:14}  {row['result']}{frames_text}")
        if "error" in row:
            print(f"       {row['error']}")
    estimate = "unknown before a first run" if total["seconds"] is None else f"about {_clock(total['seconds'])}"
    print(
        f"{total['to_do']} of {len(rows)} rows to do with {total['workers']} workers: {frames} frames; time: {estimate}"
        f"; {total['bytes_free_for_work'] / 1e9:.1f} GB free for unfinished work"
    )
    return int(failed > 0)


def _needs(doer: JobDoer, options: argparse.Namespace) -> dict:
    """What a row's job would come to; nothing of one whose inputs are still to be downloaded."""
    if any(given_urls(options)):
        return {}
    plan, clip = doer.plan(options)
    facts = {"frames": clip.frame_count, "fps": str(clip.fps), "size": f"{clip.width}x{clip.height}"}
    return {**facts, **plan.data, "text": plan.text}


def _devices(devices: Sequence[str], workers: int | None) -> list[str | None]:
    """The device of each worker: those named in turn, else this machine's GPUs in turn, else each row's own."""
    if devices:
        count = len(devices) if workers is None else workers
        return [devices[number % len(devices)] for number in range(count)]
    cards = _card_count()
    count = workers or max(cards, 1)
    return [f"cuda:{number % cards}" for number in range(count)] if cards > 1 else [None] * count


def _card_count() -> int:
    """This machine's GPUs. PyTorch, which takes seconds to import, is asked only where a driver has any."""
    if sys.platform == "linux" and not any(any(Path("/dev").glob(pattern)) for pattern in GPU_DEVICES):
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _check_distinct_results(jobs: list[Job], folder: Path) -> None:
    row_of: dict[str, int] = {}
    for job in jobs:
        out = dict(job.settings).get("out")
        if out is None:
            continue
        path = os.path.normpath(folder / out)
        if path in row_of:
            raise OptionError(f"Rows {row_of[path]} and {job.number} would both write {out}: name another result.")
        row_of[path] = job.number


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise OutputError(f"Can't make the folder {folder} ({problem.strerror}): choose another --out.") from None


class _BatchBar:
    """One bar over all rows, with what each worker is at, and a line per row that has ended; on standard error."""

    def __init__(self, total: int, quiet: bool) -> None:
        from tqdm import tqdm

        self._is_quiet = quiet
        self._bar = tqdm(total=total, unit="row", disable=quiet)
        self._at: dict[Job, tuple[str, float]] = {}  # jobs and parts in hand: what is done there, and the share of it

    def report(self, job: Job, progress: JobProgress) -> None:
        share = progress.done / max(progress.total, 1)
        # That a part ended is not reported here, but its last progress is.
        self._at = {one: (text, at) for one, (text, at) in self._at.items() if one.part is None or at < 1}
        self._at[job] = f"{job.number}: {phase_words(progress.phase)} {share:.0%}", share
        self._bar.set_postfix_str("; ".join(text for text, _ in self._at.values()))

    def end(self, job: Job, outcome: Outcome) -> None:
        self._at = {one: at for one, at in self._at.items() if one.number != job.number}
        if outcome.kind is not OutcomeKind.SKIPPED and not self._is_quiet:
            self._bar.write(_line(job, outcome), file=sys.stderr)
        self._bar.update()

    def __enter__(self) -> _BatchBar:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bar.close()


def _line(job: Job, outcome: Outcome) -> str:
    after = f" ({outcome.text})" if outcome.text else f" in {_clock(outcome.seconds)}"
    return f"row {job.number}, {job.name}: {outcome.kind.value}{after}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min {rest:02} s"
