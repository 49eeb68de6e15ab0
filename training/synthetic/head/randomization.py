"""Domain randomisation: people in colours and patterns that nobody has.

A network that saw natural skins alone paints those, whatever face it is shown. Where any skin may come, all that it can
learn is to copy the reference frames' skin and to move the lips (Tobin et al. 2017, https://arxiv.org/abs/1703.06907).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .identity import CLOTHES, Color, Identity
from .pattern import KINDS, Pattern

PATTERN_SHARES = (0.5, 0.25, 0.1, 0.15)  # of pattern.KINDS
PATTERNED_SHARE = 0.8  # of the randomised people; the others have a plain skin of any colour
ANY_COLOR_SHARE = 0.5  # of the skins, of the hair and of the lips


def randomize(person: Identity, seed: int) -> Identity:
    """The same head with colours, and mostly a pattern, that have nothing to do with people."""
    rng = np.random.default_rng((15487559, seed))

    def recolor(color: Color) -> Color:
        return tuple(float(v) for v in rng.uniform(0.06, 0.95, 3)) if rng.random() < ANY_COLOR_SHARE else color

    pattern = None
    if rng.random() < PATTERNED_SHARE:
        kind = str(rng.choice(KINDS, p=PATTERN_SHARES))
        pattern = Pattern(seed, kind, float(rng.uniform(0, 0.95)), float(rng.uniform(0, 1.6)))
    return replace(
        person, skin=recolor(person.skin), lip_color=recolor(person.lip_color), hair=recolor(person.hair),
        beard_color=recolor(person.beard_color), cloth_color=recolor(person.cloth_color),
        cloth=str(rng.choice(CLOTHES)), texture=float(rng.uniform(0, 1)), lip_gloss=float(rng.uniform(0, 1)),
        pattern=pattern,
    )  # fmt: skip
