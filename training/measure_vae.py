"""Measures the image autoencoder on people never trained with: ``python -m training.measure_vae``.

What counts is whether a decoded mouth is as open as the true one: the meter's reading of decoded crops against the
truth that the renderer gives, beside its reading of the same crops undecoded. It was never trained on decoded crops,
and the autoencoder never against it. ``--sheet`` draws training/media/vae.png.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latentsync_core.models.vae import DiffusersCodec

from .contact_sheet import MEDIA, grid, save
from .crops import aligned_crop
from .mouth_meter import MOUTH_COLUMNS, MOUTH_ROWS, measure_openings
from .scenes import render, talking_head
from .speech import LANGUAGES
from .train_vae import WEIGHTS, load
from .vae_data import CACHE

SHEET_COLUMNS, SHEET_CELL_SIZE = 10, 104  # a contact sheet's columns, and pixels of each crop
DRAWS = 1000  # of the bootstrap over clips

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Clips of people, voices and sentences of the test split: crops (clips, n, 3, 128, 128) uint8, openings (clips, n)
    in head units."""

    crops: np.ndarray
    openings: np.ndarray


def held_out(clips: int, seconds: float, size: int = 256, folder: Path | None = CACHE) -> HeldOut:
    """The clips that the meter's own figures are of, in turn in the five languages; kept in `folder` once drawn."""
    path = folder / f"test-{clips}x{seconds:g}s-{size}.npz" if folder else None
    if path and path.exists():
        kept = np.load(path)
        return HeldOut(kept["crops"], kept["openings"])
    languages = list(LANGUAGES)
    crops, openings = [], []
    for number in range(clips):
        scene = talking_head(number, languages[number % len(languages)], seconds, size=(size, size), split="test")
        frames = [(aligned_crop(picture, truth.faces[0].three_points), truth.faces[0].opening)
                  for picture, truth in render(scene)]  # fmt: skip
        crops.append((torch.stack([crop for crop, _ in frames]) * 255).round().byte().numpy())
        openings.append([opening for _, opening in frames])
    found = HeldOut(np.stack(crops), np.array(openings))
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, crops=found.crops, openings=found.openings)
    return found


def decoded(codec: DiffusersCodec, crops: Tensor) -> tuple[Tensor, Tensor]:
    """Crops (n, 3, R, R) in [0, 1] after encoding (the distribution's mean) and decoding, and their latents."""
    latents = codec.encode(crops * 2 - 1)
    return (codec.decode(latents) / 2 + 0.5).clamp(0, 1), latents


def figures(codec: DiffusersCodec, clips: HeldOut) -> dict[str, dict]:
    """PSNR, the latents' spread, and how well the opening is read off crops before and after."""
    read, read_decoded, whole, mouth, latents = [], [], [], [], []
    for number, crops in enumerate(clips.crops):
        plain = torch.from_numpy(crops).float() / 255
        again, found = decoded(codec, plain)
        read.append(measure_openings(plain))
        read_decoded.append(measure_openings(again))
        error = (again - plain).square()
        whole.append(_psnr(error))
        mouth.append(_psnr(error[:, :, MOUTH_ROWS, MOUTH_COLUMNS]))
        latents.append(found)
        if number % 10 == 9:
            logger.info("%d of %d clips", number + 1, len(clips.crops))
    values = torch.cat(latents)
    return {
        "clips": {"clips": len(clips.crops), "frames": clips.openings.size},
        "PSNR, dB": {"whole": _round(np.concatenate(whole).mean(), 2), "mouth": _round(np.concatenate(mouth).mean(), 2),
                     "mouth, 5th percentile": _round(np.percentile(np.concatenate(mouth), 5), 2)},
        "latents": {"mean": [_round(v, 3) for v in values.mean((0, 2, 3))],
                    "deviation": [_round(v, 3) for v in values.std((0, 2, 3))]},
        "opening, undecoded": agreement(clips.openings, np.array(read)),
        "opening, decoded": agreement(clips.openings, np.array(read_decoded)),
        "decoded against undecoded": agreement(np.array(read), np.array(read_decoded)),
    }  # fmt: skip


def agreement(true: np.ndarray, seen: np.ndarray) -> dict[str, float | list[float]]:
    """Of openings (clips, n): Pearson's correlation pooled and by clip, the slope of the one on the other, the reading
    of closed mouths; intervals hold 95 % of bootstrap draws over clips."""
    by_clip = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(true, seen, strict=True)])
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, len(true), len(true)) for _ in range(DRAWS)]
    pooled = [np.corrcoef(true[draw].ravel(), seen[draw].ravel())[0, 1] for draw in draws]
    medians = [np.median(by_clip[draw]) for draw in draws]
    closed = seen[true == 0]
    return {
        "pooled": _round(np.corrcoef(true.ravel(), seen.ravel())[0, 1]), "pooled, 95 %": _interval(pooled),
        "median clip": _round(np.median(by_clip)), "median clip, 95 %": _interval(medians),
        "5th percentile": _round(np.percentile(by_clip, 5)), "least": _round(by_clip.min()),
        "slope": _round(np.polyfit(true.ravel(), seen.ravel(), 1)[0], 3),
        "closed, median reading": _round(np.median(closed)) if len(closed) else None,
    }  # fmt: skip


def sheet(codec: DiffusersCodec, clips: HeldOut) -> np.ndarray:
    """Crops of FRAMES_SHOWN people with the mouth wide, in between and closed, each above its decoded self."""
    people = np.linspace(0, len(clips.crops) - 1, SHEET_COLUMNS).round().astype(int)
    rows = []
    for part in (1.0, 0.4, 0.0):
        moments = [np.abs(clips.openings[who] - part * clips.openings[who].max()).argmin() for who in people]
        chosen = np.stack([clips.crops[who][at] for who, at in zip(people, moments, strict=True)])
        plain = torch.from_numpy(chosen).float() / 255
        rows += [plain, decoded(codec, plain)[0]]
    return grid(rows, SHEET_CELL_SIZE)


def _psnr(error: Tensor) -> np.ndarray:
    """(n,) of squared errors (n, 3, h, w)."""
    return (-10 * error.mean((1, 2, 3)).clamp(min=1e-10).log10()).numpy()


def _interval(draws: list[float]) -> list[float]:
    return [_round(value) for value in np.percentile(draws, (2.5, 97.5))]


def _round(value: float, digits: int = 4) -> float:
    return round(float(value), digits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for the drawn test clips")
    parser.add_argument("--sheet", action="store_true", help="draw the contact sheet, measure nothing")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    clips = held_out(options.clips, options.seconds, folder=options.cache)
    codec = load(options.weights)
    if options.sheet:
        save(sheet(codec, clips), MEDIA / "vae.png")
        return
    print(json.dumps(figures(codec, clips), indent=1))


if __name__ == "__main__":
    main()
