"""Who speaks, against the truth of rendered dialogues: ``python -m benchmarks.faces.speaking --scenes 8``.

Dialogues of two and three people, 8 s each, whose seeds the constants were not fitted to: cuts, shots of the speaker,
of a listener or of nobody, a voice off screen, people who talk at once, and listeners who nod, smile, chew and open
their mouths. Beside the carried constants are those of SyncNet alone and of the mouths' motion alone, fitted likewise.
Scenes are rendered and measured once and kept; 40 of them take about a quarter of an hour of one core.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from latentsync_core.audio.source import load_audio
from latentsync_core.faces.find import find_faces
from latentsync_core.faces.speaking import NOBODY
from latentsync_core.speakers.active_speaker import find_speech, original_sound
from latentsync_core.speakers.assignment import with_speech
from latentsync_core.speakers.decision import speech_segments
from latentsync_core.speakers.evidence import gather_evidence
from latentsync_core.speakers.speaking_model import SpeakingModel, load_speaking_model
from latentsync_core.video.reading.probing import probe
from training.paths import CACHE
from training.speaking.data import FITTED_SEEDS, example
from training.speaking.figures import reliability, time_shares
from training.speaking.fit import ALONE

EDGES = np.linspace(0, 1, 11)
SIDE, MARGIN = 360, 48  # pixels of the calibration's plot


def calibration_plot(rows: list[tuple[float, float, float]], path: Path) -> None:
    """A PNG: the share of time in which a track truly speaks over the confidence; areas are seconds."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (SIDE + 2 * MARGIN, SIDE + 2 * MARGIN), (255, 255, 255))
    draw = ImageDraw.Draw(picture)

    def place(x: float, y: float) -> tuple[float, float]:
        return MARGIN + x * SIDE, MARGIN + (1 - y) * SIDE

    for tick in np.linspace(0, 1, 6):
        draw.line((*place(tick, 0), *place(tick, 1)), fill=(225, 225, 225))
        draw.line((*place(0, tick), *place(1, tick)), fill=(225, 225, 225))
        draw.text((place(tick, 0)[0] - 8, place(0, 0)[1] + 6), f"{tick:.1f}", fill=(60, 60, 60))
        draw.text((MARGIN - 26, place(0, tick)[1] - 6), f"{tick:.1f}", fill=(60, 60, 60))
    draw.line((*place(0, 0), *place(1, 1)), fill=(150, 150, 150))
    draw.line([place(mean, share) for mean, share, _ in rows], fill=(40, 90, 170), width=2)
    for mean, share, seconds in rows:
        x, y = place(mean, share)
        radius = 3 + np.sqrt(seconds)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=(40, 90, 170), width=2)
    draw.text((MARGIN, 12), "share of time that truly speaks, over the confidence", fill=(60, 60, 60))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def measure_scenes(count: int, cache: Path, plot: Path) -> None:
    if count >= FITTED_SEEDS:
        raise SystemExit(f"scenes from {FITTED_SEEDS} on were fitted to; measure fewer")
    examples = []
    for seed in range(1, count + 1):
        examples.append(example(seed, cache))
        print(f"scene {seed} of {count}", flush=True)
    evidence = [gather_evidence(one.signals) for one in examples]
    alone = {name: SpeakingModel(**values) for name, values in json.loads(ALONE.read_text("utf-8")).items()}
    print("\n| who speaks by | precision | recall | off-screen speech that touches nobody |\n| --- | --- | --- | --- |")
    for name, model in {"all": load_speaking_model(), **alone}.items():
        found = [speech_segments(one.signals, one.shots, model, of) for one, of in zip(examples, evidence, strict=True)]
        shares = time_shares(examples, found)
        print(f"| {name} | {shares.precision:.3f} | {shares.recall:.3f} | {shares.spared:.3f} |")
        if name == "all":
            whole, rows = shares, reliability(examples, found, EDGES)
    print(
        f"\n{whole.on_screen / 25:.0f} s of speech by somebody shown, {whole.off_screen / 25:.0f} s by nobody shown\n\n"
        "| confidence | truly speaks | seconds of mouths |\n| --- | --- | --- |"
    )
    for mean, share, seconds in rows:
        print(f"| {mean:.2f} | {share:.2f} | {seconds:.1f} |")
    calibration_plot(rows, plot)
    faces, speakers = (sum(getattr(one, name) for one in examples) for name in ("face_seconds", "speaker_seconds"))
    print(
        f"\nfinding faces {faces:.1f} s of one core, who speaks {speakers:.1f} s on top: {100 * speakers / faces:.0f} %"
    )


def measure_clip(path: Path, folder: Path) -> None:
    """Prints who is found speaking in a clip, and with its sound moved: then nobody should be."""
    clip = probe(path)
    faces, sound = find_faces(clip, folder=folder), original_sound(clip).mono16k()
    print("\n| sound | taken for speech by somebody shown | of speech |\n| --- | --- | --- |")
    for name, shift in (("its own", 0.0), ("0.6 s late", 0.6), ("2 s late", 2.0), ("reversed", None)):
        moved = sound.flip(0) if shift is None else torch.roll(sound, round(shift * 16000))
        audio = load_audio({"waveform": moved[None], "sample_rate": 16000})
        found = find_speech(faces, audio)
        shown = int((with_speech(faces, found).path.blend > 0).sum())
        seconds = [(segment.stop - segment.first) / float(clip.fps) for segment in found]
        called = sum(each for each, segment in zip(seconds, found, strict=True) if segment.track != NOBODY)
        print(f"| {name} | {called:.1f} s ({shown} frames synced) | {sum(seconds):.1f} s |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for the rendered scenes")
    parser.add_argument("--plot", type=Path, default=Path("benchmarks/results/speaking.png"))
    parser.add_argument("--clip", type=Path, help="a filmed clip with its sound, measured in the place of scenes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.clip is None:
        measure_scenes(options.scenes, options.cache, options.plot)
    else:
        measure_clip(options.clip, options.cache)


if __name__ == "__main__":
    main()
