"""The mouth: the shape that a moment's speech gives it, and its drawing: lips, teeth, tongue and the dark between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .identity import Identity
from .surface import Jaw

INNER_WIDTH = 0.93  # of the outer width
UPPER_SHARE = 0.14  # of the opening that the upper lip makes; the lower one makes the rest
UPPER_TEETH = 0.105  # height that a fully shown row of teeth has, head units
LOWER_TEETH = 0.07
_TABLE = 257


@dataclass(frozen=True)
class MouthShape:
    """A moment of the mouth. Lengths in head units; a person's whole truth about this frame's speech."""

    opening: float = 0.0  # between the lips' inner edges at the middle; 0 closed, 0.4 a shout
    jaw: float = 0.0  # how far the chin is dropped
    width: float = 1.0  # of the resting width
    rounding: float = 0.0  # 0 to 1: pursed and pushed forward
    press: float = 0.0  # 0 to 1: lips pressed thin
    upper_teeth: float = 0.5  # 0 hidden to 1: how far they come down
    lower_teeth: float = 0.0
    tongue: float = 0.2  # 0 low to 1: high behind the teeth
    smile: float = 0.0

    def skin_displacement(self, lip: float, brows: float = 0.0) -> Jaw:
        """The displacement of the skin that belongs to it."""
        return Jaw(max(self.jaw, 0.0), lip, brows)


@dataclass(frozen=True, eq=False)
class LipCurves:
    """The four lip edges over t = -1..1 from corner to corner, each (257,): heights in head units."""

    half_width: float
    upper_outer: np.ndarray
    upper_inner: np.ndarray
    lower_inner: np.ndarray
    lower_outer: np.ndarray

    def at(self, curve: np.ndarray, x: np.ndarray) -> np.ndarray:
        """The height of an edge at distance x from the middle, kept beyond the corners."""
        place = np.clip((x / np.float32(self.half_width) + 1) * np.float32((_TABLE - 1) / 2), 0, _TABLE - 1.001)
        low = place.astype(np.int32)
        part = place - low
        return curve[low] * (1 - part) + curve[low + 1] * part


def lip_curves(person: Identity, shape: MouthShape) -> LipCurves:
    """Where the lips' edges run."""
    t = np.linspace(-1, 1, _TABLE)
    half = person.mouth_width * shape.width
    inner = np.clip(1 - (t / INNER_WIDTH) ** 2, 0, None)
    outer = np.clip(1 - t * t, 0, None)
    rise = person.corner + 0.045 * shape.smile
    middle = person.mouth_y + t * t * (0.30 * shape.opening - rise)
    middle += (
        0.007 * (1 - shape.rounding) * (np.exp(-((t / 0.16) ** 2)) - 0.4) * (1 - np.clip(shape.opening / 0.08, 0, 1))
    )
    round_out = 0.78 - 0.28 * shape.rounding
    upper_inner = middle - UPPER_SHARE * shape.opening * inner**round_out
    lower_inner = middle + (1 - UPPER_SHARE) * shape.opening * inner**round_out
    thin = (1 - 0.5 * shape.press) * (1 - 0.35 * max(shape.width - 1, 0)) * (1 + 0.22 * shape.rounding)
    thin *= 1 - 0.5 * min(shape.opening, 0.4) * (1 - shape.rounding)
    bow = 1 + person.cupid * (0.13 * np.exp(-(((np.abs(t) - 0.2) / 0.13) ** 2)) - 0.2 * np.exp(-((t / 0.10) ** 2)))
    upper_outer = upper_inner - person.upper_lip * thin * outer**0.75 * bow
    lower_outer = lower_inner + person.lower_lip * thin * outer**0.62
    lower_outer = np.maximum(lower_outer, lower_inner)
    return LipCurves(half, *(c.astype(np.float32) for c in (upper_outer, upper_inner, lower_inner, lower_outer)))


@dataclass(frozen=True, eq=False)
class MouthPixels:
    """What the mouth covers among (n,) points: `where` (m,) their indices; the rest (m,) coverages and places."""

    where: np.ndarray
    x: np.ndarray
    y: np.ndarray
    lips: np.ndarray
    open: np.ndarray  # between the lips
    tilt: np.ndarray  # how much the lip faces down (positive) or up
    curves: LipCurves


