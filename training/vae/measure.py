"""Measures the image autoencoder on people never trained with: ``python -m training.vae.measure``.

What counts is whether a decoded mouth is as open as the true one: the meter's reading of decoded crops against the
truth that the renderer gives, beside its reading of the same crops undecoded. It was never trained on decoded crops,
and the autoencoder never against it. ``--sheet`` draws training/media/vae.png.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latentsync_core.models.vae import DiffusersCodec

from ..held_out import HeldOut, held_out
from ..meter.network import MOUTH_COLUMNS, MOUTH_ROWS, measure_openings
from ..opening_statistics import agreement, rounded
from ..paths import CACHE, MEDIA
from ..pictures import grid, save
from .train import WEIGHTS, load

SHEET_COLUMNS, SHEET_CELL_SIZE = 10, 104  # a contact sheet's columns, and pixels of each crop

logger = logging.getLogger(__name__)


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
        "PSNR, dB": {"whole": rounded(np.concatenate(whole).mean(), 2),
                     "mouth": rounded(np.concatenate(mouth).mean(), 2),
                     "mouth, 5th percentile": rounded(np.percentile(np.concatenate(mouth), 5), 2)},
        "latents": {"mean": [rounded(v, 3) for v in values.mean((0, 2, 3))],
                    "deviation": [rounded(v, 3) for v in values.std((0, 2, 3))]},
        "opening, undecoded": agreement(clips.openings, np.array(read)),
        "opening, decoded": agreement(clips.openings, np.array(read_decoded)),
        "decoded against undecoded": agreement(np.array(read), np.array(read_decoded)),
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
