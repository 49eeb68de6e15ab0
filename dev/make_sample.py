"""Makes the carried sample: a film scene in French, its English voice, its music-and-effects track, and a portrait.

Everybody in it is drawn by training/; the French is espeak-ng's, the English hibari-tts', the music ours. Needs

    pip install -r training/requirements.txt hibari-tts==0.2.1
    python -m dev.make_sample latentsync_core/assets/sample

The same versions of those give the same pictures and sounds; the encoders' bytes may differ from ffmpeg to ffmpeg.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from dev.sample_sound import RATE, add_reverb, music_and_effects, resampled
from latentsync_core.media.ffmpeg import QUIET, ffmpeg_executable
from training.synthetic.backdrop import backdrop
from training.synthetic.head.identity import sample_identity
from training.synthetic.head.light import Light
from training.synthetic.head.motion import HeadMotion
from training.synthetic.head.motion import Path as HeadPath
from training.synthetic.head.mouth import MouthShape
from training.synthetic.head.painter import HeadState, Painter
from training.synthetic.head.surface import Pose
from training.synthetic.scenes.clip_file import write_clip
from training.synthetic.scenes.scene import FIRST_TEST_SEED, Actor, Scene, Shot
from training.synthetic.speech.espeak import RATE as FRENCH_RATE
from training.synthetic.speech.espeak import Phoneme, speak
from training.synthetic.speech.performance import SAMPLE_RATE, Performance, Voice, to_16k
from training.synthetic.speech.visemes import Articulation, MouthMotion, split_phonemes

SECONDS = 8
FPS = Fraction(25)
SIZE = (960, 540)
PERSON = FIRST_TEST_SEED + 200  # never trained with, and neither are the voice and the lines
VOICE = Voice("fr", "fr+f4", rate=156, pitch=52, pitch_range=62)
LINES = (  # seconds at which both languages begin
    (0.50, "Le dernier train est parti sans moi.", "The last train left without me."),
    (2.80, "Alors je suis restée, et toute la ville s'est allumée.", "So I stayed, and the whole city lit up."),
    (5.95, "Viens, reste avec moi.", "Come, stay with me."),
)
ENGLISH_RATE = 24000  # hibari-tts'
SPEECH_SPEED = 0.88  # of the English, which is shorter than the French
EVENING = Light(  # a warm lamp from the right, a cool street from the left
    direction=(0.547, -0.371, 0.750), key=(0.92, 0.78, 0.60), fill=(0.10, 0.16, 0.24), ambient=(0.20, 0.21, 0.25),
    rim=0.35, warmth=0.4,
)  # fmt: skip
BACKDROP_SEED = 42  # the backdrop's seed
PORTRAIT = FIRST_TEST_SEED + 178
PORTRAIT_SIZE = 512
DAYLIGHT = Light(
    direction=(-0.45, -0.40, 0.80), key=(0.86, 0.80, 0.74), fill=(0.16, 0.16, 0.16), ambient=(0.24, 0.25, 0.27),
    rim=0.2, warmth=0.5,
)  # fmt: skip
PORTRAIT_BACKDROP_SEED = 20
VOICE_LEVEL = -18.0  # dB, root mean square while somebody speaks
CRF = 17  # x264's crf


def main(folder: Path) -> None:
    """Writes scene.mp4, voice_en.flac, music_and_effects.ogg and portrait.png into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    bed = music_and_effects(SECONDS)
    scene, french = film_scene()
    write_sound(folder / "voice_en.flac", speak_english()[None], ENGLISH_RATE, "-sample_fmt", "s16")
    write_sound(folder / "music_and_effects.ogg", bed, RATE, "-c:a", "libvorbis", "-q:a", "5")
    write_portrait(folder / "portrait.png")
    write_scene(folder / "scene.mp4", scene, bed + french)


def speak_french() -> tuple[np.ndarray, Performance]:
    """The lines as they sound in the room, (2, n) at RATE, and what the mouth does."""
    sound = np.zeros(SECONDS * RATE)
    waveform = np.zeros(SECONDS * SAMPLE_RATE, np.float32)
    phonemes, spoken = [], 0.0
    for start, line, _ in LINES:
        utterance = speak(line, VOICE.name, VOICE.rate, VOICE.pitch, VOICE.pitch_range)
        samples = resampled(utterance.samples, FRENCH_RATE)
        insert_line(sound, samples, start, RATE)
        insert_line(waveform, to_16k(utterance.samples), start, SAMPLE_RATE)
        phonemes.append(Phoneme("", spoken, start))
        phonemes += [Phoneme(p.symbol, p.start + start, p.end + start) for p in utterance.phonemes]
        spoken = phonemes[-1].end
    phonemes.append(Phoneme("", spoken, SECONDS))
    mouth = MouthMotion(split_phonemes(tuple(phonemes)), Articulation(size=1.15, smile=0.25))
    sound = np.stack([normalize_level(sound)] * 2)
    performance = Performance(VOICE, tuple(line for _, line, _ in LINES), tuple(phonemes), waveform, mouth)
    return sound + 0.14 * add_reverb(sound, 0.5, seed=2), performance


