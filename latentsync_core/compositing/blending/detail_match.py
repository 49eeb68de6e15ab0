"""Matches a patch's sharpness and grain to the filmed skin around it, in the frame's own pixels.

Both pictures are split into a fine and a middle band. In the ring where the patch fades into the frame both show the
same skin: there each band's energy is compared. The noise is what the smoothest parts under the patch show, since the
ring may hold nothing but lines and edges. The patch's bands are then scaled, and what noise it still lacks is added,
for brightness and both colour differences apart.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..layer import Layer

LUMA = (0.2126, 0.7152, 0.0722)  # weights of R, G, B
RING = (0.02, 0.9)  # the alphas between which patch and frame are compared
MIN_RING_BLOCKS = 8
SMOOTH_SHARE = 0.05  # of what lies under the patch, the smoothest part: what it shows of a band is taken for noise
NOISE_WINDOW = 6  # pixels: side of the blocks in which that is measured
GAINS = (0.5, 1.7)  # by which a band is scaled at least and at most
MAX_NOISE = 0.04  # of the display range
TILE = 512  # pixels: side of the noise that grain is taken from, at a place that differs from frame to frame
INTERVAL = 3  # frames of a shot from one measurement to the next: focus and grain change slowly
RENEWAL = 0.4  # weight of the newest measurement in the measured energies, which are averaged over the frames of a shot
SMALLEST = 1e-5  # of the display range


class Energies(NamedTuple):
    """RMS of the bands in the ring, and of the noise under the patch; rows: fine and middle band."""

    filmed: np.ndarray  # (2,) brightness
    patch: np.ndarray
    filmed_noise: np.ndarray  # (2, 3) brightness and both colour differences
    patch_noise: np.ndarray


class DetailMatcher:
    """Matches the layers of one speaker, frame by frame; what it measures is averaged within a shot."""

    def __init__(self, strength: float) -> None:
        self._strength = strength
        self._stretch: tuple[int, int] | None = None
        self._shown = 0  # frames of the shot so far
        self._energies: Energies | None = None

    def matched(
        self, layer: Layer, filmed: Callable[[], Tensor], track: int, source_frame: int, segment: int = 0
    ) -> Layer:
        """`layer` with the sharpness and the grain of what lies under it.

        Args:
            filmed: gives the frame's own pixels in the layer's `roi`, (3, h, w) float32 in [0, 1]; asked for only in
                the frames that are measured.
            track: the face's; another one than the last frame's begins a new shot.
            source_frame: which of the clip's frames that is: the same frame gets the same grain.
            segment: where a clip was sampled by lines: another one begins a new shot, too.
        """
        if (track, segment) != self._stretch:
            self._stretch, self._energies, self._shown = (track, segment), None, 0
        patch_bands = _bands(_planes(layer.rgb))
        if self._energies is None or self._shown % INTERVAL == 0:
            energies = _energies(_bands(_planes(filmed())), patch_bands, layer.alpha)
            if energies is not None:
                self._energies = _averaged(self._energies, energies)
        self._shown += 1
        if self._energies is None:
            return layer
        gains, noise = corrections(self._energies)
        luma, red, blue = (torch.zeros_like(layer.alpha) for _ in range(3))
        for band in range(2):
            luma.add_(patch_bands[band][0], alpha=self._strength * float(gains[band] - 1))
            for plane, change in enumerate((luma, red, blue)):
                if noise[band, plane] > SMALLEST:
                    grain = _grain((source_frame, track, band, plane), layer.alpha.shape)
                    change.add_(grain, alpha=self._strength * float(noise[band, plane]))
        rgb = layer.rgb + luma
        rgb[0].add_(red)
        rgb[1].sub_(red, alpha=LUMA[0] / LUMA[1]).sub_(blue, alpha=LUMA[2] / LUMA[1])  # brightness stays
        rgb[2].add_(blue)
        return layer._replace(rgb=rgb.clamp_(0, 1))


def corrections(energies: Energies) -> tuple[np.ndarray, np.ndarray]:
    """(2,) the bands' gains, and (2, 3) the RMS of the noise that the patch lacks after them."""
    filmed, patch = (
        np.sqrt(np.maximum(whole**2 - noise[:, 0] ** 2, SMALLEST**2))
        for whole, noise in ((energies.filmed, energies.filmed_noise), (energies.patch, energies.patch_noise))
    )
    gains = np.clip(filmed / patch, *GAINS)
    own = energies.patch_noise * np.column_stack([gains, np.ones((2, 2))])
    lacking = np.sqrt(np.maximum(energies.filmed_noise**2 - own**2, 0))
    return gains, np.minimum(lacking, MAX_NOISE)


