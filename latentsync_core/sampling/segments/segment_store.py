"""Finished patches by segment: each segment has a store of its own, so that another take of one leaves the others."""

from __future__ import annotations

import hashlib
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ...files.scratch import ScratchFolder
from ..patch_store import PatchKind, PatchStore
from .segment_voice import SegmentVoice
from .segments import Segments

MAX_OPEN = 16  # stores whose files are open; a film has thousands of lines


def segment_keys(common: str, segments: Segments, voice: SegmentVoice) -> list[str]:
    """The keys of the segments' stores: `common`, a digest without any line's settings and sound, and their own."""
    own = (
        f"{common} {one.start} {one.stop} {one.options.seed} {one.options.expression} {voice.digest_of(number)}"
        for number, one in enumerate(segments.segments)
    )
    return [hashlib.sha256(text.encode()).hexdigest()[:32] for text in own]


class SegmentStore:
    """The patches of all output frames, as `PatchStore`, kept under a key for each segment.

    Args:
        keys: a digest for each segment of all that its patches depend on; kept as an attribute.
        segments: the ranges of frames.
        shape: of one patch.
        folder: where to keep the files; None: a temporary place.
    """

    kind = PatchKind.LATENTS

    def __init__(self, keys: Sequence[str], segments: Segments, shape: tuple[int, ...], folder: Path | None) -> None:
        self.frames, self.shape = len(segments.numbers), tuple(shape)
        self.keys, self._segments = tuple(keys), segments
        temporary = None
        if folder is None:
            temporary = ScratchFolder()
            folder = temporary.path
        self._folder = folder
        self._open: OrderedDict[int, PatchStore] = OrderedDict()
        self._finalize = weakref.finalize(self, _close, self._open, temporary)
        self.finished = np.zeros(self.frames, bool)
        try:
            for number, one in enumerate(segments.segments):
                # Only those that are there: what is never sampled needs no files.
                if one.enabled and (folder / f"{self.keys[number]}.patches").is_file():
                    self.finished[one.start : one.stop] = self._store(number).finished
        except BaseException:
            self.close()
            raise

    def put(self, frame: int, patch: torch.Tensor) -> None:
        """See `PatchStore.put`."""
        number = int(self._segments.numbers[frame])
        self._store(number).put(frame - self._segments.segments[number].start, patch)
        self.finished[frame] = True

    def get(self, frames: Sequence[int]) -> torch.Tensor:
        """See `PatchStore.get`."""
        patches = []
        for frame in frames:
            number = int(self._segments.numbers[frame])
            patches.append(self._store(number).get([frame - self._segments.segments[number].start]))
        return torch.cat(patches)

    def close(self) -> None:
        """Closes the files; a temporary store's are removed. Closing again does nothing."""
        self._finalize()

    def __enter__(self) -> SegmentStore:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _store(self, number: int) -> PatchStore:
        store = self._open.get(number)
        if store is None:
            one = self._segments.segments[number]
            store = PatchStore(self.keys[number], one.stop - one.start, self.shape, folder=self._folder)
            self._open[number] = store
            if len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(number)
        return store


def _close(stores: OrderedDict[int, PatchStore], temporary: ScratchFolder | None) -> None:
    for store in stores.values():
        store.close()
    stores.clear()
    if temporary:
        temporary.close()
