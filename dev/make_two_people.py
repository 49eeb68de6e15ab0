"""Makes the carried scene of two people who answer each other in French, and the English voice of each.

    pip install -r training/requirements.txt hibari-tts==0.2.1
    python -m dev.make_two_people latentsync_core/assets/sample

The people are drawn by training/, the French is espeak-ng's, the English hibari-tts', his voice being hers lowered.
"""

from __future__ import annotations

import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np

from dev.make_sample import EVENING, insert_line, normalize_level, write_scene, write_sound
from dev.sample_sound import RATE, add_reverb, resampled
from latentsync_core.errors import AudioError
from latentsync_core.media.ffmpeg import run_ffmpeg
from training.synthetic.head.identity import sample_identity
from training.synthetic.head.motion import HeadMotion
from training.synthetic.head.motion import Path as HeadPath
from training.synthetic.scenes.scene import FIRST_TEST_SEED, Actor, Scene, Shot, render
from training.synthetic.speech.espeak import RATE as FRENCH_RATE
from training.synthetic.speech.espeak import Phoneme, speak
from training.synthetic.speech.performance import SAMPLE_RATE, Performance, Voice, to_16k
from training.synthetic.speech.visemes import Articulation, MouthMotion, split_phonemes

SECONDS = 7
FPS = Fraction(25)
SIZE = (800, 450)
CUT_SECONDS = 4.9  # seconds: from both of them to her alone
HER, HIM = 0, 1
PEOPLE = (FIRST_TEST_SEED + 206, FIRST_TEST_SEED + 245)  # never trained with
VOICES = (Voice("fr", "fr+f4", 156, 52, 62), Voice("fr", "fr+m3", 150, 34, 55))
LINES = (  # who speaks, seconds at which both languages begin
    (HER, 0.30, "Tu étais où hier soir?", "Where were you last night?"),
    (HIM, 1.95, "Sur le toit, à regarder l'orage.", "On the roof, watching the storm."),
    (HER, 4.95, "Et tu ne m'as rien dit.", "And you didn't say a word."),
)
BACKDROP_SEED = 42  # the backdrop's seed
CRF = 17  # x264's
ENGLISH_RATE = 24000  # hibari-tts'
PITCH_RATIO = 0.74  # of her pitch
SPEECH_SPEED = 0.9


def main(folder: Path) -> None:
    """Writes two_people.mp4, her_voice_en.flac and his_voice_en.flac into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    scene, sound = two_people()
    for who, name in ((HER, "her"), (HIM, "his")):
        write_sound(folder / f"{name}_voice_en.flac", english(who)[None], ENGLISH_RATE, "-sample_fmt", "s16")
    write_scene(folder / "two_people.mp4", scene, render(scene), sound, CRF)


def two_people() -> tuple[Scene, np.ndarray]:
    """Both in one picture, then her alone: `render` yields the frames with ground truth; and the audio, (2, n)."""
    spoken = [french(who) for who in (HER, HIM)]
    people = [sample_identity(person, "real") for person in PEOPLE]
    facing = ((0.22, 0.0, 0.0), (-0.24, 0.02, 0.0))
    motions = [HeadMotion(31 + who, SECONDS, 0.4, facing[who]) for who in (HER, HIM)]
    places = (HeadPath((0.27, 0.53), (0.275, 0.53), 0.225, 0.225), HeadPath((0.73, 0.50), (0.725, 0.50), 0.235, 0.235))
    close = HeadPath((0.47, 0.50), (0.49, 0.50), 0.29, 0.30)
    both = tuple(Actor(people[who], spoken[who][1], motions[who], places[who]) for who in (HER, HIM))
    alone = (Actor(people[HER], spoken[HER][1], HeadMotion(35, SECONDS, 0.4, (0.12, 0.0, 0.0)), close),)
    first = round(CUT_SECONDS * FPS)
    shots = (
        Shot(first, both, BACKDROP_SEED, EVENING, grain=1.0),
        Shot(round(SECONDS * FPS) - first, alone, BACKDROP_SEED, EVENING, grain=1.0),
    )
    waveform = spoken[HER][1].waveform + spoken[HIM][1].waveform
    return Scene(*SIZE, FPS, shots, waveform), spoken[HER][0] + spoken[HIM][0]


def french(who: int) -> tuple[np.ndarray, Performance]:
    """A person's lines as they sound in the room, (2, n) at RATE, and what the mouth does."""
    voice = VOICES[who]
    sound, waveform = np.zeros(SECONDS * RATE), np.zeros(SECONDS * SAMPLE_RATE, np.float32)
    phonemes, end = [], 0.0
    for _, start, line, _ in own_lines(who):
        utterance = speak(line, voice.name, voice.rate, voice.pitch, voice.pitch_range)
        insert_line(sound, resampled(utterance.samples, FRENCH_RATE), start, RATE)
        insert_line(waveform, to_16k(utterance.samples), start, SAMPLE_RATE)
        phonemes.append(Phoneme("", end, start))
        phonemes += [Phoneme(p.symbol, p.start + start, p.end + start) for p in utterance.phonemes]
        end = phonemes[-1].end
    phonemes.append(Phoneme("", end, SECONDS))
    mouth = MouthMotion(split_phonemes(tuple(phonemes)), Articulation(size=1.15, smile=0.1))
    lines = tuple(line for _, _, line, _ in own_lines(who))
    left = (0.62, 0.38)[who]
    wide = np.stack([np.sqrt(left), np.sqrt(1 - left)])[:, None] * normalize_level(sound) * np.sqrt(2)
    return wide + 0.14 * add_reverb(wide, 0.5, seed=2), Performance(voice, lines, tuple(phonemes), waveform, mouth)


def english(who: int) -> np.ndarray:
    """A person's English, dry, as long as the scene: (n,) at ENGLISH_RATE."""
    from hibari import Hibari  # only here, so that tests can draw the scene without it

    speaker = Hibari()
    sound = np.zeros(SECONDS * ENGLISH_RATE)
    for _, start, _, line in own_lines(who):
        samples = speaker(line, speed=SPEECH_SPEED, seed=1).astype(np.float64)
        loud = np.flatnonzero(np.abs(samples) > 0.004)
        samples = samples[max(loud[0] - ENGLISH_RATE // 50, 0) : loud[-1] + ENGLISH_RATE // 20]
        insert_line(sound, lower_pitch(samples) if who == HIM else samples, start, ENGLISH_RATE)
    return normalize_level(sound)


def lower_pitch(samples: np.ndarray) -> np.ndarray:
    """A woman's line in a man's voice, as long as it was."""
    with tempfile.TemporaryDirectory() as work:
        raw = ["-f", "f32le", "-ar", str(ENGLISH_RATE), "-ac", "1"]
        given, got = Path(work) / "her.raw", Path(work) / "him.raw"
        given.write_bytes(samples.astype("<f4").tobytes())
        pitch = f"rubberband=pitch={PITCH_RATIO}:formant=shifted"
        run_ffmpeg([*raw, "-i", str(given), "-af", pitch, *raw, str(got)], error=AudioError, what="Can't lower a voice")
        return np.frombuffer(got.read_bytes(), "<f4").astype(np.float64)[: len(samples)]


def own_lines(who: int) -> list[tuple[int, float, str, str]]:
    return [line for line in LINES if line[0] == who]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
