"""What is around the face: neck, clothes, ears, hair before and behind, glasses."""

from __future__ import annotations

import numpy as np

from ..noise import smooth_noise
from .identity import Identity
from .light import Light
from .surface import Maps, Rays

LONG_CUTS = ("long", "long_fringe")


def over(picture: np.ndarray, where, alpha: np.ndarray, color: np.ndarray) -> None:
    """Blends sRGB `color` (3, n) into columns `where` of the (3, N) picture."""
    old = picture[:, where]
    picture[:, where] = old + alpha * (color - old)


def hair_maps(person: Identity, density: float) -> Maps:
    """Channel 0 fine strands, 1 coarse locks, 2 raggedness of the hairline: noise of about unit spread."""
    x, _ = Maps.grid(density)
    curly = person.hair_cut == "curly"
    fine = smooth_noise((person.seed, 11), x.shape, (60, 60) if curly else (7, 120), 2)
    coarse = smooth_noise((person.seed, 12), x.shape, (26, 22) if curly else (4, 24), 2)
    ragged = smooth_noise((person.seed, 13), x.shape, (14, 30), 2)
    return Maps(density, np.stack([fine, coarse, ragged]))


def draw_body(
    picture, person: Identity, light: Light, a, b, roll: float, chin: float, pixel: float, clothed: bool = True
) -> None:
    """Neck and, if `clothed`, the person's own clothes at camera places (a, b) in head units from the head's origin;
    `chin` is the chin's b."""
    centre = -0.75 * np.sin(roll) * np.clip((1.7 - b) * 1.1, 0, 1)
    x = a - centre.astype(np.float32)
    step = np.float32(1 / pixel)
    man = 0.06 if person.beard != "none" or person.jaw > 2.8 else 0.0
    half = (0.40 + man) * person.width / 0.74 + 0.25 * np.clip(b - 1.2, 0, 1) ** 2 + 0.04 * np.clip(0.8 - b, 0, 1)
    across = x / half
    where = np.flatnonzero((np.abs(across) < 1 + 2 * pixel) & (b > 0.3))
    slope = np.clip(across[where], -1, 1)
    facing = np.clip(slope * light.direction[0] + np.sqrt(1 - slope * slope) * light.direction[2], 0, 1)
    under = np.clip((b[where] - chin) / 0.35, 0, 1) * 0.60 + 0.22
    fall = [
        (0.75 * facing * k * under + (0.6 * m + 0.3 * f) * (0.5 + 0.5 * under))
        for k, m, f in zip(light.key, light.ambient, light.fill, strict=True)
    ]
    if person.cel > 0.6:
        fall = [
            np.where(under > 0.55, 0.62, 0.36) * (k * 0.8 + m) for k, m in zip(light.key, light.ambient, strict=True)
        ]
    skin = np.array(person.skin, np.float32)[:, None] ** 2
    color = np.sqrt(np.clip(skin * np.stack(fall), 0, 1)).astype(np.float32)
    over(
        picture,
        where,
        np.clip((1 - np.abs(slope)) * half[where] * step + 0.5, 0, 1) * (np.abs(across[where]) <= 1),
        color,
    )
    if not clothed:
        return
    shoulder = 1.42 + 0.30 * np.clip(np.abs(a) - 0.35, 0, 9) ** 1.7
    opening = {
        "round": 1.36 + 0.14 * np.clip(1 - (x / 0.52) ** 2, 0, 1),
        "v": 1.34 + 0.55 * np.clip(1 - np.abs(x) / 0.42, 0, 1),
        "shirt": 1.22 + 0.40 * np.clip(1 - np.abs(x) / 0.30, 0, 1),
        "turtleneck": np.full_like(x, 1.12),
    }[person.cloth]
    top = np.where(np.abs(x) < 0.52, np.minimum(opening, np.maximum(shoulder, opening)), shoulder)
    where = np.flatnonzero(b > top - 2 * pixel)
    depth = b[where] - top[where]
    base = np.array(person.cloth_color, np.float32)[:, None] ** 2
    lit = 0.5 + 0.45 * np.clip(a[where] * light.direction[0] * 0.8 + 0.4, -0.3, 1) - 0.18 * np.clip(depth - 0.3, 0, 1)
    lit = lit - 0.14 * np.exp(-(((depth - 0.09) / 0.012) ** 2)) + 0.05 * np.sin(a[where] * 7 + b[where] * 4)
    level = np.array(light.key, np.float32)[:, None] * 0.7 + np.array(light.ambient, np.float32)[:, None]
    color = np.sqrt(np.clip(base * level * np.clip(lit, 0.08, 1), 0, 1)).astype(np.float32)
    over(picture, where, np.clip(depth * step + 0.5, 0, 1), color)


