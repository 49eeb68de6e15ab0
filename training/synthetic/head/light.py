"""How a face is lit: a key light, its weaker counterpart, the sky; soft skin, gloss, or two drawn tones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WRAP = (0.34, 0.20, 0.15)  # how far light creeps round the form in red, green, blue: skin lets red through


@dataclass(frozen=True)
class Light:
    """Lights in camera axes (x right, y down, z to the camera); colours are linear RGB."""

    direction: tuple[float, float, float]  # towards the key light, unit length
    key: tuple[float, float, float]
    fill: tuple[float, float, float]  # from the other side
    ambient: tuple[float, float, float]
    rim: float  # light from behind at the outline, 0 to 1
    warmth: float  # of the whole picture, for backdrops: -1 blue to 1 orange


def sample_light(seed: int) -> Light:
    """The light of this seed: from any side in front and mostly from above, of any warmth, soft or hard."""
    rng = np.random.default_rng((104729, seed))
    angle = rng.uniform(-1.15, 1.15)
    above = rng.uniform(-0.05, 0.85)
    direction = np.array([np.sin(angle), -above, np.cos(angle) + 0.25])
    direction /= np.linalg.norm(direction)
    warmth = rng.uniform(-1, 1)
    tint = np.array([1 + 0.16 * warmth, 1.0, 1 - 0.22 * warmth])
    contrast = rng.uniform(0.35, 0.9)
    level = rng.uniform(0.75, 1.15)
    key = tint * contrast * level * 0.95
    cool = np.array([1 - 0.08 * warmth, 1.0, 1 + 0.10 * warmth])
    ambient = cool * (1.0 - contrast) * 0.62 * level + 0.10
    fill = cool * rng.uniform(0.05, 0.28) * level
    colors = (tuple(float(v) for v in values) for values in (direction, key, fill, ambient))
    return Light(*colors, rng.uniform(0, 0.5), warmth)


@dataclass(frozen=True, eq=False)
class Shading:
    """Light at (n,) points: `diffuse` (3, n) on the skin, `specular` (n,) mirrored from the key."""

    diffuse: np.ndarray
    specular: np.ndarray


def shade_points(
    light: Light, rotation: np.ndarray, normal, occlusion, gloss, cel: float, sharpness: float = 22.0
) -> Shading:
    """Light on points of unit `normal` (three (n,) arrays, head axes) in hollows of openness `occlusion`."""
    to_key = (np.array(light.direction) @ rotation).astype(np.float32)
    to_fill = (np.array([-light.direction[0], light.direction[1], light.direction[2]]) @ rotation).astype(np.float32)
    to_eye = rotation[2].astype(np.float32)
    up = (np.array([0.0, -1.0, 0.0]) @ rotation).astype(np.float32)
    nx, ny, nz = normal
    facing = nx * to_key[0] + ny * to_key[1] + nz * to_key[2]
    other = np.maximum(nx * to_fill[0] + ny * to_fill[1] + nz * to_fill[2], 0)
    sky = (0.74 + 0.26 * (nx * up[0] + ny * up[1] + nz * up[2])) * occlusion
    if cel:
        tone = np.clip((facing - np.float32(0.12)) * np.float32(9), 0, 1)
        facing = facing * np.float32(1 - cel) + np.float32(cel) * (np.float32(0.12) + np.float32(0.68) * tone)
        sky = sky * np.float32(1 - cel) + np.float32(cel * 0.85) * occlusion
    diffuse = np.empty((3, facing.size), np.float32)
    for channel in range(3):
        wrap = np.float32(WRAP[channel])
        wrapped = np.maximum((facing + wrap) * (1 / (1 + wrap)), 0)
        diffuse[channel] = (wrapped * occlusion + wrapped * wrapped) * np.float32(0.5 * light.key[channel])
        diffuse[channel] += other * np.float32(light.fill[channel]) + sky * np.float32(light.ambient[channel])
    edge = np.clip(1 - (nx * to_eye[0] + ny * to_eye[1] + nz * to_eye[2]), 0, 1)
    diffuse += np.float32(light.rim * (1 - 0.7 * cel)) * edge * edge * edge
    half = to_key + to_eye
    half /= np.linalg.norm(half)
    mirror = np.maximum(nx * half[0] + ny * half[1] + nz * half[2], 0)
    specular = mirror ** np.float32(sharpness) * gloss * np.float32((1 - 0.8 * cel) * 0.34 * np.mean(light.key))
    return Shading(diffuse, specular)
