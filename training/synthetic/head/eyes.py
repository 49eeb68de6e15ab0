"""The eyes: lids, lashes, the white and the iris, looking and blinking."""

from __future__ import annotations

import numpy as np

from .identity import Identity

LOWER_LID = 0.42  # of the upper lid's height


def draw_eyes(
    person: Identity,
    blink: float,
    gaze: tuple[float, float],
    x,
    y,
    pixel: float,
    color: np.ndarray,
    diffuse: np.ndarray,
) -> None:
    """Paints both eyes over the linear `color` (3, n) of skin points (x, resting y), lit by `diffuse` (3, n).

    `blink` is 0 open to 1 shut; `gaze` are the irises' offsets in eye widths; `pixel` is a pixel in head units.
    """
    for side in (-1, 1):
        u = (x * side - person.eye_x) / person.eye_width
        v = y - person.eye_y + u * np.float32(person.eye_tilt * person.eye_width * 3)
        where = np.flatnonzero((np.abs(u) < 1.5) & (np.abs(v) < 2.2 * person.eye_height + 0.05))
        if where.size:
            color[:, where] = _one_eye(
                person, side, blink, gaze, u[where], v[where], pixel, color[:, where], diffuse[:, where]
            )


def _one_eye(person, side, blink, gaze, u, v, pixel, color, diffuse):
    anime = person.style == "anime"
    inside = np.clip(1 - u * u, 0, 1)
    peak = inside ** (0.42 if anime else 0.62) * (1 + 0.10 * u)
    low = np.float32(person.eye_height * LOWER_LID) * inside**0.8
    high = -np.float32(person.eye_height) * peak
    high = high + (low - high) * np.float32(0.97 * blink)
    step = np.float32(1 / pixel)
    opened = np.clip((v - high) * step + 0.5, 0, 1) * np.clip((low - v) * step + 0.5, 0, 1) * (np.abs(u) < 1)
    light = np.clip(diffuse * 0.55 + 0.55 * diffuse.mean(0), 0.05, 1.3)
    shade = np.clip(0.45 + (v - high) * np.float32(0.55 / person.eye_height), 0.35, 1) * (1 - 0.28 * u * u)
    white = np.array([0.80, 0.78, 0.76], np.float32)[:, None] * light * shade
    if anime:
        white = np.full_like(white, 0.9) * np.minimum(light, 1)
    px = u * person.eye_width - gaze[0] * side * person.eye_width
    py = v - gaze[1] * person.eye_width + (0.15 * person.eye_height)
    tall = 1.25 if anime else 1.0
    radius = np.sqrt(px * px + (py / tall) ** 2)
    part = np.clip(radius / person.iris_size, 0, 1.3)
    iris = np.array(person.iris, np.float32)[:, None] ** 2
    glow = 0.55 + 0.75 * part * (1 - part) + (0.55 * np.clip(py / person.iris_size, -0.6, 0.8))
    tint = iris * np.clip(glow, 0.15, 1.6) * (0.35 + 0.65 * light)
    tint = tint * (1 - 0.75 * np.clip((part - 0.78) * 4.5, 0, 1))
    tint = tint * np.clip((part - (0.36 if anime else 0.40)) * person.iris_size * step + 0.5, 0.02, 1)
    drawn = white + np.clip((1 - part) * person.iris_size * step + 0.5, 0, 1) * (tint - white)
    for dx, dy, size, strength in ((-0.35, -0.42, 0.24, 1.0), (0.32, 0.35, 0.13, 0.35)):
        size *= 1.35 if anime else 0.8
        spark = np.sqrt(
            (u * person.eye_width - dx * person.iris_size - gaze[0] * side * person.eye_width) ** 2
            + (py - dy * person.iris_size) ** 2
        )
        spark = np.clip((size * person.iris_size - spark) * step + 0.5, 0, 1) * strength
        drawn = drawn + spark * (0.95 - drawn)
    color = color + opened * (drawn - color)
    thick = (0.006 + 0.014 * person.lashes) * (1.6 if anime else 1.0) * (0.55 + 0.45 * np.clip(u + 0.4, 0, 1))
    wing = np.clip(1.02 + 0.14 * person.lashes * (u > 0) - np.abs(u), 0, 0.2) * 5
    lash = np.clip((thick - np.abs(v - high + thick * 0.6)) * step * 0.8 + 0.5, 0, 1) * wing
    dark = np.array([0.02, 0.014, 0.012], np.float32)[:, None]
    color = color + lash * 0.92 * (dark - color)
    rim = (
        np.clip(1 - np.abs(v - low) * np.float32(1 / 0.007), 0, 1)
        * (np.abs(u) < 1)
        * (0.25 + 0.2 * (person.lashes > 0.8))
    )
    return color * (1 - rim * 0.6)