def intersect_plane(base, to_camera, z: float, bend: float = 0.0):
    """Where camera rays meet the plane of depth `z` in head units, bent back by `bend` at the sides: x and y."""
    along = (np.float32(z) - base[2]) * np.float32(1 / to_camera[2])
    if bend:
        x = base[0] + along * to_camera[0]
        along = (np.float32(z) - np.float32(bend) * x * x - base[2]) * np.float32(1 / to_camera[2])
    return base[0] + along * to_camera[0], base[1] + along * to_camera[1]


def draw_back_hair(picture, person: Identity, maps: Maps, light: Light, base, to_camera, pixel: float) -> None:
    """Long hair, or a bun, behind the head."""
    if person.hair_cut not in (*LONG_CUTS, "bun"):
        return
    x, y = intersect_plane(base, to_camera, -0.3)
    if person.hair_cut == "bun":
        away = np.sqrt(x * x + (y + person.crown + 0.12) ** 2)
        edge = np.float32(0.34) - away
    else:
        length = 1.05 + 0.5 * (person.seed % 5) / 4
        half = (
            person.width + 0.06 + person.hair_volume + 0.10 * np.clip(y, 0, 1) + 0.025 * np.sin(y * 6 + person.seed % 6)
        )
        top = np.clip(1 - ((-y) / (person.crown + person.hair_volume)) ** 2, 0, 1)
        half = np.where(y < 0, half * np.sqrt(top) - np.float32(pixel) * (top <= 0), half)
        edge = np.minimum(half - np.abs(x), (length - y) + 0.04 * np.sin(x * 9 + person.seed % 3))
    where = np.flatnonzero(edge > -pixel)
    strands = maps.read(x[where], y[where] * 0.6)
    dim = 0.42 + 0.38 * np.clip(np.abs(x[where]) - 0.35, 0, 0.6)
    color = _hair_color(person, light, dim * (1 + 0.16 * strands[0] + 0.14 * strands[1]))
    over(picture, where, np.clip(edge[where] / np.float32(pixel) + 0.5, 0, 1), color)


def draw_ears(picture, person: Identity, light: Light, base, to_camera, pixel: float) -> None:
    """Ears at the head's sides."""
    x, y = intersect_plane(base, to_camera, 0.02)
    for side in (-1, 1):
        u = (x * side - person.width - 0.015) / 0.085
        v = (y - 0.06 + 0.25 * (x * side - person.width)) / 0.175
        away = np.sqrt(u * u + v * v)
        where = np.flatnonzero(away < 1.1)
        if not where.size:
            continue
        u, v, away = u[where], v[where], away[where]
        lean = np.clip(0.55 + 0.45 * side * light.direction[0], 0.1, 1)
        level = np.array(light.key, np.float32)[:, None] * lean * 0.8 + np.array(light.ambient, np.float32)[:, None]
        shade = 0.85 - 0.4 * np.exp(-(((away - 0.55) / 0.16) ** 2)) - 0.25 * np.exp(-(((u + 0.7) / 0.5) ** 2))
        tint = np.array(person.skin, np.float32)[:, None] ** 2 * np.array([1.0, 0.86, 0.84], np.float32)[:, None]
        color = np.sqrt(np.clip(tint * level * shade, 0, 1)).astype(np.float32)
        over(picture, where, np.clip((1 - away) * np.float32(0.1 / pixel) + 0.5, 0, 1), color)


