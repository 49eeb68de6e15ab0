"""Writes the README's pictures of the demo, media/demo.png and media/demo.webp, from a finished run of it.

    python -m latentsync_core demo --out demo/out.mp4
    python -m dev.make_readme_pictures demo/out.mp4 [media]

demo.png is the demo's own picture, made smaller; demo.webp shows three seconds of the speaker before and after.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from latentsync_core.cli.lettering import ACCENT, INK, PAPER, draw_centered, draw_label
from latentsync_core.faces.face_options import FaceOptions
from latentsync_core.faces.tracking.redetect import SingleFaceTracker
from latentsync_core.imaging.roi import Roi
from latentsync_core.sample_scene import LINES, SCENE
from latentsync_core.video.clip import Clip
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader

START, STOP = 10, 88  # frames of the demo that are shown: a line and the next one's beginning, in one shot
STEP = 2  # frames from one picture to the next
SIDE = 300  # pixels of either picture
GAP, CAPTION_HEIGHT = 6, 40  # pixels
FACE_SCALE = 1.45  # the square's side, of the face's larger one from brows to chin
LABEL_SIZE, CAPTION_SIZE = 17, 17  # pixels
SHEET_WIDTH = 1200  # pixels
QUALITY = 80  # WebP's
MAX_BYTES = 3_000_000


def main(result: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pictures = animation(probe(SCENE), probe(result))
    duration = round(1000 * STEP / float(probe(SCENE).fps))
    path = folder / "demo.webp"
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=duration, loop=0, quality=QUALITY, method=4
    )
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise SystemExit(f"{path} has {size} bytes, more than {MAX_BYTES}: lower QUALITY")
    with Image.open(result.with_suffix(".png")) as sheet:
        height = round(sheet.height * SHEET_WIDTH / sheet.width)
        small = sheet.convert("RGB").resize((SHEET_WIDTH, height), Image.Resampling.LANCZOS)
    small.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(folder / "demo.png", optimize=True)
    print(f"{path}: {len(pictures)} pictures, {size} bytes; {folder / 'demo.png'}: {SHEET_WIDTH}x{height}")


def animation(before: Clip, after: Clip) -> list[Image.Image]:
    """The pictures of START to STOP: the speaker's face before and after, above the words."""
    times = before.times
    before, after = before.subclip(START, STOP), after.subclip(START, STOP)
    part = speaker_square(before)
    pictures = []
    with FrameReader(before) as old, FrameReader(after) as new:
        for number, pair in enumerate(zip(old, new, strict=True)):
            if number % STEP:
                continue
            picture = Image.new("RGB", (2 * SIDE + GAP, SIDE + CAPTION_HEIGHT), PAPER)
            time = times[START + number]
            line = next((line for line in LINES if line.start <= time <= line.end), None)
            for which, frame in enumerate(pair):
                levels = (frame.rgb(part, (SIDE, SIDE)).clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
                half = Image.new("RGB", (SIDE, SIDE + CAPTION_HEIGHT), PAPER)
                half.paste(Image.fromarray(levels.numpy()))
                draw_label(half, (10, 10), which, LABEL_SIZE)
                if line:
                    text, color = ((line.french, INK), (line.english, ACCENT))[which]
                    draw_centered(half, SIDE / 2, SIDE + 8, text, CAPTION_SIZE, color)
                picture.paste(half, (which * (SIDE + GAP), 0))
            pictures.append(picture)
    return pictures


def speaker_square(clip: Clip) -> Roi:
    """A square about all places of the only face, so that the picture holds still."""
    tracker, boxes = SingleFaceTracker(FaceOptions()), []
    with FrameReader(clip) as frames, torch.inference_mode():
        for number, frame in enumerate(frames):
            mesh = tracker.find(frame) if number % 10 == 0 else None
            if mesh is not None:
                boxes.append([*mesh.min(0), *mesh.max(0)])
    boxes = np.array(boxes)
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    side = min(round(FACE_SCALE * float((boxes[:, 2:] - boxes[:, :2]).max())), clip.width, clip.height)
    x, y = ((low + high - side) / 2).round().astype(int)
    x, y = int(np.clip(x, 0, clip.width - side)), int(np.clip(y, 0, clip.height - side))
    return Roi(x, y, x + side, y + side)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    arguments.add_argument("result", type=Path, help="the demo's result, with its .png beside it")
    arguments.add_argument("folder", type=Path, nargs="?", default=Path("media"))
    given = arguments.parse_args()
    main(given.result, given.folder)
