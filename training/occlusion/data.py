"""Faces with and without occluders, and their masks: the occlusion network's training data.

Faces are the rendered speakers' crops (`takes`), two frames of one person each: now, and the portrait. What lies
before them comes from a bank of painted occluders, or is a scrap of another picture, a shape of two colours, a piece of
the face's own skin. Pictures are bent, tinted, lit and blurred far beyond what drawn faces show, since photographs are
what counts. Every batch follows from the seed and its step's number alone.
"""

from __future__ import annotations

import functools
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from latentsync_core.faces.occlusion import INPUT_SIZE, SKIPPED_ROWS

from ..paths import CACHE
from ..synthetic.degrade import jpeg
from ..synthetic.occluders.objects import OCCLUDER_MAGNIFICATION, sample_occluder
from ..synthetic.occluders.solids import draw_bodies

OCCLUDER_EXTENT = 1.5  # crop sides that a painted occluder's picture covers, the crop in its middle
OCCLUDER_SIZE = 120  # pixels of those pictures, both ways: squeezed as crops are
PIXELS_PER_HEAD_UNIT = (
    65.6 / 96 * OCCLUDER_SIZE / OCCLUDER_EXTENT
)  # pixels across per head unit: the brows are 0.8 of one apart
CROP_ASPECT = 0.75  # a crop's width by its height before it was squeezed
MOUTH = (0.5, 0.6)  # in crop sides, where mouths lie
OCCLUDED_SHARE = 0.6  # share of the faces with something before them
NOISE_TABLE_SIZE = 1 << 21  # values
HELD_OUT_CLIPS = 60  # the last clips, which show 30 people: never trained with

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Batch:
    """Crops and portraits (n, 3, 48, 64) in [0, 1], as the network views them, and masks (n, 48, 64) in [0, 1]."""

    crops: Tensor
    portraits: Tensor
    masks: Tensor


def occluder_bank(count: int, folder: Path = CACHE, first: int = 0) -> np.ndarray:
    """(count, 4, 120, 120) uint8: occluders of the seeds from `first` on, straight colours and alpha, kept on disk."""
    path = folder / f"occluders-{first}-{count}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part.npy")
        bank = np.lib.format.open_memmap(
            partial, mode="w+", dtype=np.uint8, shape=(count, 4, OCCLUDER_SIZE, OCCLUDER_SIZE)
        )
        for number in range(count):
            bank[number] = _render_occluder(first + number)
            if number % 500 == 499:
                logger.info("%d of %d occluders painted", number + 1, count)
        bank.flush()
        partial.replace(path)
    return np.load(path, mmap_mode="r")


def make_batch(crops: np.ndarray, bank: np.ndarray, step: int, seed: int, count: int) -> Batch:
    """The batch of this step: `count` of the people's `crops` (people, frames, 3, 128, 128) uint8."""
    rng = np.random.default_rng((49979687, seed, step))
    people = rng.integers(len(crops), size=count)
    frames = rng.integers(crops.shape[1], size=(count, 2))
    chosen = np.stack([crops[p, f] for p, f in zip(people, frames, strict=True)])  # (n, 2, 3, 128, 128)
    # two pixels each way into one, as the network's view has them
    faces = F.avg_pool2d(torch.from_numpy(chosen).flatten(0, 1).float(), 2).unflatten(0, (count, 2)) / 255
    current, portrait = _warp_pair(faces, rng)
    current, portrait = _jitter_appearance(current, portrait, rng)
    covered = torch.from_numpy(rng.random(count) < OCCLUDED_SHARE)
    layer, alpha = _make_occluders(current, bank, rng)
    current = _composite(current, layer, alpha * covered[:, None, None], rng)
    masks = alpha * covered[:, None, None]
    # Where the portrait has the same or another thing before it, its looks alone must tell; a bare face stays one.
    also = torch.from_numpy(rng.random(count) < 0.12)[:, None, None]
    other = torch.from_numpy(rng.random(count) < 0.5)[:, None, None]
    order = torch.from_numpy(rng.permutation(count))
    moved = tuple(int(v) for v in rng.integers(-2, 3, 2))
    portrait_alpha = torch.where(other, alpha[order], alpha.roll(moved, (1, 2))) * also
    portrait_layer = torch.where(other[:, None], layer[order], layer.roll(moved, (2, 3)))
    portrait = portrait * (1 - portrait_alpha[:, None]) + portrait_layer * portrait_alpha[:, None]
    current, portrait = _jitter_capture(current, portrait, rng)
    return Batch(current, portrait, masks)


