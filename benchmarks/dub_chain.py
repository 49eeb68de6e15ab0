"""A whole dub by lines, offline: ``python -m benchmarks.dub_chain [--out FOLDER]``.

The sample's French scene gets three English lines, spoken by hibari-tts where it is installed and by espeak-ng
otherwise, at times of their own: the French mouth moves before and after them. They are placed, mixed over the scene's
music and effects, and synced by the bundled model. Measured is how far the mouth opens, in the film and in the dub,
within the lines and outside of them; `--out` keeps the film, its sounds, and a picture of openings and levels.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from dev.make_sample import speak_french
from latentsync_core.audio.source import load_audio
from latentsync_core.audio.wav import write_float_wav
from latentsync_core.dubbing.dub_mix import mix_dub
from latentsync_core.dubbing.lines.dialogue import DialogueLine
from latentsync_core.dubbing.lines.line_formats import write_lines
from latentsync_core.dubbing.mix_options import Loudness, MixOptions
from latentsync_core.dubbing.placement import place_lines
from latentsync_core.faces.face_tracks import FaceTracks
from latentsync_core.faces.find import find_faces
from latentsync_core.faces.mouth_opening import mouth_openings
from latentsync_core.pipeline import sync
from latentsync_core.runs import runs_where
from latentsync_core.sample_scene import LINES, MUSIC_AND_EFFECTS, SCENE
from latentsync_core.sampling.sampler_options import Quality
from latentsync_core.sync_options import SyncOptions
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.encoders import Codec
from latentsync_core.video.writing.writer_options import WriterOptions
from tests.dubbing.speech_synthesis import speak_english
from training.synthetic.speech.visemes import PARAMETERS

TIMES = ((0.5, 1.7), (2.9, 4.2), (6.4, 7.7))  # seconds; the French lines last longer, and the last begins earlier
ENGLISH = tuple(
    DialogueLine(Fraction(start).limit_denominator(1000), Fraction(end).limit_denominator(1000), line.english)
    for (start, end), line in zip(TIMES, LINES, strict=True)
)
SRT = write_lines(ENGLISH)
EDGE_SECONDS = 0.16  # in which a mouth opens before its line and closes after it; these frames count as neither
OPEN = 0.05  # of the face's height, from which a rendered mouth is clearly open
WIDTH, ROW = 1200, 130  # pixels of the picture


def french_openings(frames: int, fps: float) -> np.ndarray:
    """(N,) the rendered truth: how far the French mouth is open in each frame, of the mouth's width."""
    mouth = speak_french()[1].mouth
    return mouth.values(np.arange(frames) / fps)[:, PARAMETERS.index("opening")]


