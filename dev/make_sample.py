"""Makes the carried sample: a film scene in French, its English voice, its music-and-effects track, and a portrait.

All people are drawn by training/; the French is espeak-ng's, the English hibari-tts', the music ours. It needs

    pip install -r training/requirements.txt hibari-tts==0.2.1
    python -m dev.make_sample latentsync_core/assets/sample [scene.mp4 ...]

Names of files limit it to those (only the voice needs hibari-tts).

The same versions of those give the same pictures and sounds; the encoders' bytes may differ from ffmpeg to ffmpeg.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from dev.sample_sound import RATE, add_reverb, music_and_effects, resampled
from latentsync_core.media.ffmpeg import QUIET, ffmpeg_executable
from latentsync_core.sample_scene import LINES
from training.synthetic.backdrop import backdrop
from training.synthetic.film_look import FilmLook
from training.synthetic.film_set import lamp_side, night_window
from training.synthetic.head.costume import Costume
from training.synthetic.head.identity import Color, Identity, sample_identity
from training.synthetic.head.light import Light
from training.synthetic.head.motion import HeadMotion
from training.synthetic.head.mouth import MouthShape
from training.synthetic.head.painter import HeadState, Painter
from training.synthetic.head.surface import Pose
from training.synthetic.scenes.clip_file import write_frames
from training.synthetic.scenes.film_staging import Keyframe
from training.synthetic.scenes.scene import FIRST_TEST_SEED
from training.synthetic.scenes.staged import CameraMove, StagedActor, StagedScene, StagedShot, render_staged
from training.synthetic.speech.espeak import RATE as FRENCH_RATE
from training.synthetic.speech.espeak import Phoneme, speak
from training.synthetic.speech.performance import SAMPLE_RATE, Performance, Voice, to_16k
from training.synthetic.speech.visemes import Articulation, MouthMotion, split_phonemes

SECONDS = 8
FPS = Fraction(25)
SIZE = (1280, 720)
CUT_FRAMES = (106, 143)  # to the listener, while she goes on speaking, and back to her
SHE, LISTENER = FIRST_TEST_SEED + 20, FIRST_TEST_SEED + 163  # never trained with, nor are the voice and the lines
VOICE = Voice("fr", "fr+f4", rate=156, pitch=52, pitch_range=62)
ENGLISH_RATE = 24000  # hibari-tts'
SPEECH_SPEED = 0.88  # of the English, which is shorter than the French
EVENING = Light(  # a warm lamp from the right, a cool street from the left
    direction=(0.547, -0.371, 0.750), key=(0.92, 0.78, 0.60), fill=(0.10, 0.16, 0.24), ambient=(0.20, 0.21, 0.25),
    rim=0.35, warmth=0.4,
)  # fmt: skip
LAMPLIGHT = Light(  # a warm lamp from the right, the evening from the window at the left
    direction=(0.66, -0.36, 0.66), key=(1.02, 0.72, 0.44), fill=(0.10, 0.19, 0.34), ambient=(0.115, 0.13, 0.185),
    rim=0.55, warmth=0.5,
)  # fmt: skip
WINDOW_LIGHT = Light(  # on the listener: the evening from the left, the lamps from the right
    direction=(-0.60, -0.34, 0.72), key=(0.74, 0.84, 1.0), fill=(0.44, 0.24, 0.10), ambient=(0.19, 0.15, 0.13),
    rim=0.6, warmth=-0.3,
)  # fmt: skip
SET_SEED = 7
PORTRAIT = FIRST_TEST_SEED + 178
PORTRAIT_SIZE = 512
DAYLIGHT = Light(
    direction=(-0.45, -0.40, 0.80), key=(0.86, 0.80, 0.74), fill=(0.16, 0.16, 0.16), ambient=(0.24, 0.25, 0.27),
    rim=0.2, warmth=0.5,
)  # fmt: skip
PORTRAIT_BACKDROP_SEED = 20
VOICE_LEVEL = -18.0  # dB, root mean square while somebody speaks
CRF = 19  # x264's crf


def main(folder: Path, names: tuple[str, ...] = ()) -> None:
    """Writes scene.mp4, voice_en.flac, music_and_effects.ogg and portrait.png into `folder`, or only those named."""
    folder.mkdir(parents=True, exist_ok=True)
    bed = music_and_effects(SECONDS)
    parts = {
        "voice_en.flac": lambda path: write_sound(path, speak_english()[None], ENGLISH_RATE, "-sample_fmt", "s16"),
        "music_and_effects.ogg": lambda path: write_sound(path, bed, RATE, "-c:a", "libvorbis", "-q:a", "5"),
        "portrait.png": write_portrait,
        "scene.mp4": lambda path: _write_film_scene(path, bed),
    }
    for name in names or parts:
        parts[name](folder / name)


def speak_french() -> tuple[np.ndarray, Performance]:
    """The lines as they sound in the room, (2, n) at RATE, and what the mouth does."""
    sound = np.zeros(SECONDS * RATE)
    waveform = np.zeros(SECONDS * SAMPLE_RATE, np.float32)
    phonemes, spoken = [], 0.0
    for line in LINES:
        start = line.start
        utterance = speak(line.french, VOICE.name, VOICE.rate, VOICE.pitch, VOICE.pitch_range)
        samples = resampled(utterance.samples, FRENCH_RATE)
        insert_line(sound, samples, start, RATE)
        insert_line(waveform, to_16k(utterance.samples), start, SAMPLE_RATE)
        phonemes.append(Phoneme("", spoken, start))
        phonemes += [Phoneme(p.symbol, p.start + start, p.end + start) for p in utterance.phonemes]
        spoken = phonemes[-1].end
    phonemes.append(Phoneme("", spoken, SECONDS))
    mouth = MouthMotion(split_phonemes(tuple(phonemes)), Articulation(size=1.25, smile=0.35))
    sound = np.stack([normalize_level(sound)] * 2)
    performance = Performance(VOICE, tuple(line.french for line in LINES), tuple(phonemes), waveform, mouth)
    return sound + 0.14 * add_reverb(sound, 0.5, seed=2), performance


def speak_english() -> np.ndarray:
    """The dubbing actress, dry, as long as the scene: (n,) at ENGLISH_RATE."""
    from hibari import Hibari  # only here, so that tests can draw the scene without it

    speaker = Hibari()
    sound = np.zeros(SECONDS * ENGLISH_RATE)
    for line in LINES:
        samples = speaker(line.english, speed=SPEECH_SPEED, seed=1).astype(np.float64)
        loud = np.flatnonzero(np.abs(samples) > 0.004)
        samples = samples[max(loud[0] - ENGLISH_RATE // 50, 0) : loud[-1] + ENGLISH_RATE // 20]
        insert_line(sound, samples, line.start, ENGLISH_RATE)
    return normalize_level(sound)


def film_scene() -> tuple[StagedScene, np.ndarray]:
    """The scene, whose frames `render_staged` yields with their ground truth; and its voice, (2, n).

    A woman speaks by a window, the camera moving in slowly; a man listens and nods; both are seen as she ends.
    """
    sound, performance = speak_french()
    silent = replace(performance, mouth=MouthMotion([], Articulation(size=1.0, smile=0.6)))
    aspect = SIZE[0] / SIZE[1]
    window, lamps, look = night_window(SET_SEED, aspect), lamp_side(SET_SEED, aspect), FilmLook()
    coat, jacket = (
        Costume(3, coat=_rgb(58, 74, 92), jumper=_rgb(196, 186, 168)),
        Costume(5, coat=_rgb(84, 70, 56), jumper=_rgb(70, 78, 82)),
    )
    her_motion, his_motion = (
        HeadMotion(8, SECONDS, 0.45, (-0.19, 0.0, 0.01)),
        HeadMotion(12, SECONDS, 0.35, (0.2, 0, 0)),
    )

    def she(*keys: Keyframe) -> StagedActor:
        return StagedActor(her(), coat, performance, her_motion, keys)

    def he(*keys: Keyframe) -> StagedActor:
        return StagedActor(listener(), jacket, silent, his_motion, keys)

    nods = (
        Keyframe(0, 0.455, 0.455, 0.262), Keyframe(0.45, 0.455, 0.452, 0.262),
        Keyframe(0.62, 0.455, 0.462, 0.262, pitch=7), Keyframe(0.80, 0.455, 0.454, 0.262, pitch=-2),
        Keyframe(1, 0.455, 0.456, 0.262, pitch=1),
    )  # fmt: skip
    first, second = CUT_FRAMES
    shots = (
        StagedShot(
            first, (she(Keyframe(0, 0.535, 0.455, 0.250), Keyframe(1, 0.530, 0.450, 0.250, yaw=3)),), window, LAMPLIGHT,
            CameraMove(1.10, (0.012, 0.0), 0.0012), look,
        ),
        StagedShot(second - first, (he(*nods),), lamps, WINDOW_LIGHT, CameraMove(1.03, (-0.010, 0.0), 0.0012), look),
        StagedShot(  # both: who is seen beside whom also shows that they are two people
            round(SECONDS * FPS) - second,
            (
                he(Keyframe(0, 0.285, 0.445, 0.198, yaw=4), Keyframe(1, 0.290, 0.447, 0.198, yaw=8)),
                she(Keyframe(0, 0.655, 0.475, 0.205, yaw=-2), Keyframe(1, 0.650, 0.472, 0.205, yaw=-5)),
            ),
            replace(window, before=()), LAMPLIGHT, CameraMove(1.05, (0.008, 0.0), 0.0012), look,
        ),
    )  # fmt: skip
    return StagedScene(*SIZE, FPS, shots, performance.waveform), sound


def her() -> Identity:
    """The one who speaks: long silver hair, red lips, lines that years have left."""
    return replace(
        sample_identity(SHE, "real"), age=0.55, texture=0.6, skin=_rgb(226, 180, 150), blush=0.5, freckles=0.0,
        iris=_rgb(78, 112, 140), lashes=0.9, eye_shadow=0.35, brow_thickness=0.85, brow_arch=0.022, brow_tilt=0.02,
        lip_color=_rgb(158, 38, 48), lip_gloss=0.55, hair_cut="long", hair=_rgb(188, 182, 174), hair_volume=0.13,
        parting=0.2, corner=0.02, beard="none", beard_color=_rgb(120, 112, 104), glasses="none",
    )  # fmt: skip


def listener() -> Identity:
    """The one who listens: dark curls and a full beard."""
    return replace(
        sample_identity(LISTENER, "real"), age=0.62, texture=0.75, skin=_rgb(172, 124, 92), hair_cut="curly",
        hair=_rgb(72, 62, 56), hair_volume=0.12, beard="full", beard_color=_rgb(92, 82, 76), glasses="none",
        brow_tilt=0.01,
    )  # fmt: skip


def _rgb(red: int, green: int, blue: int) -> Color:
    return red / 255, green / 255, blue / 255


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


def _write_film_scene(path: Path, bed: np.ndarray) -> None:
    scene, french = film_scene()
    write_scene(path, scene, render_staged(scene), bed + french, CRF)


def write_scene(path: Path, scene, drawn: Iterator[tuple[np.ndarray, object]], sound: np.ndarray, crf: int) -> None:
    """Encodes the frames drawn of a Scene or StagedScene with `sound`, (2, n) at RATE."""
    with tempfile.TemporaryDirectory() as work:
        lossless, mix = Path(work) / "scene.mp4", Path(work) / "mix.wav"
        write_frames(scene, drawn, lossless, crf=0, preset="ultrafast", sound=False)
        write_sound(mix, sound, RATE)
        _ffmpeg(
            "-i", str(lossless), "-i", str(mix), "-map", "0:v", "-map", "1:a", "-c:v", "libx264", "-preset", "veryslow",
            "-vf", "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709", "-crf", str(crf),
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
    main(Path(sys.argv[1]), tuple(sys.argv[2:]))