def _planes(rgb: Tensor) -> Tensor:
    """(3, h, w) RGB → brightness, and red and blue less brightness."""
    luma = (rgb[0] * LUMA[0]).add_(rgb[1], alpha=LUMA[1]).add_(rgb[2], alpha=LUMA[2])
    return torch.stack([luma, rgb[0] - luma, rgb[2] - luma])


def _bands(planes: Tensor) -> tuple[Tensor, Tensor]:
    """(3, h, w) → the fine and the middle band of each, of the same shape: two steps of the à trous wavelet."""
    soft = _blurred(planes, 1)
    softer = _blurred(soft, 2)
    return planes - soft, soft - softer


def _blurred(planes: Tensor, step: int) -> Tensor:
    """(..., h, w) weighted 1 2 1 along both axes with neighbours `step` pixels away; the edge's values go on."""
    for dim in (-1, -2):
        length = planes.shape[dim]
        inner = max(length - step, 0)
        total = planes * 0.5
        before, after = planes.narrow(dim, 0, inner), planes.narrow(dim, length - inner, inner)
        total.narrow(dim, length - inner, inner).add_(before, alpha=0.25)
        total.narrow(dim, 0, inner).add_(after, alpha=0.25)
        first, last = planes.narrow(dim, 0, 1), planes.narrow(dim, length - 1, 1)
        total.narrow(dim, 0, length - inner).add_(first, alpha=0.25)
        total.narrow(dim, inner, length - inner).add_(last, alpha=0.25)
        planes = total
    return planes


def _energies(filmed: tuple[Tensor, Tensor], patch: tuple[Tensor, Tensor], alpha: Tensor) -> Energies | None:
    """None where too little of the ring shows."""
    covered = alpha > RING[0]
    under, ring = (_mostly(part) for part in (covered, covered & (alpha < RING[1])))
    if int(ring.sum()) < MIN_RING_BLOCKS:
        return None
    rank = max(int(under.sum() * SMOOTH_SHARE), 1)
    whole, noise = [], []
    for bands in (filmed, patch):
        squares = torch.stack(bands).square_()  # (2, 3, h, w)
        local = F.avg_pool2d(squares, NOISE_WINDOW, ceil_mode=True)  # of blocks
        whole.append(local[:, 0, ring].mean(1).sqrt().numpy().astype(np.float64))
        noise.append(local[:, :, under].kthvalue(rank, dim=-1).values.sqrt().numpy().astype(np.float64))
    return Energies(whole[0], whole[1], noise[0], noise[1])


def _mostly(part: Tensor) -> Tensor:
    """The blocks of NOISE_WINDOW pixels a side that lie for the most part in `part` (h, w): bool."""
    return F.avg_pool2d(part[None].float(), NOISE_WINDOW, ceil_mode=True)[0] > 0.5


def _averaged(before: Energies | None, now: Energies) -> Energies:
    if before is None:
        return now
    return Energies(*(old + RENEWAL * (new - old) for old, new in zip(before, now, strict=True)))


def _grain(key: tuple[int, ...], size: Sequence[int]) -> Tensor:
    """(h, w) of noise with an RMS of 1 in one band; the same for the same key."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    top, left = (int.from_bytes(digest[part], "little") % TILE for part in (slice(0, 4), slice(4, 8)))
    tile = _noise_tiles()[key[2]]
    rows, columns = (
        torch.arange(start, start + length) % TILE for start, length in zip((top, left), size, strict=True)
    )
    return tile.index_select(0, rows).index_select(1, columns)


@functools.cache
def _noise_tiles() -> tuple[Tensor, Tensor]:
    """White noise in the fine and in the middle band, (TILE, TILE) each, with an RMS of 1; goes on at its edges."""
    white = torch.from_numpy(np.random.default_rng(0).standard_normal((TILE, TILE)).astype(np.float32))
    margin = 3  # pixels, as far as the filters reach
    padded = F.pad(white[None, None], (margin,) * 4, mode="circular")[0]
    fine, middle = (band[0, margin:-margin, margin:-margin] for band in _bands(padded))
    return fine / fine.square().mean().sqrt(), middle / middle.square().mean().sqrt()
