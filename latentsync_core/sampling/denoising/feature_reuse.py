"""Reuse of the U-Net's deep features from step to step, decided for each window by itself.

What a window comes to therefore doesn't depend on those that are sampled beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


class FeatureReuse:
    """One window's deep features, and the step at which they have to be computed again."""

    def __init__(self, interval: int, max_change: float = 0.0) -> None:
        """
        Args:
            interval: steps from one computation to the next, at most; 1 reuses nothing.
            max_change: how far features may have changed while they are reused, relative to their size; 0 sets no
                limit. What they will have changed by is told by their rate of change between the last two computations.
        """
        self._interval = interval
        self._max_change = max_change
        self._features: list[Tensor] = []
        self._computed_at = 0
        self._due_at = 0

    def is_due(self, step: int, halves: int) -> bool:
        """Whether `step` has to compute them: their time is over, or there are none of guidance's other half."""
        return step >= self._due_at or halves > len(self._features)

    def features(self, halves: int) -> list[Tensor]:
        """Those kept last, of the conditional half alone or of both, the conditional one last."""
        return self._features[-halves:]

    def keep(self, step: int, features: Sequence[Tensor]) -> None:
        """Takes what `step` computed of each half, (f, channels, h, w), the conditional one last."""
        self._due_at = step + 1 + self._reused_steps(step, features[-1])
        self._features = list(features)
        self._computed_at = step

    def _reused_steps(self, step: int, conditional: Tensor) -> int:
        """After how many more steps they will have changed too much."""
        longest = self._interval - 1
        if not self._max_change or not longest:
            return longest
        if not self._features:
            return 0  # a rate of change takes two
        change = relative_change(conditional, self._features[-1])
        if change == 0:
            return longest
        reused = self._max_change * (step - self._computed_at) / change
        return int(min(reused, longest)) if reused > 0 else 0  # none where values are no numbers


def relative_change(now: Tensor, before: Tensor) -> float:
    """The mean absolute difference, as a share of the mean absolute value."""
    return float((now.float() - before.float()).abs().mean() / now.float().abs().mean())
