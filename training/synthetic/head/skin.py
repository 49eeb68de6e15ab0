"""A person's skin as maps on the head's front: relief, colour, gloss, hollows; with beard, brows and make-up."""

from __future__ import annotations

import numpy as np

from ..noise import smooth_noise
from .identity import Identity
from .pattern import paint_pattern
from .surface import Maps

RELIEF, ROUGH_X, ROUGH_Y, RED, GREEN, BLUE, GLOSS, AMBIENT_OCCLUSION = range(8)


def skin_maps(person: Identity, density: float) -> Maps:
    """Channels RELIEF (head units), ROUGH_X/Y (its slopes, with pores and lines), linear RED, GREEN, BLUE, GLOSS (0 to
    1) and HOLLOW (light that reaches the place, 0 to 1)."""
    x, y = Maps.grid(density)
    side = np.abs(x)
    relief, occlusion = _relief_and_occlusion(person, x, side, y)
    lines = _creases(person, x, side, y)
    pores = smooth_noise((person.seed, 1), x.shape, (150, 105), 2)
    coarse = smooth_noise((person.seed, 2), x.shape, (22, 15), 2)
    bump = lines * 0.012 + person.texture * (0.0009 * pores + 0.0014 * coarse)
    beard = _beard(person, x, side, y)
    strands = np.clip(smooth_noise((person.seed, 3), x.shape, (110, 190), 2), -1.5, 1.5)
    if person.beard != "none":
        bump = bump + beard * 0.004 * strands
    rough_y, rough_x = np.gradient(relief + bump, 1 / density)
    color = _color(person, x, side, y, pores, coarse)
    color *= (1 - 0.35 * np.clip(-lines, 0, 1) * (0.4 + person.texture))[..., None]
    gloss = np.clip(0.35 + 0.35 * _spot(x, y, 0, 0.05, 0.14, 0.3) + 0.2 * _spot(x, y, 0, -0.55, 0.4, 0.16), 0, 1)
    gloss = gloss * (1 + 0.3 * person.texture * coarse) * (1 - 0.8 * beard)
    hairs = np.clip(0.80 + 0.22 * strands, 0.0, 1)
    for amount, tint in ((beard * hairs, person.beard_color), (_brows(person, side, y, strands), person.beard_color)):
        color += amount[..., None] * (np.array(tint, np.float32) ** 2 * 0.75 - color)
    if person.pattern:
        color = paint_pattern(color, person.pattern)
    channels = [relief, rough_x, rough_y, *np.moveaxis(color, -1, 0), np.clip(gloss, 0, 1), occlusion]
    return Maps(density, np.stack(channels).astype(np.float32))


def brow_line(person: Identity, side: np.ndarray) -> np.ndarray:
    """The height of the brows' middle at distance `side` from the face's middle."""
    t = (side - 0.40) / 0.27
    lift = 0.02 if person.style == "anime" else 0.0
    form = 0.02 * t * t - person.brow_arch * (1 - (t - 0.25) ** 2) - 0.35 * person.brow_tilt * t
    return (person.eye_y - 0.223 - lift + form).astype(np.float32)


def nose_points(person: Identity) -> np.ndarray:
    """(9, 2) resting places of the nose's points: four down the bridge, five across its base (the 68-point nose)."""
    base = 0.335 * person.nose_length
    wing = 0.10 * person.nose_width
    bridge = [(0, -0.17), (0, -0.02), (0, 0.11), (0, base - 0.1)]
    return np.array(
        [*bridge, (-wing, base - 0.01), (-wing / 2, base), (0, base + 0.01), (wing / 2, base), (wing, base - 0.01)]
    )


def _spot(x, y, cx, cy, rx, ry):
    return np.exp(-(((x - cx) / rx) ** 2) - ((y - cy) / ry) ** 2)


