"""What windows are denoised from: the latents of their frames, each encoded once, and windows of a kind together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from .windows import Window


@dataclass(frozen=True)
class WindowInputs:
    """One window, ready to be denoised; all tensors but `ends` as `denoise_windows` takes them of each window."""

    window: Window
    next_start: int  # the next window's first frame
    noise: torch.Tensor
    masked: torch.Tensor
    reference: torch.Tensor
    audio: torch.Tensor
    ends: torch.Tensor  # (2, 3, R, R) float32 in [0, 1] on the CPU: the crops of the first frame and of the last
    expression: float = 1.0  # see SamplerOptions.expression


class FrameLatents:
    """Encodes a source frame's crop once, masked and whole, for neighbouring windows that share it.

    Windows share frames where they overlap, and where the timeline holds a frame or plays backwards. Those frames are
    encoded each by itself, so that a resumed run, which may come to the later window first, comes to the same bits.
    Kept are the latents of the last window's frames alone.
    """

    def __init__(
        self, encode: Callable[[torch.Tensor], torch.Tensor], mask: torch.Tensor, windows: Sequence[Sequence[int]]
    ) -> None:
        """
        Args:
            encode: takes crops (n, 3, R, R) in [-1, 1] and gives (n, 4, h, w).
            mask: (R, R), 1 = keep.
            windows: the source frames of all windows in order.
        """
        self._encode = encode
        self._mask = mask
        self._windows = windows
        self._latents: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def of_window(self, number: int, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(f, 4, h, w) on the CPU each, of the masked and of the whole crops; `pixels` (f, 3, R, R) in [-1, 1]."""
        frames = self._windows[number]
        neighbours = (self._windows[at] for at in (number - 1, number + 1) if 0 <= at < len(self._windows))
        shared = set(frames).intersection(frame for neighbour in neighbours for frame in neighbour)
        self._latents = {frame: self._latents[frame] for frame in frames if frame in self._latents}
        place_of = {frame: place for place, frame in enumerate(frames) if frame not in self._latents}
        own = [frame for frame in place_of if frame not in shared]
        for part in (own, *([frame] for frame in place_of if frame in shared)):
            if part:
                crops = pixels[[place_of[frame] for frame in part]]
                masked, whole = self._encode((crops * self._mask).float()).cpu(), self._encode(crops).cpu()
                self._latents.update(zip(part, zip(masked, whole, strict=True), strict=True))
        masked, whole = zip(*(self._latents[frame] for frame in frames), strict=True)
        return torch.stack(masked), torch.stack(whole)


def in_batches(windows: Iterable[WindowInputs], size: int) -> Iterator[list[WindowInputs]]:
    """Joins up to `size` consecutive windows of one length and expression; none is made before it is needed."""
    batch: list[WindowInputs] = []
    for one in windows:
        if batch and _kind(batch[0]) != _kind(one):
            yield batch
            batch = []
        batch.append(one)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _kind(one: WindowInputs) -> tuple[int, float]:
    return len(one.window.frames), one.expression