def _render_occluder(seed: int) -> np.ndarray:
    occluder = sample_occluder(seed)
    x, y = (OCCLUDER_SIZE * (0.5 + (at - 0.5) / OCCLUDER_EXTENT) for at in MOUTH)
    off_x, off_y = occluder.place(0.5)
    high = round(OCCLUDER_SIZE / CROP_ASPECT)
    at = (x + off_x * PIXELS_PER_HEAD_UNIT, y / CROP_ASPECT + off_y * PIXELS_PER_HEAD_UNIT)
    out = np.zeros((4, high, OCCLUDER_SIZE), np.float32)
    drawn = draw_bodies(
        occluder.bodies, *at, PIXELS_PER_HEAD_UNIT * OCCLUDER_MAGNIFICATION, occluder.light, (OCCLUDER_SIZE, high), 0
    )
    if drawn is not None:
        height, width = drawn.alpha.shape
        out[:3, drawn.top : drawn.top + height, drawn.left : drawn.left + width] = drawn.rgb
        out[3, drawn.top : drawn.top + height, drawn.left : drawn.left + width] = drawn.alpha
    out[:3] *= out[3]
    small = F.interpolate(torch.from_numpy(out)[None], (OCCLUDER_SIZE, OCCLUDER_SIZE), mode="bilinear", antialias=True)[
        0
    ].numpy()
    small[:3] /= np.maximum(small[3], 1e-3)
    return (small.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def _uniform(rng: np.random.Generator, low: float, high: float, *shape: int) -> Tensor:
    return torch.from_numpy(rng.uniform(low, high, shape).astype(np.float32))


def _normal(rng: np.random.Generator, *shape: int) -> Tensor:
    """Normal noise; much of it comes from one long tape at a random place, which is faster than to throw it."""
    count = math.prod(shape)
    if count < 1000:
        return torch.from_numpy(rng.standard_normal(shape, np.float32))
    place = int(rng.integers(NOISE_TABLE_SIZE - count))
    return _noise_table()[place : place + count].view(shape)


@functools.cache
def _noise_table() -> Tensor:
    return torch.from_numpy(np.random.default_rng(67867967).standard_normal(NOISE_TABLE_SIZE, np.float32))


def _low_pass(pictures: Tensor, times: int) -> Tensor:
    """(n, c, h, w) seen through that many times fewer pixels."""
    small = F.avg_pool2d(pictures, times)
    return F.interpolate(small, pictures.shape[-2:], mode="bilinear", align_corners=False)


def _bernoulli(rng: np.random.Generator, share: float, count: int) -> Tensor:
    """(count, 1, 1, 1) of 0 and 1."""
    return torch.from_numpy((rng.random(count) < share).astype(np.float32))[:, None, None, None]


def _smooth_noise(
    rng: np.random.Generator, count: int, channels: int, cells: tuple[int, int], size: tuple[int, int]
) -> Tensor:
    """(count, channels, height, width): random values on a lattice, made smooth."""
    return F.interpolate(_normal(rng, count, channels, *cells), size, mode="bilinear", align_corners=True)


def _view_grid(count: int) -> Tensor:
    """(count, 48, 64, 2): where the network's pixels lie in a crop, x y from -1 to 1."""
    y = (torch.arange(SKIPPED_ROWS, INPUT_SIZE) + 0.5) / INPUT_SIZE * 2 - 1
    x = (torch.arange(INPUT_SIZE) + 0.5) / INPUT_SIZE * 2 - 1
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([columns, rows], -1).expand(count, -1, -1, -1)


def _random_affine(grid: Tensor, rng: np.random.Generator, shift: float, turn: float, grow: float) -> Tensor:
    """The grid moved, turned and scaled by normal amounts of those spreads."""
    count = len(grid)
    angle = _normal(rng, count, 1, 1) * turn
    scale = torch.exp(_normal(rng, count, 1, 1) * grow)
    x, y = grid[..., 0] * scale, grid[..., 1] * scale
    turned = torch.stack([x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()], -1)
    return turned + _normal(rng, count, 1, 1, 2) * shift


def _sample_grid(pictures: Tensor, grid: Tensor, padding: str = "border") -> Tensor:
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def _warp_pair(faces: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Both pictures (n, 2, 3, 128, 128) as the network views them: bent alike to other faces, and apart a little."""
    count = len(faces)
    grid = _view_grid(count)
    shared = _random_affine(grid, rng, 0.05, 0.06, 0.07)
    size = tuple(grid.shape[1:3])
    shared = shared + (_smooth_noise(rng, count, 2, (4, 5), size) * _uniform(rng, 0, 0.05, count, 1, 1, 1)).permute(
        0, 2, 3, 1
    )
    mirror = 1 - 2 * _bernoulli(rng, 0.5, count)[..., 0]
    apart = _random_affine(grid, rng, 0.025, 0.03, 0.025) - grid
    apart = apart + (_smooth_noise(rng, count, 2, (5, 6), size) * _uniform(rng, 0, 0.03, count, 1, 1, 1)).permute(
        0, 2, 3, 1
    )
    both = []
    for number, view in enumerate((shared + apart, shared)):
        view = torch.stack([view[..., 0] * mirror, view[..., 1]], -1)
        both.append(_sample_grid(faces[:, number], view))
    return both[0], both[1]


def _jitter_appearance(current: Tensor, portrait: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Other colours, other skin, the same for both."""
    count, _, height, width = current.shape
    mix = torch.eye(3) + _normal(rng, count, 3, 3) * 0.1 * _bernoulli(rng, 0.5, count)[..., 0]
    gamma = torch.exp(_normal(rng, count, 1, 1, 1) * 0.3)
    gain = torch.exp(_normal(rng, count, 3, 1, 1) * 0.12)
    grain = (
        _normal(rng, count, 1, height, width) * 0.04 + _smooth_noise(rng, count, 1, (24, 32), (height, width)) * 0.05
    )
    blotch = _smooth_noise(rng, count, 1, (6, 8), (height, width)) * 0.12
    texture = 1 + (grain * _uniform(rng, 0, 1.2, count, 1, 1, 1) + blotch * _uniform(rng, 0, 1, count, 1, 1, 1))
    # Colour drains away in part, to grey footage.
    drained = _uniform(rng, 0, 1, count, 1, 1, 1) * _bernoulli(rng, 0.25, count)
    out = []
    for picture in (current, portrait):
        picture = torch.einsum("nij,njhw->nihw", mix, picture).clamp(0.001, 1) ** gamma * gain * texture
        out.append((picture + drained * (picture.mean(1, keepdim=True) - picture)).clamp(0, 1))
    return out[0], out[1]


def _make_occluders(faces: Tensor, bank: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Something for every face: colours (n, 3, 48, 64) and alpha (n, 48, 64)."""
    count, _, height, width = faces.shape
    chosen = bank[np.sort(rng.integers(len(bank), size=count))]
    painted = torch.from_numpy(np.array(chosen)).float() / 255
    grid = _random_affine(_view_grid(count), rng, 0.28, 0.25, 0.2) / OCCLUDER_EXTENT
    mirror = 1 - 2 * _bernoulli(rng, 0.5, count)[..., 0]
    grid = torch.stack([grid[..., 0] * mirror, grid[..., 1]], -1)
    drawn = _sample_grid(torch.cat([painted[:, :3] * painted[:, 3:], painted[:, 3:]], 1), grid, "zeros")
    alpha = drawn[:, 3].clamp(0, 1)
    color = drawn[:, :3] / alpha[:, None].clamp(min=1e-3)
    # Half of them take the mean colour of the face's cheeks: a hand is mostly the person's own.
    weight = alpha[:, None] + 1e-4
    mean = (color * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True)
    skin = faces[:, :, 8:30, 14:50].flatten(2).median(2).values[..., None, None]
    ratio = (skin / mean.clamp(min=0.02)).clamp(0.1, 6) * torch.exp(_normal(rng, count, 3, 1, 1) * 0.06)
    ratio = ratio * torch.exp(_normal(rng, count, 1, 1, 1) * 0.2)
    own = _bernoulli(rng, 0.5, count)
    color = color * (own * ratio + (1 - own))
    shape_color, shape_alpha = _shapes(faces, skin, rng)
    shaped = _bernoulli(rng, 0.35, count)
    color = color * (1 - shaped) + shape_color * shaped
    alpha = alpha * (1 - shaped[:, 0]) + shape_alpha * shaped[:, 0]
    texture = 1 + _normal(rng, count, 1, height, width) * _uniform(rng, 0, 0.08, count, 1, 1, 1)
    return (color * texture).clamp(0, 1), alpha


def _shapes(faces: Tensor, skin: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Blobs, bars, edges and ovals, filled with scraps of other faces, of this one's skin, or with two colours."""
    count, _, height, width = faces.shape
    grid = _view_grid(count)
    x, y = grid[..., 0], grid[..., 1] * (1 / CROP_ASPECT)
    angle = _uniform(rng, 0, 2 * np.pi, count, 1, 1)
    u = x * angle.cos() + y * angle.sin() - _uniform(rng, -0.6, 0.6, count, 1, 1)
    v = y * angle.cos() - x * angle.sin() - _uniform(rng, -0.6, 0.6, count, 1, 1) - 0.3 * angle.cos()
    ragged = _smooth_noise(rng, count, 1, (7, 9), (height, width))[:, 0] * _uniform(rng, 0, 0.12, count, 1, 1)
    wide, high = _uniform(rng, 0.06, 0.5, count, 1, 1), _uniform(rng, 0.06, 0.6, count, 1, 1)
    kinds = torch.stack([
        wide - u.abs() + ragged * wide * 3,  # a bar
        u - 0.15 + ragged,  # an edge
        (1 - torch.hypot(u / wide, v / high)) * torch.minimum(wide, high) + ragged,  # an oval
        torch.minimum(wide - u.abs(), high - v.abs()) + 0.3 * ragged,  # a rectangle
        _smooth_noise(rng, count, 1, (4, 5), (height, width))[:, 0] * 0.3 - 0.2,  # blobs
    ])  # fmt: skip
    kind = torch.from_numpy(rng.choice(5, count, p=(0.2, 0.2, 0.25, 0.15, 0.2)))
    inside = kinds[kind, torch.arange(count)]
    alpha = (inside / _uniform(rng, 0.02, 0.1, count, 1, 1) + 0.5).clamp(0, 1)
    order = torch.from_numpy(np.roll(np.arange(count), int(rng.integers(1, count))))
    scrap = _sample_grid(faces[order], _random_affine(grid, rng, 0.3, 1.0, 0.4), "reflection")
    patch = (
        grid * _uniform(rng, 0.1, 0.35, count, 1, 1, 1)
        + _uniform(rng, -0.4, 0.4, count, 1, 1, 2)
        - torch.tensor([0, 0.4])
    )
    piece = _sample_grid(faces, patch, "reflection") * torch.exp(_normal(rng, count, 3, 1, 1) * 0.08)
    first, second = _uniform(rng, 0, 1, count, 3, 1, 1), _uniform(rng, 0, 1, count, 3, 1, 1)
    pattern = _smooth_noise(rng, count, 1, (5, 6), (height, width)).clamp(-1, 1) * 0.5 + 0.5
    flat = first + pattern * (second - first) * _uniform(rng, 0, 1, count, 1, 1, 1)
    shade = 1 - 0.5 * (1 - (inside / wide).clamp(0, 1))[:, None] * _uniform(rng, 0, 1, count, 1, 1, 1)
    rounded = skin * torch.exp(_normal(rng, count, 3, 1, 1) * 0.1) * (1 + 0.1 * pattern)
    fills = torch.stack([scrap, piece, flat, rounded])
    fill = torch.from_numpy(rng.choice(4, count, p=(0.3, 0.2, 0.25, 0.25)))
    return (fills[fill, torch.arange(count)] * shade).clamp(0, 1), alpha


def _composite(faces: Tensor, layer: Tensor, alpha: Tensor, rng: np.random.Generator) -> Tensor:
    """The layer over the faces, its shadow beside it; colours of both may be lit apart."""
    count = len(faces)
    shadow = _low_pass(alpha[:, None], int(rng.choice((2, 4, 8))))
    moved = tuple(int(v) for v in rng.integers(-4, 5, 2))
    shadow = shadow.roll(moved, (2, 3)) * _uniform(rng, 0, 0.6, count, 1, 1, 1) * _bernoulli(rng, 0.6, count)
    return faces * (1 - shadow) * (1 - alpha[:, None]) + layer * alpha[:, None]


def _jitter_capture(current: Tensor, portrait: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Through two moments of one camera: other light, exposure, sharpness and noise, none of which covers a face."""
    count, _, height, width = current.shape
    grid = _view_grid(count)
    angle = _uniform(rng, 0, 2 * np.pi, count, 1, 1)
    ramp = grid[..., 0] * angle.cos() + grid[..., 1] * angle.sin()
    light = torch.exp(ramp[:, None] * _normal(rng, count, 1, 1, 1) * 0.15 + _normal(rng, count, 1, 1, 1) * 0.08)
    tint = torch.exp(_normal(rng, count, 3, 1, 1) * 0.03)
    edge = ((ramp + _uniform(rng, -0.8, 0.8, count, 1, 1)) / _uniform(rng, 0.05, 0.6, count, 1, 1)).clamp(-1, 1)
    shade = 1 - (edge[:, None] * 0.5 + 0.5) * _uniform(rng, 0, 0.55, count, 1, 1, 1) * _bernoulli(rng, 0.2, count)
    dapple = _smooth_noise(rng, count, 1, (4, 5), (height, width))
    shade = shade * torch.exp(0.12 * dapple * _bernoulli(rng, 0.3, count))
    current = current * light * tint * shade
    both = []
    for picture in (current, portrait):
        sharp = _uniform(rng, 0, 1, count, 1, 1, 1)
        soft = _low_pass(picture, int(rng.choice((2, 2, 2, 4))))
        blurred = _bernoulli(rng, 0.45, count)
        picture = picture + blurred * sharp * (soft - picture)
        picture = picture + _normal(rng, count, 3, height, width) * _uniform(rng, 0, 0.03, count, 1, 1, 1)
        both.append(picture.clamp(0, 1))
    for number in np.flatnonzero(rng.random(count) < 0.12):
        quality = int(rng.integers(15, 70))
        for picture in both:
            picture[number] = jpeg(picture[number : number + 1], quality)[0]
    return both[0], both[1]
