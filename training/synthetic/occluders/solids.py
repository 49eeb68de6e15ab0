"""Draws rounded bodies before a picture: tapering capsules and slabs, lit like the heads, with what they cover."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..head.light import Light, shade_points

Vector = tuple[float, float, float]
MERGE = 0.02  # units of depth over which one body's surface passes into its neighbour's


@dataclass(frozen=True)
class Material:
    """What a body is made of; the colour is linear RGB, lengths in the bodies' units."""

    color: Vector
    gloss: float = 0.3
    mottle: float = 0.08  # unevenness of the colour, a share of it
    pattern: str = "plain"  # "grille", "stripes", "dots", "knit", "screen"
    second_color: Vector = (0.1, 0.1, 0.1)  # the pattern's other colour
    pitch: float = 0.1  # of the pattern
    seed: int = 0


@dataclass(frozen=True)
class Capsule:
    """From `start` to `end`, round, its radius changing on the way; x right, y down, z towards the camera."""

    start: Vector
    end: Vector
    start_radius: float
    end_radius: float
    material: Material
    flat: float = 1.0  # 1 round, more a flatter back with rounder edges
    depth: float = 1.0  # height over the axis, in radii
    merge: float = MERGE
    crease: float = 0.0  # how dark the fold at its start is


@dataclass(frozen=True)
class Slab:
    """A rectangle with rounded corners facing the camera, turned by `angle` radians clockwise."""

    centre: Vector
    half: tuple[float, float]  # half its width and height
    corner: float
    material: Material
    angle: float = 0.0
    taper: float = 0.0  # by what share its lower end is narrower
    bow: float = 0.0  # 0 flat, 1 a cylinder standing upright
    hole: float = 0.0  # share of it that is empty, from the middle on


@dataclass(frozen=True, eq=False)
class RenderedBodies:
    """Bodies as they appear: `left`, `top` of the window in pixels, colours (3, h, w) sRGB in [0, 1], alpha (h, w)."""

    left: int
    top: int
    rgb: np.ndarray
    alpha: np.ndarray


def draw_bodies(
    bodies: Sequence[Capsule | Slab], x: float, y: float, scale: float, light: Light, size: tuple[int, int], margin: int
) -> RenderedBodies | None:
    """Bodies whose origin lies at pixel (x, y), `scale` pixels a unit, as far as a picture of `size` (width, height)
    and `margin` pixels more reach; None where nothing falls inside."""
    boxes = np.array([_extent(body) for body in bodies])
    low, high = boxes[:, :2].min(0) * scale + (x, y) - 2, boxes[:, 2:].max(0) * scale + (x, y) + 3
    left, top = (max(int(value), -margin) for value in low)
    right, bottom = (min(int(value), limit + margin) for value, limit in zip(high, size, strict=True))
    if left >= right or top >= bottom:
        return None
    pixel = np.float32(1 / scale)
    columns = ((np.arange(left, right) - x) / scale).astype(np.float32)
    rows = ((np.arange(top, bottom) - y) / scale).astype(np.float32)
    shape = (len(rows), len(columns))
    depth, alpha = np.full(shape, -9, np.float32), np.zeros(shape, np.float32)
    layers = np.zeros((7, *shape), np.float32)  # normal x, y, z; colour; gloss
    layers[2] = 1
    for body, box in zip(bodies, boxes, strict=True):
        part = (_inside(rows, box[1], box[3], pixel), _inside(columns, box[0], box[2], pixel))
        if part[0].start >= part[0].stop or part[1].start >= part[1].stop:
            continue
        intersect = _intersect_capsule if isinstance(body, Capsule) else _intersect_slab
        cover, height, values = intersect(body, columns[part[1]][None], rows[part[0]][:, None], pixel)
        before = alpha[part]
        merge = getattr(body, "merge", MERGE)
        front = 1 / (1 + np.exp(np.clip((depth[part] - height) / np.float32(merge), -30, 30)))
        share = cover * np.where(before > 0.01, front, 1)
        layers[:, part[0], part[1]] += share * (values - layers[:, part[0], part[1]])
        depth[part] += share * (height - depth[part])
        alpha[part] = np.maximum(before, cover)
    normal = layers[:3].reshape(3, -1)
    normal = normal / np.sqrt(np.square(normal).sum(0) + np.float32(1e-6))
    lit = shade_points(light, np.eye(3), tuple(normal), np.float32(1.0), layers[6].ravel(), 0.0)
    color = layers[3:6].reshape(3, -1) * lit.diffuse + lit.specular * np.array(light.key, np.float32)[:, None]
    return RenderedBodies(left, top, np.sqrt(np.clip(color, 0, 1)).reshape(3, *shape), alpha)


