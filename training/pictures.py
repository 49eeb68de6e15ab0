"""Pictures to look at: ``python -m training.pictures`` draws training/media/identities.png and speech.png."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from .meter.network import measure_openings
from .meter.train import random_articulation
from .paths import MEDIA
from .synthetic.backdrop import backdrop
from .synthetic.crops import aligned_crop
from .synthetic.head.identity import sample_identity
from .synthetic.head.light import sample_light
from .synthetic.head.motion import HeadMotion
from .synthetic.head.painter import HeadState, Painter
from .synthetic.head.surface import Pose
from .synthetic.scenes.scene import render, talking_head
from .synthetic.speech.performance import SAMPLE_RATE

MAX_BYTES = 300_000  # bytes


def identities(first: int, columns: int, rows: int, size: int) -> np.ndarray:
    """People `first` onwards in a grid, each at a random moment of talking: (rows·size, columns·size, 3) uint8."""
    sheet = np.empty((rows * size, columns * size, 3), np.uint8)
    for index in range(rows * columns):
        seed = first + index
        light = sample_light(seed)
        picture = backdrop(seed, size, size, light.warmth)
        motion = HeadMotion(seed, 4.0)
        mouth = random_articulation(seed, 4.0)(np.array([2.0]))[0]
        head_state = HeadState(
            Pose(size * 0.5, size * 0.53, size * 0.33, *motion.angles(2.0)), mouth, 0.0, motion.gaze(2.0)
        )
        Painter(sample_identity(seed), light).paint(picture, head_state)
        row, column = divmod(index, columns)
        sheet[row * size : (row + 1) * size, column * size : (column + 1) * size] = picture
    return sheet


def speech_strip(seed: int, language: str, seconds: float, size: int = 112) -> np.ndarray:
    """Every fourth frame's crop of a sentence; under it the waveform and the opening, true and as the meter sees it."""
    scene = talking_head(seed, language, seconds, size=(256, 256), split="test", style="real")
    crops, true = [], []
    for picture, truth in render(scene):
        crops.append(aligned_crop(picture, truth.faces[0].three_points))
        true.append(truth.faces[0].opening)
    import torch

    seen = measure_openings(torch.stack(crops))
    shown = range(0, len(crops), 4)
    width = len(shown) * size
    strip = Image.new("RGB", (width, size + 150), "white")
    for place, index in enumerate(shown):
        levels = (crops[index].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        strip.paste(Image.fromarray(levels).resize((size, size), Image.LANCZOS), (place * size, 0))
    draw = ImageDraw.Draw(strip)
    wave = scene.waveform / np.abs(scene.waveform).max()
    for x in range(width):
        a = int(x / width * len(crops) / float(scene.fps) * SAMPLE_RATE)
        b = int((x + 1) / width * len(crops) / float(scene.fps) * SAMPLE_RATE)
        part = wave[a : max(b, a + 1)]
        if len(part):
            draw.line([(x, size + 35 - 30 * part.max()), (x, size + 35 - 30 * part.min())], fill=(90, 110, 150))
    step = width / len(crops)
    for values, color in ((true, (30, 30, 30)), (seen, (210, 60, 40))):
        points = [((k + 0.5) * step, size + 140 - 200 * float(v)) for k, v in enumerate(values)]
        draw.line(points, fill=color, width=2)
    draw.text((6, size + 72), "opening: black true, red measured", fill=(60, 60, 60))
    return np.asarray(strip)


def grid(rows: Sequence[Tensor], size: int) -> np.ndarray:
    """Rows of as many pictures each, (n, 3, h, w) in [0, 1], under one another: uint8, each picture `size` wide."""
    shown = torch.nn.functional.interpolate(torch.cat(list(rows)), (size, size), mode="area")
    cells = shown.unflatten(0, (len(rows), -1)).permute(0, 3, 1, 4, 2)  # (r n) c h w -> r h n w c
    return (cells.flatten(2, 3).flatten(0, 1) * 255).round().byte().numpy()


def save(picture: np.ndarray, path: Path) -> None:
    """Writes a PNG of at most LARGEST bytes, with as many colours as that allows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(picture)
    for colors in (None, 256, 192, 128, 64):
        shown = image
        if colors:
            palette = image.quantize(colors, kmeans=2)
            shown = image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
        shown.save(path, optimize=True)
        if path.stat().st_size <= MAX_BYTES:
            return
    raise SystemExit(f"{path} has {path.stat().st_size} bytes: draw fewer or smaller pictures")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=MEDIA)
    parser.add_argument("--first", type=int, default=200)
    parser.add_argument("--only", choices=("identities", "speech"))
    options = parser.parse_args()
    if options.only != "speech":
        save(identities(options.first, 8, 4, 118), options.out / "identities.png")
    if options.only != "identities":
        save(speech_strip(24, "fr", 2.6), options.out / "speech.png")


if __name__ == "__main__":
    main()