def _smoothstep(low, high, value):
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _relief_and_occlusion(person, x, side, y):
    tip = 0.215 * person.nose_length
    base = 0.335 * person.nose_length
    wide = person.nose_width
    ridge = 0.05 + 0.17 * _smoothstep(-0.25, tip, y)
    ridge = ridge * _smoothstep(-0.42, -0.12, y) * (1 - _smoothstep(tip + 0.03, base + 0.05, y))
    nose = ridge * np.exp(-((x / ((0.068 + 0.05 * _smoothstep(-0.1, tip, y)) * wide)) ** 2)) * person.nose_height
    nose += 0.05 * person.nose_height * _spot(x, y, 0, tip + 0.02, 0.085 * wide, 0.075)
    nose += 0.055 * _spot(side, y, 0.095 * wide, base - 0.05, 0.05 * wide, 0.055)
    relief = nose
    relief = relief - 0.075 * _spot(side, y, person.eye_x - 0.02, person.eye_y, 0.17, 0.095)
    relief += 0.03 * _spot(side, y, person.eye_x, person.eye_y, 0.11, 0.06)
    relief += 0.03 * _spot(side, y, 0.36, -0.27, 0.25, 0.07)
    relief += 0.05 * person.cheeks * _spot(side, y, 0.40, 0.16, 0.17, 0.15)
    relief += 0.05 * _spot(x, y, 0, person.mouth_y - 0.02, 0.3, 0.17)
    relief += 0.055 * _spot(x, y, 0, 0.87, 0.17, 0.1) - 0.028 * _spot(x, y, 0, 0.725, 0.2, 0.045)
    relief -= 0.012 * _spot(x, y, 0, 0.43, 0.03, 0.06)
    occlusion = 1 - 0.42 * _spot(side, y, person.eye_x - 0.05, person.eye_y - 0.065, 0.15, 0.06)
    occlusion *= 1 - 0.25 * _spot(side, y, person.eye_x, person.eye_y + 0.02, 0.16, 0.06)
    occlusion *= 1 - 0.30 * _spot(x, y, 0, base + 0.045, 0.13 * wide, 0.035)
    occlusion *= 1 - 0.75 * _spot(side, y, 0.05 * wide, base - 0.01, 0.032 * wide, 0.018)
    occlusion *= 1 - 0.22 * _spot(side, y, 0.155 * wide, base - 0.04, 0.025, 0.06)
    occlusion *= 1 - 0.22 * _spot(side, y, 0.09, 0.02, 0.035, 0.16)
    occlusion *= 1 - 0.28 * _spot(x, y, 0, 0.715, 0.17, 0.035)
    occlusion *= 1 - 0.35 * _smoothstep(0.52, 0.74, side)
    if person.style == "anime":
        occlusion = 1 - (1 - occlusion) * 0.25
    return relief.astype(np.float32), occlusion.astype(np.float32)


def _creases(person, x, side, y):
    """Creases, 0 to -1: from nose to mouth, on the forehead, beside and under the eyes."""
    old = person.age
    fold = side - (0.155 + 0.42 * (y - 0.29) + 0.35 * (y - 0.29) ** 2)
    crease = (
        (0.25 + 0.75 * old)
        * np.exp(-((fold / 0.022) ** 2))
        * _smoothstep(0.25, 0.34, y)
        * (1 - _smoothstep(0.5, 0.62, y))
    )
    bags = (0.12 + 0.7 * old) * np.exp(
        -(((y - person.eye_y - 0.1 + 0.6 * (side - person.eye_x) ** 2 * 3) / 0.014) ** 2)
    )
    crease = crease + bags * np.exp(-(((side - person.eye_x + 0.02) / 0.1) ** 2))
    lids = np.exp(-(((y - person.eye_y + 0.092 - 1.6 * (side - person.eye_x) ** 2) / 0.01) ** 2))
    crease += 0.45 * lids * np.exp(-(((side - person.eye_x) / 0.12) ** 4))
    if old > 0.35:
        wave = y + 0.02 * smooth_noise((person.seed, 4), x.shape, (5, 8))
        for height in (-0.47, -0.54, -0.61):
            crease += (old - 0.3) * np.exp(-(((wave - height) / 0.011) ** 2)) * np.exp(-((x / 0.38) ** 4))
        for tilt in (-0.35, 0.05, 0.4):
            foot = y - person.eye_y - tilt * (side - person.eye_x - 0.13)
            reach = side - person.eye_x
            crease += (
                (old - 0.3)
                * np.exp(-((foot / 0.008) ** 2))
                * _smoothstep(0.16, 0.19, reach)
                * (1 - _smoothstep(0.25, 0.3, reach))
            )
    if person.style != "real":
        crease = crease * 0.3
    return -np.clip(crease, 0, 1)


