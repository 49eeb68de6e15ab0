"""A sound that is read once, of which any recent part can be had."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor


class SoundWindow:
    """Reads blocks of a sound as far as they are asked for, and forgets what lies further back than `kept`.

    Args:
        blocks: (n,) float32 each.
        kept: samples before the last part's beginning that later parts may begin at.
    """

    def __init__(self, blocks: Iterable[Tensor], kept: int) -> None:
        self._blocks, self._kept = iter(blocks), kept
        self._held, self._first = torch.zeros(0), 0  # samples, and the place of the first of them

    def part(self, begin: int, length: int) -> Tensor:
        """(length,) float32 from sample `begin` on; silence after the sound's end."""
        while True:
            forgotten = min(max(begin - self._kept - self._first, 0), len(self._held))
            self._held, self._first = self._held[forgotten:], self._first + forgotten
            block = next(self._blocks, None) if self._first + len(self._held) < begin + length else None
            if block is None:
                break
            self._held = torch.cat([self._held, block])
        found = self._held[max(begin - self._first, 0) : max(begin + length - self._first, 0)]
        return F.pad(found, (0, length - len(found)))
