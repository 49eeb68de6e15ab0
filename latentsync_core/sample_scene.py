"""The carried sample: rendered scenes, their English voices, and a portrait."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Line:
    """A line of the scene, in the language of the film and in that of the dub."""

    start: float  # seconds at which both begin
    end: float  # seconds at which the longer one has ended
    french: str  # in letters of ASCII, as Pillow's own font has no others
    english: str


SAMPLE = Path(__file__).parent / "assets" / "sample"  # all of it drawn and made by dev/make_sample.py
SCENE = SAMPLE / "scene.mp4"  # a woman speaks French to a man; three shots
VOICE = SAMPLE / "voice_en.flac"  # the same in English, as long as the scene
LINES = (
    Line(0.50, 2.55, "Le dernier train est parti sans moi.", "The last train left without me."),
    Line(2.80, 5.50, "Alors j'ai attendu, et toute la ville s'illumine.", "So I stayed, and the whole city lit up."),
    Line(5.95, 7.60, "Viens, reste avec moi.", "Come, stay with me."),
)
MUSIC_AND_EFFECTS = SAMPLE / "music_and_effects.ogg"  # what the scene's sound has beside the voice
PORTRAIT = SAMPLE / "portrait.png"  # a person to make talk
TWO_PEOPLE = SAMPLE / "two_people.mp4"  # two who answer each other in French, made by dev/make_two_people.py
HER_VOICE = SAMPLE / "her_voice_en.flac"  # what each of them says there, in English, as long as the scene
HIS_VOICE = SAMPLE / "his_voice_en.flac"
