"""Objects that occlude a face, a hand, microphone, cup or phone, painted into frames with their masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..degrade import blur
from ..head.identity import SKIN_TONES
from ..head.light import Light, sample_light
from ..head.painter import FaceTruth
from .hands import GESTURES, hand_bodies, sample_hand
from .solids import Capsule, Material, RenderedBodies, Slab, draw_bodies

KINDS = ("hand", "microphone", "cup", "phone")
HAND_GESTURES = tuple(name for name in GESTURES if name != "grip")
OCCLUDER_MAGNIFICATION = 1.12  # how much larger things before a face appear than its own units
SHADOW_OFFSET = 0.35  # head units from a body to its shadow
BLUR_MARGIN = 16  # pixels drawn beyond the frame, so that blurs know what comes in


@dataclass(frozen=True, eq=False)
class Occluder:
    """Something that comes, stays before the mouth and goes. Lengths in head units, times as shares of its passing."""

    kind: str  # one of KINDS
    bodies: tuple[Capsule | Slab, ...]
    rest: tuple[float, float]  # where its origin stays, from the mouth's middle
    away: tuple[float, float]  # where it comes from and goes to, from `rest`
    arrival: float  # when it has come
    departure: float  # when it goes
    sway: float  # of its small movements while it stays
    light: Light
    shadow: float  # how dark its shadow on the face is, 0 to 1
    softness: float  # blur, as of a lens focused on the face: a standard deviation
    seed: int = 0

    def place(self, progress: float) -> tuple[float, float]:
        """Where its origin is, from the mouth's middle, at `progress` (0 to 1) of the passing."""
        far = 1 - _smoothstep(progress / self.arrival) + _smoothstep((progress - self.departure) / (1 - self.departure))
        phase = self.seed % 628 / 100
        sway_x, sway_y = (self.sway * np.sin(phase + progress * turns) for turns in (9.0, 13.0))
        return self.rest[0] + far * self.away[0] + sway_x, self.rest[1] + far * self.away[1] + sway_y


def sample_occluder(
    seed: int,
    kind: str | None = None,
    *,
    gesture: str | None = None,
    skin: tuple[float, float, float] | None = None,
    light: Light | None = None,
) -> Occluder:
    """The occluder of this seed. `gesture` is one of HAND_GESTURES; `skin` (sRGB in [0, 1]) is that of a hand that is
    to be seen, `light` the scene's; what isn't given is drawn by the seed."""
    rng = np.random.default_rng((86028121, seed))
    chosen = str(rng.choice(KINDS, p=(0.64, 0.14, 0.12, 0.1)))
    kind = kind or ("hand" if gesture else chosen)
    own_skin = np.array(SKIN_TONES[rng.integers(len(SKIN_TONES))]) / 255 * rng.uniform(0.92, 1.06)
    skin = tuple(np.clip(own_skin if skin is None else skin, 0, 1))
    sleeve = _cloth(rng) if rng.random() < 0.75 else None
    rest = rng.normal(0, 0.09, 2)
    away = np.array([rng.uniform(-1.6, 1.6), rng.uniform(2.2, 3.4)])
    if kind == "hand":
        name = gesture or str(rng.choice(HAND_GESTURES, p=(0.28, 0.2, 0.2, 0.12, 0.12, 0.08)))
        hand = sample_hand(rng, name, skin, sleeve)
        bodies = hand_bodies(hand, 0.6)
        rest += GESTURES[name].offset
        away = np.array([-np.sin(hand.turn), np.cos(hand.turn)]) * rng.uniform(2.6, 3.6)  # back along the forearm
    elif kind == "microphone":
        bodies, tilt = _microphone(rng, skin, sleeve)
        rest += (0.0, rng.uniform(0.05, 0.4))
        away = np.array([np.sin(-tilt), np.cos(tilt)]) * rng.uniform(2.0, 3.0)
    elif kind == "cup":
        bodies = _cup(rng, skin, sleeve)
        rest += (0.0, rng.uniform(0.2, 0.5))
    else:
        bodies = _phone(rng, skin, sleeve)
        rest += (rng.normal(0, 0.15), rng.uniform(-0.1, 0.5))
    arrival, departure = rng.uniform(0.12, 0.3), rng.uniform(0.7, 0.88)
    return Occluder(
        kind, tuple(bodies), tuple(rest), tuple(away), arrival, departure, rng.uniform(0.01, 0.05),
        light or sample_light(seed), rng.uniform(0.05, 0.5), max(rng.normal(0.004, 0.008), 0.0), seed,
    )  # fmt: skip


