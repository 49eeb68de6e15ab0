"""Who is drawn: the seeded choice of a head's shape, skin, hair, beard, glasses, make-up, age and clothes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .pattern import Pattern

STYLES = ("real", "cartoon", "anime")
STYLE_SHARES = (0.62, 0.18, 0.20)
SKIN_TONES = (  # sRGB, from light to dark
    (245, 214, 196), (236, 196, 172), (226, 184, 153), (214, 164, 128), (196, 144, 108),
    (172, 118, 84), (146, 97, 66), (118, 77, 54), (92, 60, 44), (72, 47, 37),
)  # fmt: skip
HAIR_COLORS = (
    (22, 18, 18), (38, 28, 24), (62, 42, 30), (92, 62, 38), (128, 88, 52),
    (172, 132, 80), (206, 170, 112), (128, 58, 30), (150, 146, 142), (214, 210, 204),
)  # fmt: skip
ANIME_HAIR = (
    (40, 44, 70), (90, 60, 140), (220, 120, 150), (80, 140, 190), (230, 200, 110), (190, 70, 60), (70, 130, 100),
    (235, 232, 240),
)  # fmt: skip
IRIS_COLORS = ((70, 44, 28), (92, 62, 36), (58, 36, 26), (96, 110, 66), (78, 112, 146), (112, 128, 136), (62, 86, 92))
MEN_CUTS = ("bald", "buzz", "short", "short", "side", "side", "fringe", "curly", "long")
WOMEN_CUTS = ("short", "side", "fringe", "long", "long", "long_fringe", "long_fringe", "bun", "curly")
BEARDS = ("none", "stubble", "moustache", "goatee", "full")
CLOTHES = ("round", "v", "shirt", "turtleneck")

Color = tuple[float, float, float]  # sRGB, 0 to 1


@dataclass(frozen=True)
class Identity:
    """A person. Lengths in head units: the chin lies 1 below the head's origin, brows about 0.33 above it."""

    seed: int  # of every texture
    style: str  # "real", "cartoon" or "anime"
    # head
    width: float
    depth: float
    crown: float  # how far the skull's top lies above the origin
    jaw: float  # how square the lower outline is: 2 an egg, 3.3 a square jaw
    taper: float  # how much the face narrows towards the chin
    chin: float  # how far the chin comes forward
    nose_width: float
    nose_height: float
    nose_length: float
    cheeks: float
    # skin
    skin: Color
    texture: float  # 0 smooth to 1 rough
    freckles: float
    blush: float
    age: float  # 0 to 1
    # eyes
    eye_x: float
    eye_y: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    iris: Color
    iris_size: float
    lashes: float
    brow_thickness: float
    brow_arch: float
    brow_tilt: float
    # mouth, at rest
    mouth_y: float
    mouth_width: float  # half of it
    upper_lip: float
    lower_lip: float
    cupid: float
    corner: float  # how far the corners are raised at rest
    lip_color: Color
    lip_gloss: float
    teeth: Color
    # around
    hair_cut: str
    hair: Color
    hair_volume: float
    hair_line: float
    parting: float
    beard: str
    beard_color: Color
    glasses: str  # "none", "round", "square", "aviator", "dark"
    glasses_color: Color
    eye_shadow: float
    cloth: str
    cloth_color: Color
    outline: float  # 0 none to 1: drawn contours
    cel: float  # 0 smooth light to 1: light in two tones
    pattern: Pattern | None = None  # painted over the skin, in training alone

    @property
    def eyes(self) -> np.ndarray:
        """(2, 2): the eyes' centres, left one of the picture first."""
        return np.array([[-self.eye_x, self.eye_y], [self.eye_x, self.eye_y]])


