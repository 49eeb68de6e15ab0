"""A sound read once, of which any recent part can be had."""

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
        while self._first + len(self._held) < begin + length:
            block = next(self._blocks, None)
            if block is None:
                break
            self._held = torch.cat([self._held, block])
        forgotten = max(begin - self._kept - self._first, 0)
        self._held, self._first = self._held[forgotten:], self._first + min(forgotten, len(self._held))
        at = max(begin - self._first, 0)
        found = self._held[at : at + length]
        return F.pad(found, (0, length - len(found)))