def hair_coverage(person: Identity, rays: Rays, maps: Maps, x, y, z) -> tuple[np.ndarray, np.ndarray]:
    """How much hair covers points of the swollen head, 0 to 1, and the (3, n) strands there."""
    cut = person.hair_cut
    strands = maps.read(x + 0.18 * (y + 0.7) * (x - person.parting), y * 0.8)
    ragged = strands[2] * (0.04 if cut in ("fringe", "long_fringe", "curly") else 0.022)
    side = np.abs(x)
    line = person.hair_line + 0.35 * np.clip(side - 0.25, 0, 1) ** 2
    if cut in ("fringe", "long_fringe"):
        line = -0.43 + 0.22 * np.clip(side - 0.3, 0, 1) + 0.10 * np.abs(np.sin((x + person.parting) * 7))
        line = np.minimum(line, -0.36 + 2 * np.clip(side - 0.45, 0, 1))
    elif cut == "side":
        way = 1 if person.parting < 0 else -1
        line = person.hair_line - 0.02 + 0.30 * np.clip((x - person.parting) * way, 0, 1)
    elif cut in LONG_CUTS:
        line = person.hair_line - 0.06 + 0.9 * np.clip(np.abs(x - 0.5 * person.parting) - 0.08, 0, 1) ** 1.3
    down = {"short": 0.02, "side": 0.05, "fringe": 0.10, "curly": 0.12, "bun": -0.02}.get(cut, 1.6)
    back = (
        np.clip((0.30 - z + 0.5 * ragged) / 0.12, 0, 1)
        if cut in LONG_CUTS
        else np.clip((0.22 - z + ragged) / 0.12, 0, 1)
    )
    blunt = max(0.03, 0.0) if person.style == "real" else 0.012
    front = np.clip((line + ragged - y) / np.float32(blunt) + 0.5, 0, 1)
    beside = np.clip((person.hair_volume - rays.inside) / np.float32(0.03) + 1, 0, 1) * np.clip((0.95 - z) / 0.2, 0, 1)
    aside = np.clip((side - person.width * (0.62 + 0.12 * np.clip(y - 0.2, 0, 1))) / 0.05, 0, 1)  # never under the chin
    sides = np.maximum(back, beside) * np.where(y > 0.1, aside, 1) * np.clip((down + ragged - y) / 0.04 + 0.5, 0, 1)
    return np.maximum(front, sides), strands


def draw_hair(picture, person: Identity, light: Light, rotation, rays: Rays, maps: Maps, pixel: float) -> None:
    """The hair on the skull, over the face."""
    if person.hair_cut in ("bald", "buzz") or not rays.pixels.size:
        return
    x, y, z = (b + rays.along * t for b, t in zip(rays.base, rays.to_camera, strict=True))
    cover, strands = hair_coverage(person, rays, maps, x, y, z)
    fluff = 0.03 if person.hair_cut == "curly" else 0.012 if person.style == "real" else 0.004
    edge = np.clip((rays.inside + fluff * strands[2]) / np.float32(pixel) + 0.5, 0, 1)
    where = np.flatnonzero(cover * edge > 0.003)
    x, y, z, strands = x[where], y[where], z[where], strands[:, where]
    long_ = np.sqrt(x * x + y * y * 0.6 + z * z) + np.float32(1e-3)
    nx, ny, nz = x / long_, 0.75 * y / long_, z / long_
    key = (np.array(light.direction) @ rotation).astype(np.float32)
    facing = np.clip(nx * key[0] + ny * key[1] + nz * key[2], 0, 1)
    wave = 0.06 * strands[1] if person.style == "real" else 0.06 * np.abs(np.sin(x * 11))
    band = np.exp(-(((ny + 0.42 + wave) / 0.10) ** 2)) * facing
    if person.cel > 0.6:
        facing = 0.35 + 0.5 * np.clip((facing - 0.25) * 10, 0, 1)
        band = np.clip((band - 0.35) * 8, 0, 1)
    texture = 0.24 * strands[0] + 0.2 * strands[1] if person.style == "real" else 0.07 * strands[1]
    rooted = 1 - 0.35 * np.exp(-(((cover[where] - 0.5) / 0.3) ** 2))
    color = _hair_color(person, light, (0.30 + 0.75 * facing) * np.clip(1 + texture, 0.3, 1.8) * rooted, band * 0.5)
    over(picture, rays.pixels[where], (cover * edge)[where], color)