def find_mouth(person: Identity, shape: MouthShape, x: np.ndarray, y: np.ndarray, pixel: float) -> MouthPixels:
    """Which of the points (x, y) on the head's front the mouth covers; `pixel` is a pixel's size in head units."""
    curves = lip_curves(person, shape)
    low, high = curves.upper_outer.min() - 2 * pixel, curves.lower_outer.max() + 2 * pixel
    where = np.flatnonzero((np.abs(x) < curves.half_width + 2 * pixel) & (y > low) & (y < high))
    x, y = x[where], y[where]
    edges = (curves.upper_outer, curves.upper_inner, curves.lower_inner, curves.lower_outer)
    uo, ui, li, lo = (curves.at(edge, x) for edge in edges)
    steep = [curves.at(_steepness(edge, curves.half_width), x) * np.float32(pixel) for edge in edges]
    ends = np.clip((curves.half_width - np.abs(x)) / np.float32(pixel) + 0.5, 0, 1)
    mouth = _step((y - uo) / steep[0]) * _step((lo - y) / steep[3]) * ends
    opened = np.clip(_step((y - ui) / steep[1]) + _step((li - y) / steep[2]) - 1, 0, 1) * ends
    up = np.clip((y - uo) / np.maximum(ui - uo, np.float32(0.004)), 0, 1)
    down = np.clip((y - li) / np.maximum(lo - li, np.float32(0.004)), 0, 1)
    middle = (ui + li) / 2
    tilt = np.where(y < middle, -0.25 + 1.15 * up * up, -0.75 + 1.55 * down)
    return MouthPixels(where, x, y, np.clip(mouth - opened, 0, 1), opened, tilt.astype(np.float32), curves)


def lip_color(person: Identity, pixels: MouthPixels, pixel: float) -> np.ndarray:
    """(3, m): the lips' linear colour, with their fine upright lines and the dark seam between closed lips."""
    color = np.array(person.lip_color, np.float32)[:, None] ** 2
    fine = np.float32(0.09 * (person.style == "real") * np.clip(0.02 / pixel - 0.4, 0, 1))
    lines = 1 + fine * np.sin(pixels.x * np.float32(190) + 5 * np.sin(pixels.x * np.float32(37) + person.seed % 7))
    return color * lines


def draw_mouth_interior(
    person: Identity, shape: MouthShape, pixels: MouthPixels, pixel: float, diffuse: np.ndarray
) -> np.ndarray:
    """(3, m): the linear colour of teeth, tongue and cavity where the mouth is open; `diffuse` (3, m) is the light."""
    x, y = pixels.x, pixels.y
    curves = pixels.curves
    ui, li = curves.at(curves.upper_inner, x), curves.at(curves.lower_inner, x)
    gap = np.maximum(li - ui, np.float32(1e-4))
    deep = np.clip((y - ui) / gap, 0, 1)
    across = np.clip(np.abs(x) / np.float32(curves.half_width), 0, 1)
    color = np.empty((3, x.size), np.float32)
    for channel, dark in enumerate((0.036, 0.008, 0.009)):
        color[channel] = np.float32(dark) * (1.2 - 0.5 * deep)
    light = np.clip(diffuse, 0.04, None)
    if shape.tongue > 0.01 and shape.opening > 0.02:
        top = li - gap * np.float32(0.15 + 0.6 * shape.tongue) * (1 - 0.55 * across * across)
        body = _step((y - top) / np.float32(pixel * 1.5)) * (1 - 0.5 * across)
        round_ = np.clip((y - top) / np.maximum(gap * 0.5, np.float32(0.02)), 0, 1)
        shade = 0.34 + 0.4 * round_
        shade = shade * (1 - 0.25 * np.exp(-((x / np.float32(0.012)) ** 2)))
        _blend_over(color, body, np.array([0.56, 0.15, 0.155], np.float32)[:, None] * light * shade)
    color_teeth = np.array(person.teeth, np.float32)[:, None] ** 2
    rows = ((shape.upper_teeth, UPPER_TEETH, ui, 1), (shape.lower_teeth, LOWER_TEETH, li, -1))
    for shown, height, lip, way in rows:
        if shown < 0.02:
            continue
        size = 0.052 if way > 0 else 0.04
        tooth = np.abs((np.abs(x) / np.float32(size)) % 1 - 0.5) * 2  # 1 at the gaps between teeth
        arch = 1 - 0.5 * across * across
        edge = (y - lip) * way
        reach = np.float32(shown * height) * arch * (1 - 0.05 * tooth**4)
        cover = _step((reach - edge) / np.float32(pixel)) * _step((0.90 - across) / np.float32(0.06))
        hid = np.clip(edge / np.float32(0.035) + 0.38, 0, 1)  # the lip's shadow on them
        shade = (0.80 if way > 0 else 0.62) * hid * (1 - 0.62 * across**2) * (1 - 0.22 * tooth ** np.float32(8))
        if person.style == "anime":
            shade = np.full_like(shade, 0.85)
        _blend_over(color, cover, color_teeth * light * shade)
    return color


def _blend_over(color: np.ndarray, cover: np.ndarray, paint: np.ndarray) -> None:
    color += cover * (paint - color)


def _step(distance: np.ndarray) -> np.ndarray:
    """Coverage of a pixel whose centre lies `distance` pixels inside an edge."""
    return np.clip(distance + np.float32(0.5), 0, 1)


def _steepness(curve: np.ndarray, half_width: float) -> np.ndarray:
    """By how much a pixel's vertical extent grows along a sloping edge."""
    slope = np.gradient(curve) * ((_TABLE - 1) / (2 * half_width))
    return np.sqrt(1 + np.clip(slope, -4, 4) ** 2).astype(np.float32)
