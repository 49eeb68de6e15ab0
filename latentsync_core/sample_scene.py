"""The carried sample: rendered scenes, their English voices, and a portrait."""

from __future__ import annotations

from pathlib import Path

SAMPLE = Path(__file__).parent / "assets" / "sample"  # all of it drawn and made by dev/make_sample.py
SCENE = SAMPLE / "scene.mp4"  # somebody who speaks French
VOICE = SAMPLE / "voice_en.flac"  # the same in English, as long as the scene
MUSIC_AND_EFFECTS = SAMPLE / "music_and_effects.ogg"  # what the scene's sound has beside the voice
PORTRAIT = SAMPLE / "portrait.png"  # somebody to make talk
TWO_PEOPLE = SAMPLE / "two_people.mp4"  # two who answer each other in French, made by dev/make_two_people.py
HER_VOICE = SAMPLE / "her_voice_en.flac"  # what each of them says there, in English, as long as the scene
HIS_VOICE = SAMPLE / "his_voice_en.flac"