def paint_occluder(
    frame: np.ndarray, occluder: Occluder, face: FaceTruth, progress: float, step: float = 0.0
) -> np.ndarray:
    """Paints an occluder before a drawn face into `frame` (H, W, 3) uint8, in place; returns its alpha.

    `progress` is the share of the passing that is over, 0 to 1; `step` is how much of it a frame lasts: for half of
    that the shutter is open, which blurs what moves (0: nothing). The alpha (H, W) float32 in [0, 1] is 1 where the
    face can't be seen; the soft shadow around it is not part of it.
    """
    mouth = face.mouth_corners.mean(0)
    return paint_occluder_at(
        frame, occluder, (float(mouth[0]), float(mouth[1])), face.head_state.pose.scale, progress, step
    )


def paint_occluder_at(
    frame: np.ndarray, occluder: Occluder, mouth: tuple[float, float], scale: float, progress: float, step: float = 0.0
) -> np.ndarray:
    """The same before any face whose mouth's middle is at pixel `mouth`; `scale` is pixels per head unit: the brows are
    about 1.33 of them above the chin."""
    height, width, _ = frame.shape
    whole = np.zeros((height, width), np.float32)
    x, y = (at + scale * off for at, off in zip(mouth, occluder.place(progress), strict=True))
    margin = min(BLUR_MARGIN, max(2, int(scale / 4)))
    drawn = draw_bodies(occluder.bodies, x, y, scale * OCCLUDER_MAGNIFICATION, occluder.light, (width, height), margin)
    if drawn is None:
        return whole
    moved = np.subtract(occluder.place(progress + step / 4), occluder.place(progress - step / 4)) * scale
    drawn = _blur_layer(drawn, moved, occluder.softness * scale)
    _cast_shadow(frame, drawn, occluder, scale)
    left, top = max(drawn.left, 0), max(drawn.top, 0)
    right = min(drawn.left + drawn.alpha.shape[1], width)
    bottom = min(drawn.top + drawn.alpha.shape[0], height)
    if left >= right or top >= bottom:
        return whole
    part = (slice(top - drawn.top, bottom - drawn.top), slice(left - drawn.left, right - drawn.left))
    alpha, shown = drawn.alpha[part], drawn.rgb[(slice(None), *part)].transpose(1, 2, 0)
    under = frame[top:bottom, left:right]
    under[...] = (under * (1 - alpha[..., None]) + shown * alpha[..., None] * 255 + 0.5).astype(np.uint8)
    whole[top:bottom, left:right] = alpha
    return whole


def _blur_layer(drawn: RenderedBodies, moved: np.ndarray, sigma: float) -> RenderedBodies:
    """Blurred by the lens and by its movement of `moved` pixels."""
    steps = int(np.ceil(np.abs(moved).max()))
    if steps < 2 and sigma < 0.35:
        return drawn
    premultiplied = torch.from_numpy(np.concatenate([drawn.rgb * drawn.alpha, drawn.alpha[None]]))[None]
    if sigma >= 0.35:
        premultiplied = blur(premultiplied, sigma)
    if steps >= 2:
        steps = min(steps, BLUR_MARGIN)
        total = torch.zeros_like(premultiplied)
        for share in np.linspace(-0.5, 0.5, steps + 1):
            shift = np.clip(np.round(moved * share), -BLUR_MARGIN, BLUR_MARGIN).astype(int)
            total += premultiplied.roll((int(shift[1]), int(shift[0])), (2, 3))
        premultiplied = total / (steps + 1)
    values = premultiplied[0].numpy()
    return RenderedBodies(
        drawn.left, drawn.top, values[:3] / np.maximum(values[3], np.float32(1e-3)), values[3].clip(0, 1)
    )


