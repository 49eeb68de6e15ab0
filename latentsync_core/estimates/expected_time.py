"""The time that work is expected to take, from the last runs of its kind on this machine.

A kind of work takes so many seconds for each unit of each of its amounts. What the units cost relative to each other is
known roughly (`SHARES`), so that a single run tells what all of them cost here; further runs correct it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .timings import Run, Work

# Of each kind, what a unit of each amount costs relative to the others: milliseconds on one core of a CPU, rounded, as
# `python -m benchmarks.estimates --cpu-time --shares` measured them.
SHARES: dict[str, dict[str, float]] = {
    "faces": {"clips": 250.0, "frames": 1.0, "megapixels": 22.0, "faces": 20.0},
    "speakers": {"frames": 1.0},
    "voice": {"segments": 400.0, "seconds": 2.0},
    "crops": {"pictures": 2.0, "megapixels": 10.0},
    "encode": {"pictures": 1.0},
    "denoise": {"passes": 1.0},
    "decode": {"patches": 1.0},
    "paste": {"frames": 1.0, "megapixels": 15.0, "patches": 20.0},
    "write": {"frames": 0.3, "megapixels": 1.1},
}
# Kinds that take about as long with another setup: where none of the work's own is known, runs with any are taken.
ANY_SETUP = ("faces", "speakers", "voice", "crops", "paste", "write")
TRUST = 0.5  # in the shares, as a standard deviation: a unit may well cost half as much, or half as much again
NOISE = 0.15  # of a measured time, likewise: the machine does other work, too


def expected_seconds(work: Work, timings: Mapping[str, Sequence[Run]]) -> float | None:
    """The seconds that `work` will take; None where no run of its kind is known."""
    runs, units = timings.get(work.key, ()), list(SHARES[work.kind])
    if not runs and work.kind in ANY_SETUP:
        runs = [run for key, each in timings.items() if key.split(" ")[0] == work.kind for run in each]
    if not runs:
        return None
    return float(_row(work.amounts, units) @ _unit_costs(runs, units, np.array([SHARES[work.kind][u] for u in units])))


def _row(amounts: Mapping[str, float], units: Sequence[str]) -> np.ndarray:
    return np.array([amounts.get(unit, 0.0) for unit in units])


def _unit_costs(runs: Sequence[Run], units: Sequence[str], shares: np.ndarray) -> np.ndarray:
    """(u,) seconds a unit, 0 or more: the least squares of what the runs measured and of the shares' ratios.

    Both are relative, so that short runs count as much as long ones.
    """
    amounts = np.stack([_row(run.amounts, units) for run in runs])  # (runs, units)
    seconds = np.array([run.seconds for run in runs])
    by_shares = amounts @ shares
    usable = by_shares > 0
    if not usable.any():
        return np.zeros(len(units))
    amounts, seconds, by_shares = amounts[usable], seconds[usable], by_shares[usable]
    scaled = shares * np.median(seconds / by_shares)
    # Unknown are the units' costs as factors of `scaled`.
    rows = np.concatenate([amounts * scaled / seconds[:, None] / NOISE, np.eye(len(units)) / TRUST])
    wanted = np.concatenate([np.ones(len(seconds)) / NOISE, np.ones(len(units)) / TRUST])
    factors, *_ = np.linalg.lstsq(rows, wanted, rcond=None)
    return np.maximum(factors, 0) * scaled
