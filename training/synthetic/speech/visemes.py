"""From phonemes to a moving mouth: a target for every sound, blended by how strongly each one insists (coarticulation).

Blending after M. Cohen and D. Massaro, "Modeling coarticulation in synthetic visual speech" (1993): each sound's
dominance rises before and falls after it; a parameter is the mean of the targets weighted by dominance. Closures and
silence come on top, since a weighted mean never quite closes a mouth.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from ..head.mouth import MouthShape
from .espeak import Phoneme

PARAMETERS = ("opening", "jaw", "width", "rounding", "upper_teeth", "lower_teeth", "tongue", "press")
LEAD_SECONDS = 0.075  # seconds over which a sound announces itself
LAG_SECONDS = 0.085  # seconds over which it fades
MIN_CLOSURE_SECONDS = 0.052  # seconds that p, b and m stay shut at least: longer than a frame at 24 fps lasts
CLOSURE_RAMP_SECONDS = 0.045  # seconds from half open to shut, and back
MIN_PAUSE_SECONDS = 0.11  # seconds of silence that close the mouth
SILENCE_RAMP_SECONDS = 0.09  # seconds that closing into silence and opening out of it take
FULL_VOWEL_SECONDS = 0.085  # seconds that a vowel needs to reach its target
LIP_PARAMETERS = ("width", "rounding", "press")
LANGUAGE_CHANGE = re.compile(r"\([^)]*\)?")  # espeak-ng's "(en)" where a word is foreign
IGNORED_SYMBOLS = "ˈˌːˑ̩̯̃̆ʲʰ̪‿~'_:;-."
REST_DOMINANCE = 0.02  # of the resting shape, where no sound insists
REST = (0.0, 0.0, 1.0, 0.0, 0.5, 0.0, 0.2, 0.0)

# opening, jaw, width, rounding, upper teeth, lower teeth, tongue, press; dominance of the opening, of the lips
_OPEN, _LIPS = 8, 9
TARGETS: dict[str, tuple[float, ...]] = {
    "a": (0.25, 0.23, 1.00, 0.0, 0.55, 0.10, 0.15, 0, 1.0, 0.7),
    "æ": (0.24, 0.21, 1.08, 0.0, 0.75, 0.20, 0.20, 0, 1.0, 0.8),
    "ɑ": (0.28, 0.27, 0.95, 0.1, 0.35, 0.05, 0.05, 0, 1.0, 0.7),
    "ɐ": (0.20, 0.18, 0.98, 0.0, 0.50, 0.10, 0.20, 0, 0.9, 0.6),
    "ʌ": (0.18, 0.16, 0.97, 0.0, 0.45, 0.10, 0.20, 0, 0.9, 0.6),
    "ɛ": (0.18, 0.15, 1.06, 0.0, 0.70, 0.25, 0.35, 0, 0.9, 0.8),
    "e": (0.13, 0.10, 1.11, 0.0, 0.75, 0.35, 0.50, 0, 0.9, 0.9),
    "ɪ": (0.10, 0.07, 1.08, 0.0, 0.70, 0.35, 0.55, 0, 0.8, 0.8),
    "i": (0.08, 0.04, 1.17, 0.0, 0.80, 0.45, 0.65, 0, 0.9, 1.0),
    "ɨ": (0.08, 0.05, 1.05, 0.0, 0.65, 0.35, 0.55, 0, 0.8, 0.7),
    "ə": (0.11, 0.09, 0.98, 0.1, 0.45, 0.15, 0.35, 0, 0.5, 0.3),
    "ɜ": (0.13, 0.11, 0.95, 0.3, 0.40, 0.15, 0.40, 0, 0.8, 0.7),
    "ɔ": (0.20, 0.18, 0.82, 0.6, 0.15, 0.00, 0.10, 0, 1.0, 1.0),
    "o": (0.14, 0.13, 0.74, 0.8, 0.08, 0.00, 0.15, 0, 1.0, 1.1),
    "ʊ": (0.09, 0.07, 0.72, 0.8, 0.10, 0.05, 0.25, 0, 0.9, 1.1),
    "u": (0.06, 0.05, 0.64, 1.0, 0.05, 0.00, 0.20, 0, 1.0, 1.3),
    "y": (0.06, 0.04, 0.66, 1.0, 0.10, 0.05, 0.60, 0, 1.0, 1.3),
    "ø": (0.11, 0.09, 0.72, 0.85, 0.12, 0.05, 0.45, 0, 1.0, 1.1),
    "œ": (0.16, 0.14, 0.80, 0.6, 0.25, 0.05, 0.35, 0, 1.0, 1.0),
    "p": (0.00, 0.03, 1.00, 0.0, 0.30, 0.00, 0.20, 1.0, 0.9, 0.4),
    "b": (0.00, 0.03, 1.00, 0.0, 0.30, 0.00, 0.20, 0.8, 0.9, 0.4),
    "m": (0.00, 0.03, 1.00, 0.0, 0.30, 0.00, 0.20, 0.7, 0.9, 0.4),
    "β": (0.03, 0.04, 0.98, 0.1, 0.30, 0.10, 0.25, 0.5, 1.0, 0.5),
    "f": (0.035, 0.04, 1.00, 0.0, 0.95, 0.00, 0.20, 0.6, 1.3, 0.7),
    "v": (0.035, 0.04, 1.00, 0.0, 0.95, 0.00, 0.20, 0.5, 1.3, 0.7),
    "θ": (0.07, 0.06, 1.02, 0.0, 0.60, 0.15, 0.95, 0, 0.9, 0.5),
    "ð": (0.07, 0.06, 1.02, 0.0, 0.60, 0.15, 0.90, 0, 0.8, 0.4),
    "t": (0.06, 0.05, 1.03, 0.0, 0.70, 0.30, 0.80, 0, 0.7, 0.3),
    "d": (0.06, 0.05, 1.03, 0.0, 0.70, 0.30, 0.80, 0, 0.7, 0.3),
    "n": (0.07, 0.06, 1.02, 0.0, 0.60, 0.25, 0.85, 0, 0.6, 0.3),
    "l": (0.09, 0.08, 1.02, 0.0, 0.55, 0.20, 0.90, 0, 0.6, 0.3),
    "ʎ": (0.08, 0.06, 1.06, 0.0, 0.60, 0.30, 0.80, 0, 0.6, 0.4),
    "ɲ": (0.07, 0.05, 1.05, 0.0, 0.60, 0.30, 0.75, 0, 0.6, 0.4),
    "s": (0.055, 0.02, 1.07, 0.0, 0.80, 0.60, 0.60, 0, 1.1, 0.7),
    "z": (0.055, 0.02, 1.07, 0.0, 0.80, 0.60, 0.60, 0, 1.1, 0.7),
    "ʃ": (0.075, 0.03, 0.78, 0.75, 0.75, 0.60, 0.50, 0, 1.1, 1.1),
    "ʒ": (0.075, 0.03, 0.78, 0.75, 0.75, 0.60, 0.50, 0, 1.1, 1.1),
    "ç": (0.08, 0.05, 1.02, 0.1, 0.70, 0.45, 0.60, 0, 0.8, 0.5),
    "k": (0.09, 0.07, 1.01, 0.0, 0.50, 0.20, 0.45, 0, 0.4, 0.15),
    "ɡ": (0.09, 0.07, 1.01, 0.0, 0.50, 0.20, 0.45, 0, 0.4, 0.15),
    "ŋ": (0.09, 0.07, 1.01, 0.0, 0.45, 0.20, 0.45, 0, 0.4, 0.15),
    "x": (0.11, 0.09, 1.00, 0.0, 0.50, 0.15, 0.40, 0, 0.5, 0.2),
    "ɣ": (0.10, 0.08, 1.00, 0.0, 0.50, 0.15, 0.40, 0, 0.4, 0.15),
    "ʁ": (0.10, 0.08, 1.00, 0.05, 0.45, 0.15, 0.35, 0, 0.5, 0.2),
    "r": (0.08, 0.07, 1.01, 0.0, 0.55, 0.25, 0.75, 0, 0.6, 0.3),
    "ɾ": (0.08, 0.07, 1.01, 0.0, 0.55, 0.25, 0.75, 0, 0.5, 0.25),
    "ɹ": (0.08, 0.06, 0.84, 0.5, 0.40, 0.20, 0.50, 0, 0.8, 0.8),
    "w": (0.035, 0.04, 0.62, 1.0, 0.05, 0.00, 0.20, 0, 1.1, 1.3),
    "ɥ": (0.04, 0.04, 0.64, 1.0, 0.10, 0.00, 0.50, 0, 1.1, 1.3),
    "j": (0.07, 0.04, 1.12, 0.0, 0.70, 0.40, 0.70, 0, 0.7, 0.7),
    "h": (0.12, 0.10, 1.00, 0.0, 0.45, 0.10, 0.20, 0, 0.15, 0.1),
}  # fmt: skip
PHONE_ALIASES = {
    "ɚ": "ɜ", "ɝ": "ɜ", "ᵻ": "ɪ", "ɒ": "ɔ", "ɘ": "ə", "ʏ": "y", "ɯ": "u", "g": "ɡ", "ɫ": "l", "ɭ": "l", "ʀ": "ʁ",
    "χ": "x", "ɦ": "h", "ʔ": "h", "c": "k", "ɟ": "ɡ", "ɕ": "ʃ", "ʑ": "ʒ", "ʂ": "ʃ", "ʐ": "ʒ", "ɱ": "m", "ɳ": "n",
    "ɻ": "ɹ", "ʝ": "j", "ɸ": "f", "ʋ": "v", "ʈ": "t", "ɖ": "d", "ɽ": "ɾ", "ɵ": "ø", "ʉ": "ʊ", "ʍ": "w", "ɶ": "œ",
    "ä": "a",
}  # fmt: skip
VOWELS = frozenset("aæɑɐʌɛeɪiɨəɜɔoʊuyøœ")
CLOSURES = frozenset("pbm")


@dataclass(frozen=True)
class Articulation:
    """How somebody articulates."""

    size: float = 1.0  # of every opening
    width: float = 1.0  # how far widths leave their rest
    smile: float = 0.0
    slowness: float = 1.0  # of the blending in time


@dataclass(frozen=True)
class Sound:
    """A sound after its symbol was taken apart: a key of TARGETS, or "" for silence."""

    key: str
    start: float
    end: float
    stressed: bool = False


def split_phonemes(phonemes: tuple[Phoneme, ...]) -> list[Sound]:
    """Takes phonemes apart into single sounds (a diphthong is two); what has no target of its own is left out, and
    neighbouring silences are joined, those too short for a pause go to the next sound."""
    found: list[Sound] = []
    for phoneme in phonemes:
        symbol = LANGUAGE_CHANGE.sub("", phoneme.symbol)
        letters = [PHONE_ALIASES.get(c, c) for c in symbol if c not in IGNORED_SYMBOLS]
        keys = [c for c in letters if c in TARGETS]
        if not keys and not phoneme.symbol.strip():
            if found and found[-1].key == "":
                found[-1] = Sound("", found[-1].start, phoneme.end)
            else:
                found.append(Sound("", phoneme.start, phoneme.end))
            continue
        length = (phoneme.end - phoneme.start) / max(len(keys), 1)
        for index, key in enumerate(keys):
            start = phoneme.start + index * length
            found.append(Sound(key, start, start + length, "ˈ" in phoneme.symbol))
    return _merge_short_silences(found)


def _merge_short_silences(sounds: list[Sound]) -> list[Sound]:
    """Gives every silence too short for a pause to the sound after it: espeak-ng marks glides and taps so."""
    kept: list[Sound] = []
    waiting: float | None = None
    for sound in sounds:
        if not sound.key and sound.end - sound.start < MIN_PAUSE_SECONDS:
            waiting = sound.start if waiting is None else waiting
            continue
        if waiting is not None:
            sound = replace(sound, start=waiting)
            waiting = None
        kept.append(sound)
    return kept


class MouthMotion:
    """The mouth over time: callable at any moments, so at any frame rate."""

    def __init__(self, sounds: list[Sound], articulation: Articulation | None = None):
        self.articulation = articulation or Articulation()
        self.sounds = sounds
        spoken = [s for s in sounds if s.key]
        self._targets = np.array([self._target(s) for s in spoken] or [(*REST, 0, 0)])
        self._starts = np.array([s.start for s in spoken] or [0.0])
        self._ends = np.array([s.end for s in spoken] or [0.0])
        shut = [_widened(s, MIN_CLOSURE_SECONDS) for s in spoken if s.key in CLOSURES]
        self.closures = np.array(shut or np.zeros((0, 2))).reshape(-1, 2)
        quiet = [(s.start, s.end) for s in sounds if not s.key and s.end - s.start >= MIN_PAUSE_SECONDS]
        self.silences = np.array(quiet or np.zeros((0, 2))).reshape(-1, 2)

    def __call__(self, times: np.ndarray) -> list[MouthShape]:
        """The mouth's shape at each of the (n,) seconds."""
        values = self.values(np.asarray(times, np.float64))
        return [
            MouthShape(**dict(zip(PARAMETERS, map(float, row), strict=True)), smile=self.articulation.smile)
            for row in values
        ]

    def values(self, times: np.ndarray) -> np.ndarray:
        """(n, 8): PARAMETERS at the given seconds."""
        slowness = self.articulation.slowness
        before = np.maximum(self._starts - times[:, None], 0) / (LEAD_SECONDS * slowness)
        after = np.maximum(times[:, None] - self._ends, 0) / (LAG_SECONDS * slowness)
        dominance = np.exp(-((before + after) ** 1.25) * 2.2)
        centre = (self._starts + self._ends) / 2
        span = np.maximum((self._ends - self._starts) / 2, 0.02)
        dominance = dominance * (0.55 + 0.45 * np.clip(1 - ((times[:, None] - centre) / span) ** 2, 0, 1))
        opening_dominance = dominance * self._targets[:, _OPEN]
        lip_dominance = dominance * self._targets[:, _LIPS]
        rest = np.array(REST)
        out = np.empty((len(times), len(PARAMETERS)))
        for index, name in enumerate(PARAMETERS):
            weight = lip_dominance if name in LIP_PARAMETERS else opening_dominance
            out[:, index] = (weight @ self._targets[:, index] + REST_DOMINANCE * rest[index]) / (
                weight.sum(1) + REST_DOMINANCE
            )
        quiet = _gate(times, self.silences, SILENCE_RAMP_SECONDS, inwards=True)
        out = out + quiet[:, None] * (rest - out)
        shut = np.maximum(_gate(times, self.closures, CLOSURE_RAMP_SECONDS), 0)
        out[:, 0] *= 1 - shut
        out[:, 1] *= 1 - 0.6 * shut
        out[out[:, 0] < 0.002, 0] = 0
        out[:, 0] *= self.articulation.size
        out[:, 1] = np.minimum(out[:, 1] * self.articulation.size, out[:, 0] * 0.95 + 0.03)
        out[:, 2] = 1 + (out[:, 2] - 1) * self.articulation.width
        return out

    def _target(self, sound: Sound) -> tuple[float, ...]:
        target = list(TARGETS[sound.key])
        if sound.key in VOWELS:
            reached = min(1.0, 0.62 + 0.38 * (sound.end - sound.start) / FULL_VOWEL_SECONDS)
            for index in (0, 1):
                target[index] *= reached * (1.10 if sound.stressed else 0.92)
        return tuple(target)


def _widened(sound: Sound, length: float) -> tuple[float, float]:
    middle, half = (sound.start + sound.end) / 2, max(sound.end - sound.start, length) / 2
    return middle - half, middle + half


def _gate(times: np.ndarray, spans: np.ndarray, ramp: float, inwards: bool = False) -> np.ndarray:
    """(n,): 1 within any span, falling smoothly to 0 over `ramp` seconds outside it (or inside its edges)."""
    if not len(spans):
        return np.zeros(len(times))
    starts, ends = spans[:, 0], spans[:, 1]
    if inwards:  # half of the ramp, at most a third of the pause, lies inside
        into = np.minimum(ramp / 2, (ends - starts) / 3)
        starts, ends = starts + into, ends - into
    away = np.maximum(np.maximum(starts - times[:, None], times[:, None] - ends), 0).min(1) / ramp
    t = np.clip(1 - away, 0, 1)
    return t * t * (3 - 2 * t)