def _cast_shadow(frame: np.ndarray, drawn: RenderedBodies, occluder: Occluder, scale: float) -> None:
    """Darkens the frame beside the body, away from the light."""
    height, width, _ = frame.shape
    reach = SHADOW_OFFSET * scale
    shift_x, shift_y = (round(float(-reach * part)) for part in occluder.light.direction[:2])
    pad = int(reach) + 1
    left, top = max(drawn.left - pad, 0), max(drawn.top - pad, 0)
    right = min(drawn.left + drawn.alpha.shape[1] + pad, width)
    bottom = min(drawn.top + drawn.alpha.shape[0] + pad, height)
    if left >= right or top >= bottom or occluder.shadow <= 0:
        return
    room = np.zeros((bottom - top, right - left), np.float32)
    y0, x0 = drawn.top + shift_y - top, drawn.left + shift_x - left
    rows = slice(max(y0, 0), min(y0 + drawn.alpha.shape[0], room.shape[0]))
    columns = slice(max(x0, 0), min(x0 + drawn.alpha.shape[1], room.shape[1]))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    room[rows, columns] = drawn.alpha[rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0]
    soft = blur(torch.from_numpy(room)[None, None], max(reach / 4, 0.6))[0, 0].numpy()
    part = frame[top:bottom, left:right]
    part[...] = (part * (1 - np.float32(occluder.shadow) * soft[..., None]) + 0.5).astype(np.uint8)


def _microphone(rng: np.random.Generator, skin, sleeve) -> tuple[list[Capsule | Slab], float]:
    """A microphone that points at the mouth, its head at the origin, and the angle of its handle from downwards."""
    tilt = float(rng.uniform(-0.9, 0.9))
    down = np.array([-np.sin(tilt), np.cos(tilt)])
    dark = tuple(rng.uniform(0.004, 0.05) * rng.uniform(0.85, 1.15, 3))
    metal = tuple(rng.uniform(0.08, 0.4) * rng.uniform(0.95, 1.05, 3))
    foam = rng.random() < 0.4
    head_color = tuple(rng.uniform(0.005, 0.5, 3)) if foam else metal
    look, pitch, gloss = ("knit", 0.05, 0.1) if foam else ("grille", 0.06, 0.7)
    shade = tuple(0.45 * np.array(head_color))
    head = Material(head_color, gloss, 0.1, look, shade, pitch, int(rng.integers(999)))
    size = rng.uniform(0.24, 0.4) if foam else rng.uniform(0.2, 0.28)

    def at(distance: float, depth: float) -> tuple[float, float, float]:
        return (*(float(v) for v in down * distance), depth)

    handle = Material(dark if rng.random() < 0.7 else metal, 0.8, 0.02)
    bodies: list[Capsule | Slab] = [
        Capsule(at(size * 0.6, 0.4), at(5, 0.4), size * 0.58, 0.12, handle),
        Capsule(at(0, 0.4), at(size * rng.uniform(0.1, 0.9), 0.4), size, size * 0.85, head, flat=1.15),
    ]
    if not foam:
        bodies.append(
            Capsule(at(size * 0.75, 0.45), at(size * 0.85, 0.45), size * 0.9, size * 0.8, Material(dark, 0.9, 0))
        )
    if rng.random() < 0.6:
        bodies += _gripping_hand(rng, skin, sleeve, down * rng.uniform(0.8, 1.5), tilt)
    return bodies, tilt