def _extent(body: Capsule | Slab) -> tuple[float, float, float, float]:
    if isinstance(body, Slab):
        reach = float(np.hypot(*body.half))
        return (body.centre[0] - reach, body.centre[1] - reach, body.centre[0] + reach, body.centre[1] + reach)
    ends = ((body.start, body.start_radius), (body.end, body.end_radius))
    return (
        min(p[0] - r for p, r in ends), min(p[1] - r for p, r in ends),
        max(p[0] + r for p, r in ends), max(p[1] + r for p, r in ends),
    )  # fmt: skip


def _inside(places: np.ndarray, low: float, high: float, pixel: float) -> slice:
    first, last = np.searchsorted(places, [low - pixel, high + pixel])
    return slice(int(first), int(last))


def _intersect_capsule(body: Capsule, x, y, pixel):
    """Cover (h, w), depth (h, w) and the seven layers of a capsule at the places x (1, w), y (h, 1)."""
    (ax, ay, az), (bx, by, bz) = body.start, body.end
    along_x, along_y = bx - ax, by - ay
    square = max(along_x**2 + along_y**2, 1e-6)
    dx, dy = x - np.float32(ax), y - np.float32(ay)
    t = np.clip((dx * np.float32(along_x) + dy * np.float32(along_y)) * np.float32(1 / square), 0, 1)
    dx, dy = dx - t * np.float32(along_x), dy - t * np.float32(along_y)
    radius = np.float32(body.start_radius) + t * np.float32(body.end_radius - body.start_radius)
    off = np.sqrt(dx * dx + dy * dy)
    cover = np.clip((radius - off) / pixel + np.float32(0.5), 0, 1)
    part = np.minimum(off / radius, np.float32(0.995)) ** np.float32(2 * body.flat)  # 0 on the axis to 1 at the rim
    rise = np.sqrt(1 - part)
    height = np.float32(az) + t * np.float32(bz - az) + np.float32(body.depth) * radius * rise
    slope = np.float32(body.depth * body.flat) * part / (rise * np.maximum(off / radius, np.float32(1e-3)))
    direction = np.maximum(off, np.float32(1e-5))
    normal = np.stack([slope * dx / direction, slope * dy / direction, np.ones_like(off)])
    normal /= np.sqrt(np.square(normal).sum(0))
    length = np.float32(square**0.5)
    side = (dx * np.float32(along_y) - dy * np.float32(along_x)) / length  # signed distance from the axis
    color = _colors(body.material, side, t * length, pixel)
    if body.crease:
        fold = t * length / np.float32(0.028)
        color = color * (1 - np.float32(body.crease) * np.exp(-fold * fold) * np.clip(rise * 1.5, 0, 1))
    return cover, height, np.concatenate([normal, color, np.full((1, *off.shape), body.material.gloss, np.float32)])


