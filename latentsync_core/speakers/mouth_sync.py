"""SyncNet over the mouths of a clip: sixteen frames at a time, against their own sound and sound far from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
import torch

from ..evaluation.syncnet import SyncNet
from ..faces.alignment.align import crop_size
from ..faces.detection.region import sample_reduced
from ..imaging import affine
from ..imaging.roi import Roi
from ..video.frame import Frame
from .sliding_mel import SlidingMel

HOP = 10  # steps of 1/25 s from one window to the next; windows of all mouths begin at its multiples
NEAR = (-2, 0, 2)  # steps by which the sound of a window is tried later: clips are out of sync by so much
EARLY, LATE = (-12, -10, -8), (8, 10, 12)  # steps at which nobody's lips fit; with HOP, other windows' NEAR ones
BATCH = 8  # windows that are embedded together
MAX_WAIT = 150  # steps from the first window of a batch to the last one, so that little sound is held


class MouthSync:
    """Collects the pictures of mouths step by step, and scores every window as soon as it is complete.

    Pictures and sound are held only as long as windows need them; of a window remain three numbers.
    """

    def __init__(self, net: SyncNet, blocks: Iterable[torch.Tensor], starts: Sequence[np.ndarray]) -> None:
        """
        Args:
            blocks: the sound, (n,) float32 at 16 kHz each; step 0 begins with its first sample.
            starts: of each mouth, (m,) the ascending steps at which its windows begin.
        """
        self._net, self._frames = net, net.config.frames
        reach = LATE[-1]
        self._mel = SlidingMel(blocks, self._frames, behind=2 * reach + self._frames + HOP)
        self._places = [{int(step): place for place, step in enumerate(steps)} for steps in starts]
        self._readings = [np.full((len(steps), 3), np.nan, np.float32) for steps in starts]
        self._pictures: list[dict[int, torch.Tensor]] = [{} for _ in starts]
        self._waiting: list[tuple[int, int, torch.Tensor]] = []  # mouth, start, (frames, 3, h, w)
        self._sound: dict[int, torch.Tensor] = {}  # embeddings by their window's start

    def add(self, mouth: int, step: int, picture: torch.Tensor) -> None:
        """Adds a mouth at a step, (3, h, w) as `mouth_picture` cuts it; steps come in ascending order."""
        pictures = self._pictures[mouth]
        pictures[step] = picture
        start = step - self._frames + 1
        if start in self._places[mouth]:
            self._waiting.append((mouth, start, torch.stack([pictures[at] for at in range(start, step + 1)])))
        pictures.pop(start, None)
        if len(self._waiting) >= BATCH or (self._waiting and step - self._waiting[0][1] > MAX_WAIT):
            self._score()

    def finish(self) -> list[np.ndarray]:
        """Of each mouth (m, 3) float32: each window's cosine at the best of NEAR, its means over EARLY and LATE."""
        if self._waiting:
            self._score()
        return self._readings

    def _score(self) -> None:
        starts = sorted({start for _, start, _ in self._waiting})
        self._embed_sound(sorted({start + offset for start in starts for offset in chain(EARLY, NEAR, LATE)}))
        pictures = torch.stack([window.flatten(0, 1) for _, _, window in self._waiting])  # n f 3 h w -> n (f 3) h w
        faces = self._net.embed_frames(pictures.to(next(self._net.parameters()))).float().cpu()
        for (mouth, start, _), face in zip(self._waiting, faces, strict=True):
            early, near, late = (
                torch.stack([self._sound[start + offset] for offset in offsets]) @ face
                for offsets in (EARLY, NEAR, LATE)
            )
            readings = float(near.max()), float(early.mean()), float(late.mean())
            self._readings[mouth][self._places[mouth][start]] = readings
        self._waiting = []
        self._sound = {start: value for start, value in self._sound.items() if start > starts[-1] - 2 * LATE[-1]}

    def _embed_sound(self, starts: list[int]) -> None:
        missing = [start for start in starts if start not in self._sound]
        for at in range(0, len(missing), BATCH):
            part = missing[at : at + BATCH]
            mel = self._mel.windows(part).to(next(self._net.parameters()))
            self._sound.update(zip(part, self._net.embed_mel(mel).float().cpu(), strict=True))


def mouth_picture(frame: Frame, transform: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """(3, height / 2, width) in [-1, 1]: the lower half of an aligned face, as SyncNet takes it.

    `transform` (2, 3) leads from displayed pixels to `crop_size(width)`, the crop before it is stretched to a square;
    `size` is SyncNet's, (height, width) of the whole face.
    """
    height, width = size
    crop_width, crop_height = crop_size(width)
    stretch = np.array([width / crop_width, height / crop_height])
    stretched = transform.astype(np.float64) * stretch[:, None]
    stretched[:, 2] += stretch / 2 - 0.5  # pixels' centres
    to_frame = affine.invert(stretched)
    pitch = float(np.sqrt(abs(np.linalg.det(to_frame[:, :2])) * frame.sample_aspect))
    picture = sample_reduced(frame, to_frame, Roi(0, height - height // 2, width, height), pitch)
    half = torch.zeros(3, height // 2, width) if picture is None else picture
    return half * 2 - 1