def sample_identity(seed: int, style: str | None = None) -> Identity:
    """The person of this seed, always the same one; `style` overrides the drawn style, not the rest."""
    rng = np.random.default_rng((7919, seed))
    drawn = str(rng.choice(STYLES, p=STYLE_SHARES))
    style = style or drawn
    woman = rng.random() < 0.5
    age = float(rng.beta(1.3, 2.2))
    tone = rng.random() * (len(SKIN_TONES) - 1)
    skin = _interpolate_color(SKIN_TONES, tone) * rng.uniform(0.96, 1.04, 3)
    hair = np.array(HAIR_COLORS[rng.choice(8) if tone < 4.5 else rng.choice(3)]) * rng.uniform(0.85, 1.15)
    if age > 0.5:
        grey = np.clip((age - 0.5) * 2.5, 0, 1) * rng.random()
        hair = hair * (1 - grey) + np.array(HAIR_COLORS[8 + rng.choice(2)]) * grey
    cuts = WOMEN_CUTS if woman else MEN_CUTS
    made_up = woman * rng.random()
    lips = skin / 255 * (0.86, 0.62, 0.62) + np.array([0.03, 0.0, 0.01])
    rouge = np.array([(0.70, 0.10, 0.16), (0.60, 0.16, 0.26), (0.78, 0.34, 0.36), (0.45, 0.10, 0.16)][rng.choice(4)])
    lips = lips * (1 - 0.8 * made_up * (made_up > 0.45)) + rouge * 0.8 * made_up * (made_up > 0.45)
    beard = "none" if woman or age < 0.12 else str(rng.choice(BEARDS, p=(0.4, 0.2, 0.12, 0.13, 0.15)))
    fuller = rng.uniform(0.75, 1.3)
    whiteness = rng.uniform(0.80, 0.95)
    person = Identity(
        seed=seed, style=style,
        width=rng.uniform(0.73, 0.82), depth=rng.uniform(0.78, 0.88), crown=rng.uniform(1.08, 1.18),
        jaw=rng.uniform(2.2, 2.6) if woman else rng.uniform(2.4, 3.3), taper=rng.uniform(0.06, 0.22),
        chin=rng.uniform(0.26, 0.38), nose_width=rng.uniform(0.8, 1.25), nose_height=rng.uniform(0.8, 1.2),
        nose_length=rng.uniform(0.92, 1.06), cheeks=rng.uniform(0.4, 1.3),
        skin=_color(skin), texture=float(np.clip(rng.uniform(0.15, 0.6) + 0.4 * age, 0, 1)),
        freckles=rng.uniform(0.3, 1) if tone < 3 and rng.random() < 0.3 else 0.0, blush=rng.uniform(0, 0.7), age=age,
        eye_x=rng.uniform(0.295, 0.33), eye_y=rng.uniform(-0.125, -0.095), eye_width=rng.uniform(0.142, 0.168),
        eye_height=rng.uniform(0.05, 0.07), eye_tilt=rng.uniform(-0.02, 0.06),
        iris=_color(np.array(IRIS_COLORS[rng.choice(len(IRIS_COLORS)) if tone < 4 else rng.choice(3)])),
        iris_size=rng.uniform(0.060, 0.068), lashes=rng.uniform(0.6, 1.2) if woman else rng.uniform(0.2, 0.6),
        brow_thickness=rng.uniform(0.6, 1.1) if woman else rng.uniform(0.95, 1.55),
        brow_arch=rng.uniform(0.0, 0.024), brow_tilt=rng.uniform(-0.10, 0.03),
        mouth_y=rng.uniform(0.545, 0.59), mouth_width=rng.uniform(0.245, 0.30),
        upper_lip=rng.uniform(0.04, 0.062) * fuller, lower_lip=rng.uniform(0.055, 0.082) * fuller,
        cupid=rng.uniform(0.3, 1.2), corner=rng.uniform(-0.01, 0.025), lip_color=_color(lips * 255),
        lip_gloss=rng.uniform(0.2, 0.5) + 0.5 * made_up,
        teeth=(whiteness, whiteness * rng.uniform(0.95, 0.99), whiteness * rng.uniform(0.84, 0.95)),
        hair_cut=str(rng.choice(cuts)), hair=_color(hair), hair_volume=rng.uniform(0.06, 0.14),
        hair_line=rng.uniform(-0.78, -0.64), parting=rng.uniform(-0.4, 0.4),
        beard=beard, beard_color=_color(hair * rng.uniform(0.8, 1.05)),
        glasses=str(rng.choice(("round", "square", "aviator", "dark"), p=(0.35, 0.4, 0.17, 0.08)))
        if rng.random() < 0.22 else "none",
        glasses_color=_color(rng.choice([(20, 20, 22), (60, 36, 22), (150, 130, 90), (110, 112, 116)])),
        eye_shadow=made_up * rng.uniform(0, 0.8), cloth=str(rng.choice(CLOTHES)),
        cloth_color=_color(rng.uniform(25, 215) + rng.uniform(-35, 35, 3)), outline=0.0, cel=0.0,
    )  # fmt: skip
    if style == "real":
        return person
    anime = style == "anime"
    big = rng.uniform(1.35, 1.7) if anime else rng.uniform(1.1, 1.3)
    return replace(
        person, texture=0.0 if anime else 0.12, freckles=0.0, age=min(age, 0.3),
        eye_width=person.eye_width * (1.15 if anime else 1.08), eye_height=person.eye_height * big * 1.25,
        iris_size=person.iris_size * big * 1.05, lashes=rng.uniform(0.8, 1.5) if anime else person.lashes,
        iris=_color(rng.uniform(50, 190, 3)) if anime else person.iris,
        eye_y=person.eye_y + (0.03 if anime else 0.01),
        nose_width=person.nose_width * (0.6 if anime else 0.85),
        nose_height=person.nose_height * (0.55 if anime else 0.85),
        taper=person.taper + (0.05 if anime else 0.03), jaw=min(person.jaw, 2.5),
        upper_lip=person.upper_lip * (0.5 if anime else 0.85), lower_lip=person.lower_lip * (0.55 if anime else 0.9),
        hair=_color(np.array(ANIME_HAIR[rng.choice(len(ANIME_HAIR))])) if anime and rng.random() < 0.7 else person.hair,
        skin=_color(_interpolate_color(SKIN_TONES, rng.random() * 2.5)) if anime else person.skin,
        beard="none" if anime else person.beard, hair_volume=person.hair_volume * 1.25,
        lip_gloss=person.lip_gloss * 0.5, outline=rng.uniform(0.6, 1.0) if anime else rng.uniform(0, 0.4),
        cel=rng.uniform(0.75, 1.0) if anime else rng.uniform(0.1, 0.5),
    )  # fmt: skip


def _interpolate_color(colors: tuple, place: float) -> np.ndarray:
    low = int(place)
    high = min(low + 1, len(colors) - 1)
    return np.array(colors[low]) * (1 - place + low) + np.array(colors[high]) * (place - low)


def _color(levels: np.ndarray) -> Color:
    return tuple(float(v) for v in np.clip(np.asarray(levels, float) / 255, 0.03, 0.97))
