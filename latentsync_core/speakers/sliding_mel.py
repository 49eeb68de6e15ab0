"""SyncNet's mel windows of a recording of any length, of which only the samples around the present are held."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from ..evaluation.sync_mel import SYNCNET_FPS, mel_windows, sync_mel
from ..models.whisper.log_mel import SAMPLE_RATE

SAMPLES_PER_FRAME = SAMPLE_RATE // SYNCNET_FPS
STEP = 5  # frames, 16 columns: a stretch begins at a multiple, where frames and columns coincide
EDGE = 2 * STEP  # frames more to either side: a spectrum reaches 2 columns beyond, the pre-emphasis a sample


class SlidingMel:
    """Mel windows that begin at frames at 25 fps, to be asked for in about ascending order.

    Outside of the recording is silence, as in `mel_windows`.
    """

    def __init__(self, blocks: Iterable[torch.Tensor], frames: int, behind: int) -> None:
        """
        Args:
            blocks: the recording, (n,) float32 at 16 kHz each.
            frames: of a window.
            behind: frames by which a start may lie before the last one that was asked for.
        """
        self._blocks = iter(blocks)
        self._frames, self._behind = frames, behind
        self._held = torch.zeros(0)
        self._first = 0  # frame of the recording at which the held samples begin, a multiple of STEP

    def windows(self, starts: list[int]) -> torch.Tensor:
        """(len(starts), 1, 80, columns) float32, the windows from ascending starts.

        Raises:
            AudioError: the sound can't be read.
        """
        first = _stretch_start(starts[0])
        self._read_to((max(starts[-1], 0) + self._frames + EDGE) * SAMPLES_PER_FRAME)
        samples = self._held[(first - self._first) * SAMPLES_PER_FRAME :]
        mel = sync_mel(samples if len(samples) else torch.zeros(1))
        found = mel_windows(mel, [start - first for start in starts], self._frames)
        self._drop_before(_stretch_start(starts[-1] - self._behind))
        return found

    def _read_to(self, sample: int) -> None:
        parts, stop = [self._held], self._first * SAMPLES_PER_FRAME + len(self._held)
        while stop < sample and (block := next(self._blocks, None)) is not None:
            parts.append(block)
            stop += len(block)
        self._held = torch.cat(parts)

    def _drop_before(self, frame: int) -> None:
        if frame > self._first:
            self._held = self._held[(frame - self._first) * SAMPLES_PER_FRAME :].clone()
            self._first = frame


def _stretch_start(start: int) -> int:
    return max(start - EDGE, 0) // STEP * STEP