def speak_english() -> np.ndarray:
    """The dubbing actress, dry, as long as the scene: (n,) at ENGLISH_RATE."""
    from hibari import Hibari  # only here, so that tests can draw the scene without it

    speaker = Hibari()
    sound = np.zeros(SECONDS * ENGLISH_RATE)
    for start, _, line in LINES:
        samples = speaker(line, speed=SPEECH_SPEED, seed=1).astype(np.float64)
        loud = np.flatnonzero(np.abs(samples) > 0.004)
        insert_line(
            sound, samples[max(loud[0] - ENGLISH_RATE // 50, 0) : loud[-1] + ENGLISH_RATE // 20], start, ENGLISH_RATE
        )
    return normalize_level(sound)


def film_scene() -> tuple[Scene, np.ndarray]:
    """The shot, a slow push in, whose frames `render` yields with their ground truth; and its voice, (2, n)."""
    sound, performance = speak_french()
    track = HeadPath((0.405, 0.485), (0.43, 0.495), 0.243, 0.262)
    actor = Actor(sample_identity(PERSON, "real"), performance, HeadMotion(8, SECONDS, 0.45, (0.10, 0.0, 0.0)), track)
    shot = Shot(round(SECONDS * FPS), (actor,), BACKDROP_SEED, EVENING, grain=1.0)
    return Scene(*SIZE, FPS, (shot,), performance.waveform), sound


def insert_line(sound: np.ndarray, samples: np.ndarray, start: float, rate: int) -> None:
    """Puts a line into a sound (n,), where nothing else may be yet."""
    begin = round(start * rate)
    if sound[begin:].size < samples.size or sound[begin : begin + samples.size].any():
        raise SystemExit(f"the line at {start} s runs into the next one or over the end")
    sound[begin : begin + samples.size] = samples


def normalize_level(sound: np.ndarray) -> np.ndarray:
    """The same sound at VOICE_LEVEL."""
    speech = sound[np.abs(sound) > 0.003]
    return sound * (10 ** (VOICE_LEVEL / 20) / np.sqrt(np.mean(speech**2)))


def write_scene(path: Path, scene: Scene, sound: np.ndarray) -> None:
    """Draws the scene and puts `sound` to it."""
    with tempfile.TemporaryDirectory() as work:
        lossless, mix = Path(work) / "scene.mp4", Path(work) / "mix.wav"
        write_clip(scene, lossless, crf=0, sound=False)
        write_sound(mix, sound, RATE)
        _ffmpeg(
            "-i", str(lossless), "-i", str(mix), "-map", "0:v", "-map", "1:a", "-c:v", "libx264", "-preset", "veryslow",
            "-vf", "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709", "-crf", str(CRF),
            "-profile:v", "high", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "128k",
            "-fflags", "+bitexact", "-movflags", "+faststart", str(path),
        )  # fmt: skip


def write_portrait(path: Path) -> None:
    """Somebody else, mouth closed, in daylight."""
    size = PORTRAIT_SIZE
    picture = backdrop(PORTRAIT_BACKDROP_SEED, size, size, DAYLIGHT.warmth)
    pose = Pose(size * 0.5, size * 0.50, size * 0.265, yaw=-0.06, pitch=0.01, roll=-0.02)
    Painter(sample_identity(PORTRAIT, "real"), DAYLIGHT).paint(picture, HeadState(pose, MouthShape(smile=0.4)))
    Image.fromarray(picture).save(path, optimize=True)


def write_sound(path: Path, sound: np.ndarray, rate: int, *encoding: str) -> None:
    """Writes (channels, n) in the format that the suffix and `encoding` name."""
    if np.abs(sound).max() > 1:
        raise SystemExit(f"{path.name} would clip: its peak is {np.abs(sound).max():.2f}")
    _ffmpeg(
        "-f", "f32le", "-ar", str(rate), "-ac", str(len(sound)), "-i", "pipe:0", *encoding,
        "-fflags", "+bitexact", str(path), feed=np.ascontiguousarray(sound.T, "<f4").tobytes(),
    )  # fmt: skip


def _ffmpeg(*arguments: str, feed: bytes | None = None) -> None:
    command = [ffmpeg_executable(), *[part for part in QUIET if part != "-nostdin"], "-y", *arguments]
    subprocess.run(command, input=feed, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
