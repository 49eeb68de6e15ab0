"""What a batch came to: a table for people, and the same as data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...batch.job_list import Job
from ...batch.worklist import Outcome, OutcomeKind

COLUMNS = ("row", "result", "outcome", "frames", "synced", "seconds")
COUNTED = (OutcomeKind.FINISHED, OutcomeKind.SKIPPED, OutcomeKind.FAILED)  # how a row ends


def summary_data(outcomes: Sequence[tuple[Job, Outcome]]) -> dict:
    """The counts of a batch's rows, and of each row its outcome and report; as JSON takes them."""
    counts = {kind.value: 0 for kind in OutcomeKind if kind in COUNTED}
    for _, outcome in outcomes:
        counts[outcome.kind.value] += 1
    rows = [
        {
            "row": job.number,
            "outcome": outcome.kind.value,
            "error": outcome.text or None,
            "wall_seconds": round(outcome.seconds, 3),
            **outcome.report,
        }
        for job, outcome in outcomes
    ]
    return {**counts, "rows": rows}


def summary_text(outcomes: Sequence[tuple[Job, Outcome]]) -> str:
    """A table of all rows, the reasons of those that failed, and a last line with the counts."""
    table: list[tuple[str, ...]] = [COLUMNS]
    for job, outcome in outcomes:
        report = outcome.report
        table.append((
            str(job.number), Path(report.get("output", job.name)).name, outcome.kind.value,
            str(report.get("frames", "")), str(report.get("synced_frames", "")),
            f"{outcome.seconds:.1f}" if outcome.kind is OutcomeKind.FINISHED else "",
        ))  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if number in (1, 2) else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
    for job, outcome in outcomes:
        if outcome.kind is OutcomeKind.FAILED:
            lines.append(f"row {job.number}: {outcome.text}")
    counts = summary_data(outcomes)
    lines.append(f"{counts['finished']} finished, {counts['skipped']} skipped, {counts['failed']} failed")
    return "\n".join(lines)
