"""Statistics of mouth openings and scores over clips, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

DRAWS = 1000  # of the bootstrap over clips
LAGS = range(-5, 6)  # frames


def bootstrap(
    by_clip: np.ndarray, statistic: Callable[[np.ndarray], float] = np.median, digits: int = 4
) -> list[float]:
    """A statistic of (clips, ...) values, and the two ends of its 95 % bootstrap interval over clips."""
    rng = np.random.default_rng(0)
    draws = [statistic(by_clip[rng.integers(0, len(by_clip), len(by_clip))]) for _ in range(DRAWS)]
    return [rounded(value, digits) for value in (statistic(by_clip), *np.percentile(draws, (2.5, 97.5)))]


def rounded(value: float, digits: int = 4) -> float:
    return round(float(value), digits)


def agreement(true: np.ndarray, seen: np.ndarray) -> dict[str, float | list[float]]:
    """Of openings (clips, n): Pearson's correlation pooled and by clip, the slope of the one on the other, the reading
    of closed mouths; intervals hold 95 % of bootstrap draws over clips."""
    by_clip = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(true, seen, strict=True)])
    pooled, *pooled_interval = bootstrap(np.stack([true, seen], 1), _pooled_correlation)
    median, *median_interval = bootstrap(by_clip)
    closed = seen[true == 0]
    return {
        "pooled": pooled, "pooled, 95 %": pooled_interval,
        "median clip": median, "median clip, 95 %": median_interval,
        "5th percentile": rounded(np.percentile(by_clip, 5)), "least": rounded(by_clip.min()),
        "slope": rounded(np.polyfit(true.ravel(), seen.ravel(), 1)[0], 3),
        "closed, median reading": rounded(np.median(closed)) if len(closed) else None,
    }  # fmt: skip


def correlation_per_clip(true: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each clip; 0 where one of the two doesn't move."""
    return np.array([_correlation(a, b) for a, b in zip(true, seen, strict=True)])


def mixing_weights(dubbed: np.ndarray, new: np.ndarray, old: np.ndarray) -> np.ndarray:
    """(clips, 2): how much of the new mouth and of the old one is in each drawn one, all (clips, n), by least squares.

    Other than two correlations, these tell apart what of an old mouth is seen and what both voices' mouths share.
    """
    found = [
        np.linalg.lstsq(np.column_stack([*mouths, np.ones(len(seen))]), seen, rcond=None)[0][:2]
        for seen, *mouths in zip(dubbed, new, old, strict=True)
    ]
    return np.array(found)


def best_lag(true: np.ndarray, seen: np.ndarray) -> int:
    """By how many frames `seen` comes late, as far as LAGS go."""
    reach = max(LAGS)
    middle = true[reach:-reach]
    return max(LAGS, key=lambda lag: _correlation(middle, seen[reach + lag : len(seen) - reach + lag]))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 1e-6 and b.std() > 1e-6 else 0.0


def _pooled_correlation(pairs: np.ndarray) -> float:
    """Pearson's correlation of all values of (clips, 2, n)."""
    return float(np.corrcoef(pairs[:, 0].ravel(), pairs[:, 1].ravel())[0, 1])