def _color(person, x, side, y, pores, coarse):
    skin = np.array(person.skin, np.float32) ** 2
    color = np.broadcast_to(skin, (*x.shape, 3)).copy()
    color *= (1 + person.texture * (0.05 * coarse + 0.035 * pores))[..., None]
    red = 0.16 * _spot(x, y, 0, 0.22, 0.1, 0.1) + (0.1 + 0.22 * person.blush) * _spot(side, y, 0.42, 0.2, 0.18, 0.13)
    red += 0.06 * _spot(x, y, 0, 0.88, 0.16, 0.1)
    color *= 1 - red[..., None] * np.array([0.02, 0.38, 0.34], np.float32)
    under = 0.22 * (0.4 + person.age) * _spot(side, y, person.eye_x - 0.03, person.eye_y + 0.075, 0.12, 0.04)
    if person.style == "real":
        color *= 1 - under[..., None] * np.array([0.7, 0.9, 0.75], np.float32)
    if person.freckles:
        dots = _smoothstep(1.3, 1.9, smooth_noise((person.seed, 5), x.shape, (120, 84)))
        dots = dots * np.clip(_spot(x, y, 0, 0.1, 0.6, 0.25) + 0.2, 0, 1) * person.freckles
        color *= 1 - dots[..., None] * np.array([0.35, 0.5, 0.6], np.float32)
    if person.eye_shadow:
        rng = np.random.default_rng((person.seed, 6))
        tint = np.array([(0.25, 0.12, 0.16), (0.14, 0.12, 0.2), (0.28, 0.17, 0.1), (0.1, 0.16, 0.2)][rng.choice(4)])
        lid = _spot(side, y, person.eye_x + 0.02, person.eye_y - 0.07, 0.15, 0.05) * person.eye_shadow * 0.8
        color += lid[..., None] * (tint.astype(np.float32) - color)
    if person.hair_cut == "buzz":
        scalp = _smoothstep(0.0, 0.06, person.hair_line + 0.25 * (side / 0.6) ** 4 - y + 0.02 * coarse)
        cover = scalp * (0.66 + 0.12 * np.clip(pores, -1, 1))
        color += cover[..., None] * (np.array(person.hair, np.float32) ** 2 - color)
    return color


def _brows(person, side, y, strands):
    t = (side - 0.40) / 0.27
    thick = (0.042 if person.style == "real" else 0.030) * person.brow_thickness
    thick = thick * (1 - 0.6 * _smoothstep(0.1, 1.0, t)) * (0.75 + 0.25 * _smoothstep(-1.0, -0.4, t))
    away = (y - brow_line(person, side)) / thick
    body = 1 - _smoothstep(0.55, 1.25, np.abs(away) + 0.1 * strands)
    ends = _smoothstep(-1.04, -0.86, t + 0.05 * strands) * (1 - _smoothstep(0.88, 1.06, t))
    return body * ends * np.clip(0.82 + (0.14 * strands if person.style == "real" else 0.1), 0.4, 0.96)


def _beard(person, x, side, y):
    """How densely the beard covers the skin, 0 to 1."""
    if person.beard == "none":
        return np.zeros_like(x)
    mouth = person.mouth_y
    ragged = 0.02 * smooth_noise((person.seed, 7), x.shape, (40, 28), 2)
    cheek_line = 0.52 - 0.75 * np.clip(side - 0.3, 0, 1) + 1.2 * np.clip(0.3 - side, 0, 1) ** 2 + ragged
    cheeks = _smoothstep(-0.02, 0.07, y - cheek_line)
    lips = _smoothstep(0.9, 1.25, np.sqrt((x / (person.mouth_width * 1.0)) ** 2 + ((y - mouth) / 0.11) ** 2))
    above = np.exp(-(((y - mouth + 0.115 - 0.25 * side**2) / 0.042) ** 4)) * (
        1 - _smoothstep(0.24, 0.33, side + ragged)
    )
    chin = _smoothstep(mouth + 0.11, mouth + 0.18, y + ragged) * (1 - _smoothstep(0.24, 0.33, side + ragged))
    sides = (
        _smoothstep(0.24, 0.28, side)
        * (1 - _smoothstep(0.31, 0.37, side + ragged))
        * _smoothstep(mouth - 0.13, mouth - 0.08, y)
    )
    shape = {
        "stubble": 0.38 * np.maximum(cheeks * lips, above),
        "moustache": 0.92 * above,
        "goatee": 0.92 * np.clip(above + chin + sides, 0, 1),
        "full": 0.95 * np.clip(np.maximum(cheeks * lips, above), 0, 1),
    }[person.beard]
    return shape.astype(np.float32)