def figures(
    faces: FaceTracks, dubbed: Path, spans: Sequence[tuple[float, float]]
) -> tuple[dict[str, dict[str, float]], np.ndarray, np.ndarray]:
    """How the mouth moves in the film and in the dub, and both openings, (N,) each.

    Args:
        faces: the film's, with the speaker chosen.
        spans: seconds of each line's speech.

    Returns:
        {"lines" | "outside" | "outside, French speaks": {"film" | "dub": the openings' standard deviation}}, and the
        number of frames of each.
    """
    film = mouth_openings(faces)
    with FrameReader(probe(dubbed)) as frames:
        dub = mouth_openings(faces, frames)
    times = faces.clip.times
    inside, near = np.zeros(len(times), bool), np.zeros(len(times), bool)
    for start, end in spans:
        inside |= (times >= start) & (times < end)
        near |= (times >= start - EDGE_SECONDS) & (times < end + EDGE_SECONDS)
    known = np.isfinite(film) & np.isfinite(dub)
    french = french_openings(len(times), float(faces.clip.fps)) > OPEN
    kinds = {"lines": inside, "outside": ~near, "outside, French speaks": ~near & french}
    found = {}
    for name, kind in kinds.items():
        where = kind & known
        found[name] = {"frames": int(where.sum()), "film": float(film[where].std()), "dub": float(dub[where].std())}
    return found, film, dub


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="a folder that keeps the film, its sounds and a picture")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        clip = probe(SCENE)
        spoken = [speak_english(line.text) for line in ENGLISH]
        sounds = [
            load_audio({"waveform": torch.from_numpy(samples.copy())[None, None], "sample_rate": rate})
            for samples, rate, _ in spoken
        ]
        dub = place_lines(ENGLISH, sounds, clip.exact_duration)
        voice, mix_file, film = folder / "voice.wav", folder / "mix.wav", folder / "dubbed.mkv"
        write_float_wav(voice, dub.rate, 1, dub.waveform.shape[1], [dub.waveform])
        mix = mix_dub(load_audio(voice), load_audio(MUSIC_AND_EFFECTS), MixOptions(loudness=Loudness.BROADCAST))
        write_float_wav(mix_file, mix.rate, len(mix.waveform), mix.waveform.shape[1], [mix.waveform])
        job = SyncOptions("nano", quality=Quality.RECOMMENDED, mux_audio=mix_file, writer=WriterOptions(Codec.FFV1))
        sync(SCENE, voice, film, job)
        faces = find_faces(clip)
        spans = [(line.start, line.speech_end) for line in dub.lines]
        found, filmed, dubbed = figures(faces, film, spans)
        whole = round(clip.exact_duration * dub.rate)
        print(f"spoken by {spoken[0][2]}; {sum(line.fits for line in dub.lines)} of {len(dub.lines)} lines fit")
        print(f"voice: {dub.waveform.shape[1]} samples, the clip lasts {whole} at {dub.rate} Hz")
        film_sound = load_audio(film)
        whole = round(clip.exact_duration * film_sound.sample_rate)
        print(f"the film's sound: {film_sound.samples} samples, the clip lasts {whole} at {film_sound.sample_rate} Hz")
        print(f"mix: {mix.measured.lufs:.1f} LUFS, true peak {mix.measured.true_peak:.1f} dBTP")
        print("| frames | number | film: deviation of the opening | dub |\n| --- | --- | --- | --- |")
        for name, row in found.items():
            print(f"| {name} | {row['frames']} | {row['film']:.4f} | {row['dub']:.4f} |")
        if options.out:
            levels = [level(dub.waveform, dub.rate, clip.times), level(mix.waveform, mix.rate, clip.times)]
            plot(clip.times, spans, [filmed, dubbed], levels).save(folder / "chain.png")


def level(waveform: torch.Tensor, rate: int, times: np.ndarray) -> np.ndarray:
    """(N,) dB of a (C, T) sound in each frame."""
    blocks = [waveform[:, round(start * rate) : round((start + times[1]) * rate)] for start in times]
    return np.array([10 * np.log10(max(float(block.double().square().mean()), 1e-8)) for block in blocks])


def plot(
    times: np.ndarray, spans: Sequence[tuple[float, float]], openings: list[np.ndarray], levels: list[np.ndarray]
) -> Image.Image:
    """Four rows over time: openings in film and dub, levels of voice and mix; the lines' speech is shaded."""
    rows = [("mouth, film", openings[0], 0.0, 0.2), ("mouth, dub", openings[1], 0.0, 0.2),
            ("voice, -60 to 0 dB", levels[0], -60.0, 0.0), ("mix, -60 to 0 dB", levels[1], -60.0, 0.0)]  # fmt: skip
    picture = Image.new("RGB", (WIDTH, ROW * len(rows)), "white")
    draw = ImageDraw.Draw(picture)
    end = times[-1] + times[1]
    for place, (name, values, low, high) in enumerate(rows):
        top = place * ROW
        for start, stop in spans:
            draw.rectangle([start / end * WIDTH, top, stop / end * WIDTH, top + ROW - 1], fill=(224, 236, 250))
        points = np.stack([times / end * WIDTH, top + ROW - 8 - (values.clip(low, high) - low) / (high - low) * 110], 1)
        for first, stop in runs_where(np.isfinite(values)):
            draw.line([tuple(point) for point in points[first:stop].tolist()], fill=(30, 70, 140), width=2)
        draw.text((6, top + 4), name, fill="black")
        draw.line([0, top + ROW - 1, WIDTH, top + ROW - 1], fill=(180, 180, 180))
    return picture


if __name__ == "__main__":
    main()
