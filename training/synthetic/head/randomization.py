"""Domain randomisation: people, and clothes, in colours and patterns that nobody has.

A network that saw natural skins alone paints those, whatever face it is shown. Where any skin may come, all that it can
learn is to copy the reference frames' skin and to move the lips (Tobin et al. 2017, https://arxiv.org/abs/1703.06907).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .costume import Costume
from .identity import CLOTHES, Color, Identity
from .pattern import KINDS, Pattern
from .surroundings import LONG_CUTS

PATTERN_SHARES = (0.5, 0.25, 0.1, 0.15)  # of pattern.KINDS
PATTERNED_SHARE = 0.8  # of the randomised people and costumes; the others are plain, of any colour
ANY_COLOR_SHARE = 0.5  # of the skins, of the hair and of the lips
LONG_HAIR_SHARE = 0.35  # of the randomised people, beside those who have it anyway: hair beside the jaw
SCARF_SHARE = 0.6  # of the costumes


def randomize(person: Identity, seed: int) -> Identity:
    """The same head with colours, and mostly a pattern, that have nothing to do with people."""
    rng = np.random.default_rng((15487559, seed))

    def recolor(color: Color) -> Color:
        return tuple(float(v) for v in rng.uniform(0.06, 0.95, 3)) if rng.random() < ANY_COLOR_SHARE else color

    pattern = _sample_pattern(rng, seed)
    changed = replace(
        person, skin=recolor(person.skin), lip_color=recolor(person.lip_color), hair=recolor(person.hair),
        beard_color=recolor(person.beard_color), cloth_color=recolor(person.cloth_color),
        cloth=str(rng.choice(CLOTHES)), texture=float(rng.uniform(0, 1)), lip_gloss=float(rng.uniform(0, 1)),
        pattern=pattern,
    )  # fmt: skip
    return replace(changed, hair_cut=str(rng.choice(LONG_CUTS))) if rng.random() < LONG_HAIR_SHARE else changed


def random_costume(seed: int) -> Costume:
    """A coat over a jumper, often with a scarf, in any colours and mostly with a pattern."""
    rng = np.random.default_rng((15487583, seed))
    coat, jumper, scarf = (tuple(float(v) for v in rng.uniform(0.06, 0.95, 3)) for _ in range(3))
    worn = scarf if rng.random() < SCARF_SHARE else None
    return Costume(seed, coat, jumper, worn, _sample_pattern(rng, seed))


def _sample_pattern(rng: np.random.Generator, seed: int) -> Pattern | None:
    if rng.random() >= PATTERNED_SHARE:
        return None
    kind = str(rng.choice(KINDS, p=PATTERN_SHARES))
    return Pattern(seed, kind, float(rng.uniform(0, 0.95)), float(rng.uniform(0, 1.6)))
