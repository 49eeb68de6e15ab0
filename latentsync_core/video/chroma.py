"""Resamples between luma and chroma grids, by the format's siting.

Luma sample p belongs to block p // 2, whose chroma sample sits `offset` (0, 0.5 or 1) luma samples after 2 · block.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
import torch.nn.functional as F

TAPS_PER_PIXEL = 4  # source samples that a strongly reduced pixel is made of, each way; more costs time, not quality


@dataclass(frozen=True)
class ChromaSpan:
    """Chroma samples that a run of luma samples needs, with a neighbour on either side where the plane has one."""

    part: slice
    pad_before: bool
    pad_after: bool


def chroma_span(start: int, stop: int, shift: int, count: int) -> ChromaSpan:
    if not shift:
        return ChromaSpan(slice(start, stop), False, False)
    first, last = start // 2 - 1, (stop - 1) // 2 + 1
    return ChromaSpan(slice(max(first, 0), min(last, count - 1) + 1), first < 0, last >= count)


def upsample_chroma(samples: torch.Tensor, span: ChromaSpan, offset: float, dim: int) -> torch.Tensor:
    """Chroma of `span` → two samples a block along `dim`, linearly interpolated for where chroma sits."""
    samples = samples.transpose(dim, -1)
    if span.pad_before:
        samples = torch.cat([samples[..., :1], samples], -1)
    if span.pad_after:
        samples = torch.cat([samples, samples[..., -1:]], -1)
    before, own, after = samples[..., :-2], samples[..., 1:-1], samples[..., 2:]
    out = samples.new_empty((*own.shape[:-1], 2 * own.shape[-1]))
    if dim == -2:  # keep the memory order of the stored rows
        out = samples.new_empty((own.shape[0], 2 * own.shape[-1], own.shape[1])).transpose(1, 2)
    for phase in (0, 1):
        distance = (phase - offset) / 2  # in chroma samples
        neighbour = before if distance < 0 else after
        if distance == 0:
            out[..., phase::2] = own
        else:
            torch.lerp(own, neighbour, abs(distance), out=out[..., phase::2])
    return out.transpose(dim, -1)


def downsample_to_chroma(
    layers: torch.Tensor, start: int, stop: int, count: int, offset: float, dim: int
) -> torch.Tensor:
    """Luma samples start..stop-1 along `dim` → one a block, by the filter centred where chroma sits.

    Beyond the region samples count as 0 (they weigh nothing), beyond the picture's edge as the edge's.
    """
    taps = {0.0: ((-1, 0.25), (0, 0.5), (1, 0.25)), 0.5: ((0, 0.5), (1, 0.5)), 1.0: ((0, 0.25), (1, 0.5), (2, 0.25))}
    taps = taps[offset]
    blocks = (stop + 1) // 2 - start // 2
    first = 2 * (start // 2) + taps[0][0]
    last = 2 * (start // 2 + blocks - 1) + taps[-1][0]
    layers = layers.transpose(dim, -1)
    before, after = max(start - first, 0), max(last + 1 - stop, 0)
    pieces = [layers]
    if before:
        edge = layers[..., :1] if start == 0 else torch.zeros_like(layers[..., :1])
        pieces.insert(0, edge.expand(*edge.shape[:-1], before))
    if after:
        edge = layers[..., -1:] if stop == count else torch.zeros_like(layers[..., :1])
        pieces.append(edge.expand(*edge.shape[:-1], after))
    padded = torch.cat(pieces, -1) if len(pieces) > 1 else layers
    begins = [tap - taps[0][0] for tap, _ in taps]
    nearest, *others = (padded[..., begin : begin + 2 * blocks - 1 : 2] for begin in begins)
    out = nearest * taps[0][1]
    for samples, (_, weight) in zip(others, taps[1:], strict=True):
        out.add_(samples, alpha=weight)
    return out.transpose(dim, -1)


def any_in_block(written: torch.Tensor, start: int, dim: int) -> torch.Tensor:
    """Whether any luma sample of a block along `dim` is written; the first one is the picture's sample `start`."""
    count = written.shape[dim]
    pad = (start % 2, (start + count) % 2)
    written = F.pad(written, pad if dim == -1 else (0, 0, *pad))
    return written[..., 0::2] | written[..., 1::2] if dim == -1 else written[0::2] | written[1::2]


@functools.lru_cache(maxsize=64)
def resampling_weights(
    start: int, stop: int, count_out: int, count: int, shift: int, offset: float
) -> tuple[slice, torch.Tensor]:
    """Which samples of a plane's axis to take, and the (count_out, taken) float32 weights that resample them.

    Luma samples start..stop-1 become `count_out` pixels; `count` is the plane's own length, whose samples sit
    2^shift luma samples apart, the first at `offset`.
    """
    scale = (stop - start) / count_out  # luma samples a pixel
    pitch = 2**shift
    stride = max(int(scale / pitch / TAPS_PER_PIXEL), 1)
    half_width = max(scale, pitch * stride)  # half width of the triangle, in luma samples
    low = max(int((start - offset) // pitch), 0)
    high = min(int(-((stop - 1 - offset) // -pitch)), count - 1)
    if stride > 1:
        low = min(low + (stride - 1) // 2, high)
    taken = slice(low, high + 1, stride)
    positions = torch.arange(low, high + 1, stride, dtype=torch.float64) * pitch + offset
    centres = start - 0.5 + (torch.arange(count_out, dtype=torch.float64) + 0.5) * scale
    weights = (1 - (positions[None] - centres[:, None]).abs() / half_width).clamp_(min=0)
    empty = weights.sum(1) == 0  # beyond the last sample, at an edge: the nearest one stands in
    weights[empty, (positions[None] - centres[:, None]).abs().argmin(1)[empty]] = 1
    return taken, (weights / weights.sum(1, keepdim=True)).to(torch.float32)