def _intersect_slab(body: Slab, x, y, pixel):
    """The same of a slab."""
    cosine, sine = np.float32(np.cos(body.angle)), np.float32(np.sin(body.angle))
    dx, dy = x - np.float32(body.centre[0]), y - np.float32(body.centre[1])
    u, v = dx * cosine + dy * sine, dy * cosine - dx * sine
    wide = np.float32(body.half[0]) * (1 - np.float32(body.taper) * (v / np.float32(2 * body.half[1]) + 0.5))
    beyond_u, beyond_v = np.abs(u) - wide + np.float32(body.corner), np.abs(v) - np.float32(body.half[1] - body.corner)
    outside = np.sqrt(np.maximum(beyond_u, 0) ** 2 + np.maximum(beyond_v, 0) ** 2)
    inside = np.float32(body.corner) - outside - np.minimum(np.maximum(beyond_u, beyond_v), 0)
    cover = np.clip(inside / pixel + np.float32(0.5), 0, 1)
    if body.hole:
        cover = cover * np.clip((np.float32(body.hole * body.half[0]) - inside) / pixel + np.float32(0.5), 0, 1)
    bend = np.clip(u / wide, -0.97, 0.97) * np.float32(body.bow)
    edge = np.clip(1 - inside / np.float32(0.05), 0, 1) * np.float32(0.6 * (1 - body.bow))
    tilt_u, tilt_v = bend + edge * np.sign(u) * (beyond_u > beyond_v), edge * np.sign(v) * (beyond_v >= beyond_u)
    nz = np.sqrt(np.clip(1 - tilt_u * tilt_u - tilt_v * tilt_v, 0.05, 1))
    normal = np.stack([tilt_u * cosine - tilt_v * sine, tilt_u * sine + tilt_v * cosine, nz])
    height = np.float32(body.centre[2]) + np.float32(body.half[0] * body.bow) * nz
    color = _colors(body.material, u, v, pixel)
    return cover, height, np.concatenate([normal, color, np.full((1, *u.shape), body.material.gloss, np.float32)])


def _colors(material: Material, u: np.ndarray, v: np.ndarray, pixel: float) -> np.ndarray:
    """(3, h, w) linear colours at the body's own places u, v: mottled, with its pattern where pixels can show it."""
    rng = np.random.default_rng((32452843, material.seed))
    base = np.array(material.color, np.float32)[:, None, None]
    color = np.broadcast_to(base, (3, *u.shape))
    if material.pattern != "plain":
        k = np.float32(np.pi / material.pitch)
        waves = {
            "grille": lambda: np.sin(k * (u + v)) * np.sin(k * (u - v)),
            "stripes": lambda: np.clip(3 * np.sin(k * v), -1, 1),
            "dots": lambda: np.clip(4 * (np.cos(k * u) * np.cos(k * v) - 0.3), -1, 1),
            "knit": lambda: np.sin(k * u) * np.sin(k * (v + np.abs(np.sin(k * u / 2)) * material.pitch)),
            "screen": lambda: np.clip(
                np.sin(0.4 * k * v + 1.3) + 0.5 * np.sin(0.9 * k * u + 2.0 * np.sin(k * v)), -1, 1
            ),
        }
        shown = np.float32(np.clip(material.pitch / pixel / 2 - 0.6, 0, 1))  # finer than pixels: only the mean is left
        other = np.array(material.second_color, np.float32)[:, None, None]
        color = color + (0.5 + 0.5 * shown * waves[material.pattern]()) * (other - color)
    if material.mottle:
        uneven = np.zeros(u.shape, np.float32)
        for turn, phase, pitch in zip(rng.uniform(0, np.pi, 5), rng.uniform(0, 6.3, 5), (0.9, 0.5, 0.3, 0.13, 0.06),
                                      strict=True):  # fmt: skip
            if pitch > 2 * pixel:
                k = np.float32(2 * np.pi / pitch)
                uneven += np.sin(k * (u * np.float32(np.cos(turn)) + v * np.float32(np.sin(turn))) + np.float32(phase))
        color = color * (1 + np.float32(material.mottle * 0.5) * uneven)
    return color