def draw_glasses(picture, person: Identity, light: Light, base, to_camera, depth: float, pixel: float) -> None:
    """Spectacles before the eyes, on a plane at `depth`, bent round the face."""
    if person.glasses == "none":
        return
    x, y = intersect_plane(base, to_camera, depth, 0.22)
    where = np.flatnonzero((np.abs(x) < person.width + 0.1) & (y > -0.45) & (y < 0.25))
    x, y = x[where], y[where]
    side = np.abs(x)
    u, v = side - person.eye_x - 0.015, y - person.eye_y - 0.02
    half_w, half_h, corner, thick = {
        "round": (0.20, 0.19, 0.18, 0.011), "square": (0.23, 0.155, 0.06, 0.019),
        "aviator": (0.235, 0.185, 0.13, 0.010), "dark": (0.235, 0.17, 0.09, 0.022),
    }[person.glasses]  # fmt: skip
    if person.glasses == "aviator":
        half_w = half_w - 0.12 * np.clip(v, 0, 1)
    qx, qy = np.abs(u) - half_w + corner, np.abs(v) - half_h + corner
    away = np.sqrt(np.maximum(qx, 0) ** 2 + np.maximum(qy, 0) ** 2) + np.minimum(np.maximum(qx, qy), 0) - corner
    step = np.float32(1 / pixel)
    lens = np.clip(-away * step + 0.5, 0, 1)
    shine = np.exp(-(((u * np.sign(x) + 0.8 * v + 0.05) / 0.05) ** 2)) * 0.10
    glass = np.full((3, x.size), 0.93, np.float32)
    if person.glasses == "dark":
        glass[:] = np.array([0.05, 0.05, 0.06], np.float32)[:, None] + 0.12 * np.clip(0.3 - v * 2, 0, 1) + shine
        over(picture, where, lens * 0.9, glass)
    else:
        over(picture, where, lens * (0.035 + shine), glass)
    rim = np.clip((thick - np.abs(away)) * step + 0.5, 0, 1)
    bridge = np.clip((0.014 - np.abs(v + 0.03 - 0.4 * x * x)) * step + 0.5, 0, 1) * (side < person.eye_x - 0.17)
    arm = (
        np.clip((0.016 - np.abs(v + 0.05)) * step + 0.5, 0, 1)
        * (side > person.eye_x + 0.2)
        * (side < person.eye_x + 0.29)
    )
    level = np.clip(0.5 * np.mean(light.key) + np.mean(light.ambient), 0.2, 1)
    tint = np.array(person.glasses_color, np.float32)[:, None] * level + 0.18 * np.clip(-v[None] * 4, 0, 1)
    over(picture, where, np.clip(np.maximum(np.maximum(rim, bridge), arm), 0, 1), np.broadcast_to(tint, glass.shape))


def _hair_color(person: Identity, light: Light, amount, specular=0.0) -> np.ndarray:
    base = np.array(person.hair, np.float32)[:, None] ** 2
    level = np.array(light.key, np.float32)[:, None] * 0.85 + np.array(light.ambient, np.float32)[:, None]
    tint = base * level * amount + specular * (0.10 + 0.75 * base) * np.array(light.key, np.float32)[:, None]
    return np.sqrt(np.clip(tint, 0, 1)).astype(np.float32)
