"""Rooms rendered by image sources, with the decay that their own impulse responses have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RATE = 16000  # Hz
SPEED_OF_SOUND = 343.0  # m/s


@dataclass(frozen=True, eq=False)
class Room:
    """A shoebox room: what comes from a voice to a microphone in it."""

    response: np.ndarray  # (n,) float64 at RATE; the direct sound has the amplitude 1
    decay: float  # seconds for 60 dB, by backward integration from 5 to 35 dB down


def render_room(seed: int, decay: float) -> Room:
    """A room that rings for about `decay` seconds, by Sabine's formula; which one and where depends on the seed."""
    rng = np.random.default_rng(seed)
    size = rng.uniform((3, 3, 2.4), (8, 7, 3.6))
    volume, surface = size.prod(), 2 * (size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
    absorption = min(0.161 * volume / (decay * surface), 0.9)
    source, microphone = rng.uniform(0.25, 0.45, 3) * size, rng.uniform(0.55, 0.75, 3) * size
    reach = 1.3 * decay * SPEED_OF_SOUND
    counts = np.ceil(reach / (2 * size)).astype(int)
    grids = [np.arange(-count, count + 1) for count in counts]
    response = np.zeros(round(1.4 * decay * RATE) + RATE // 10)
    for mirrored in np.ndindex(2, 2, 2):
        places, bounces = [], []
        for axis, side in enumerate(mirrored):
            places.append((1 - 2 * side) * source[axis] + 2 * grids[axis] * size[axis] - microphone[axis])
            bounces.append(np.abs(grids[axis] - side) + np.abs(grids[axis]))
        squared = places[0][:, None, None] ** 2 + places[1][None, :, None] ** 2 + places[2][None, None, :] ** 2
        distance = np.sqrt(squared)
        order = bounces[0][:, None, None] + bounces[1][None, :, None] + bounces[2][None, None, :]
        distance = np.maximum(distance + (order > 0) * rng.uniform(-0.05, 0.05, distance.shape), 0.1)
        amplitude = (
            (1 - absorption) ** (order / 2) / distance * np.where(order > 0, rng.choice([-1, 1], distance.shape), 1)
        )
        delay = np.round(distance / SPEED_OF_SOUND * RATE).astype(int)
        inside = delay < len(response)
        np.add.at(response, delay[inside], amplitude[inside])
    direct = np.linalg.norm(source - microphone)
    response *= direct
    return Room(response, measured_decay(response, RATE))


def measured_decay(response: np.ndarray, rate: int) -> float:
    """Seconds for 60 dB of an impulse response (ISO 3382's T30)."""
    energy = np.cumsum(response[::-1] ** 2)[::-1]
    level = 10 * np.log10(np.maximum(energy / energy[0], 1e-12))
    first, last = np.argmax(level < -5), np.argmax(level < -35)
    slope = np.polyfit(np.arange(first, last) / rate, level[first:last], 1)[0]
    return -60 / slope