def _cup(rng: np.random.Generator, skin, sleeve) -> list[Capsule | Slab]:
    """A mug or a paper cup at the lips."""
    color = tuple(rng.uniform(0.02, 0.9, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(0.02, 0.85)))
    pattern = str(rng.choice(["plain", "plain", "stripes", "dots"]))
    body = Material(
        color, rng.uniform(0.1, 1.0), 0.02, pattern, tuple(rng.uniform(0.02, 0.9, 3)), rng.uniform(0.1, 0.4)
    )
    tilt = float(rng.normal(0, 0.2))
    wide, high = rng.uniform(0.33, 0.48), rng.uniform(0.4, 0.62)
    paper = rng.random() < 0.4
    side = 1 if rng.random() < 0.5 else -1
    bodies: list[Capsule | Slab] = []
    if not paper:
        ring = (side * wide * 1.05, 0.0, 0.25)
        bodies.append(Slab(ring, (0.24, 0.3), 0.2, Material(color, body.gloss, 0.02), tilt, hole=0.36))
    bodies.append(Slab((0.0, 0.0, 0.3), (wide, high), 0.06, body, tilt, rng.uniform(0.1, 0.3) if paper else 0.03, 1.0))
    if paper and rng.random() < 0.6:
        lid = (high * np.sin(tilt), -high * np.cos(tilt), 0.42)
        bodies.append(
            Slab(lid, (wide * 1.06, 0.07), 0.05, Material(tuple(rng.uniform(0.01, 0.8) * np.ones(3))), tilt, 0, 1)
        )
    if rng.random() < 0.8:
        bodies += _gripping_hand(rng, skin, sleeve, np.array([side * wide * 0.4, rng.uniform(0.0, 0.25)]), side * 0.9)
    return bodies


def _phone(rng: np.random.Generator, skin, sleeve) -> list[Capsule | Slab]:
    """A phone held before the face, its back or its screen to the camera."""
    tilt = float(rng.normal(0, 0.35) + (np.pi / 2 if rng.random() < 0.2 else 0))
    tone = np.clip(rng.choice([0.01, 0.03, 0.3, 0.6]) * rng.uniform(0.8, 1.2, 3), 0, 0.9)
    case = Material(tuple(tone), 0.9, 0.0)
    bodies: list[Capsule | Slab] = [Slab((0, 0, 0.35), (0.37, 0.77), 0.1, case, tilt)]
    if rng.random() < 0.4:
        shine = Material(tuple(rng.uniform(0.05, 0.7, 3)), 0.2, 0, "screen", tuple(rng.uniform(0.05, 0.9, 3)), 0.25)
        bodies.append(Slab((0, 0, 0.36), (0.34, 0.73), 0.07, shine, tilt))
    else:
        for number in range(int(rng.integers(1, 4))):
            u, v = -0.2, -0.6 + 0.19 * number
            eye = (u * np.cos(tilt) - v * np.sin(tilt), u * np.sin(tilt) + v * np.cos(tilt), 0.37)
            bodies.append(Slab(eye, (0.075, 0.075), 0.075, Material((0.003, 0.003, 0.006), 1.0, 0), tilt))
    side = 1 if rng.random() < 0.5 else -1
    return bodies + _gripping_hand(rng, skin, sleeve, np.array([side * 0.1, rng.uniform(0.2, 0.5)]), side * 0.8)


def _gripping_hand(rng: np.random.Generator, skin, sleeve, place: Sequence[float], side: float) -> list[Capsule | Slab]:
    """A hand around what is drawn so far, its fingers before it; the forearm goes down and to the side."""
    hand = sample_hand(rng, "grip", skin, sleeve)
    turn = abs(hand.turn) * (1 if side < 0 else -1)  # the fingers point to the other side
    return [_translated(body, place) for body in hand_bodies(replace(hand, turn=float(turn)), 0.75)]


def _translated(body: Capsule | Slab, place: Sequence[float]) -> Capsule | Slab:
    x, y = (float(v) for v in place)
    if isinstance(body, Slab):
        return replace(body, centre=(body.centre[0] + x, body.centre[1] + y, body.centre[2]))
    start, end = ((p[0] + x, p[1] + y, p[2]) for p in (body.start, body.end))
    return replace(body, start=start, end=end)


def _cloth(rng: np.random.Generator) -> Material:
    color = rng.uniform(0.01, 0.6) * rng.uniform(0.4, 1.3, 3)
    pattern = str(rng.choice(["plain", "plain", "knit", "stripes"]))
    first, second = (tuple(np.clip(color * factor, 0, 0.9)) for factor in (1, rng.uniform(0.3, 1.5)))
    return Material(first, 0.05, 0.15, pattern, second, rng.uniform(0.06, 0.25), int(rng.integers(999)))


def _smoothstep(value: float) -> float:
    value = min(max(value, 0.0), 1.0)
    return value * value * (3 - 2 * value)
