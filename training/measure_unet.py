"""Measures the small model as it is used: ``python -m training.measure_unet``, test people, voices and sentences only.

Every clip is drawn anew by the engine's denoiser, window by window, the reference being the frame itself, and decoded;
the meter reads the openings. Thrice: with the clip's own voice, with another language's (a dub), and with silence.
Every clip begins with a pause, for which any two clips' mouths agree a little, so comparisons are made a second time
without the frames in which somebody's voice hasn't begun yet. Drawn for its own voice a clip can be held against what
is true: PSNR within the mask, and how unlike it looks; the autoencoder's own loss stands beside both. ``--sheet`` draws
training/media/nano.png instead.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latentsync_core.cli.demo import SAMPLER
from latentsync_core.faces.alignment.mouth_mask import latent_mask, mouth_mask
from latentsync_core.models.unet.unet import UNet
from latentsync_core.models.vae import DiffusersCodec
from latentsync_core.sampling.denoise import denoise_window
from latentsync_core.sampling.noise import frame_noise
from latentsync_core.sampling.windows import WindowOptions, cross_fade, plan_windows

from .contact_sheet import MEDIA, grid, save
from .crops import RESOLUTION
from .features import CLOSED, SIDE, alone
from .measure_vae import DRAWS, decoded, held_out
from .mouth_meter import measure
from .perceptual import Perceptual, lower_half
from .speech import LANGUAGES, SAMPLE_RATE
from .sync_data import held_out_voices
from .train_unet import SHARED, WEIGHTS, load
from .train_vae import WEIGHTS as VAE_WEIGHTS
from .train_vae import load as load_vae
from .vae_data import CACHE
from .whisper_tiny import tiny_english

DUB_BY = 1  # clips further on: the next language's voice
SHUFFLED_BY = 7  # clips further on: whose openings the baseline compares with
LAGS = range(-5, 6)  # frames
SHOWN, SHOWN_FRAMES, SHOWN_EVERY = (0, 8, 11, 17), slice(18, 50), 4  # clips, and frames of each, on the contact sheet
SHOWN_SIZE = 112  # pixels of each
SILENT_BELOW = 0.15  # of a speaker's range: a mouth that counts as closed
PAUSE = 6  # frames, at least, of a closed mouth
SPEECH_RANGE = 95  # percentile of a speaker's true openings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Drawing:
    """How the clips are drawn; of itself, as the demo draws."""

    steps: int = SAMPLER.steps
    cfg: float = SAMPLER.cfg
    windows: WindowOptions = field(default_factory=WindowOptions)
    seed: int = 1247


@torch.no_grad()
def redrawn(unet: UNet, codec: DiffusersCodec, crops: np.ndarray, audio: Tensor, options: Drawing) -> Tensor:
    """The clip (n, 3, 128, 128) uint8 with its mouth drawn anew for `audio` (n, 50, 384): (n, 3, 128, 128) in [0, 1].

    Pixels outside the mask are the clip's own.
    """
    plain, keep = pictures_of(crops), mouth_mask(RESOLUTION)
    whole, masked = codec.encode(plain * 2 - 1).cpu(), codec.encode((plain * 2 - 1) * keep).cpu()
    noise = frame_noise(options.seed, 0, list(range(len(plain))), (4, SIDE, SIDE), SHARED)
    drawn = torch.zeros_like(whole)
    done = 0
    for window in plan_windows(np.ones(len(plain), bool), options.windows):
        part = slice(window.start, window.stop)
        found = denoise_window(
            unet, noise[part], latent_mask(RESOLUTION), masked[part], whole[part], audio[part], options.steps,
            options.cfg,
        ).cpu()  # fmt: skip
        shared = done - window.start
        if shared > 0:
            found[:shared] = cross_fade(drawn[window.start : done], found[:shared])
        drawn[part] = found
        done = window.stop
    again = (codec.decode(drawn).cpu() / 2 + 0.5).clamp(0, 1)
    return again * (1 - keep) + plain * keep


@torch.no_grad()
def closeness(look: Perceptual, seen: Tensor, crops: np.ndarray) -> tuple[float, float]:
    """PSNR in dB within the mask and perceptual distance of the lower half, of (n, 3, 128, 128) in [0, 1] to the clip
    (n, 3, 128, 128) uint8."""
    true = pictures_of(crops)
    inside = mouth_mask(RESOLUTION) == 0
    psnr = -10 * (seen - true).square()[inside.expand_as(true)].mean().log10()
    return psnr.item(), look(lower_half(seen * 2 - 1), lower_half(true * 2 - 1)).mean().item()


@torch.no_grad()
def through_autoencoder(codec: DiffusersCodec, crops: np.ndarray) -> Tensor:
    """The clip (n, 3, 128, 128) uint8 as the autoencoder gives it back within the mask, in [0, 1]: the most that any
    drawing can be like it."""
    plain, keep = pictures_of(crops), mouth_mask(RESOLUTION)
    return decoded(codec, plain)[0] * (1 - keep) + plain * keep


def pictures_of(crops: np.ndarray) -> Tensor:
    """uint8 levels as float32 in [0, 1]."""
    return torch.from_numpy(np.array(crops)).float() / 255


def sheet(
    unet: UNet, codec: DiffusersCodec, crops: Sequence[np.ndarray], heard: Sequence[Tensor], drawing: Drawing
) -> np.ndarray:
    """Some people's frames as rendered, each row above the same drawn for the next clip's voice."""
    rows = []
    for number in (number for number in SHOWN if number < len(crops)):
        clip, voice = crops[number][SHOWN_FRAMES], heard[(number + DUB_BY) % len(heard)][SHOWN_FRAMES]
        rows += [pictures_of(clip)[::SHOWN_EVERY], redrawn(unet, codec, clip, voice, drawing)[::SHOWN_EVERY]]
    return grid(rows, SHOWN_SIZE)


def figures(openings: np.ndarray, own: np.ndarray, dubbed: np.ndarray, silent: np.ndarray) -> dict:
    """From true openings (clips, n) and those read off the three drawings; intervals are a bootstrap's over clips."""
    clips = len(openings)
    follows, languages = by_clip(openings, own), np.array([list(LANGUAGES)[n % len(LANGUAGES)] for n in range(clips)])
    limit = SILENT_BELOW * np.percentile(openings, SPEECH_RANGE, axis=1, keepdims=True)
    pauses = np.array([paused(true) for true in openings])
    lags = np.array([best_lag(true, seen) for true, seen in zip(openings, own, strict=True)])
    return {
        "clips": clips, "frames": int(openings.size),
        "own voice": {
            "clips whose best lag is within a frame": _round((np.abs(lags) <= 1).mean()),
            "by language": {name: _round(np.median(follows[languages == name])) for name in np.unique(languages)},
            "slope": _round(np.polyfit(openings.ravel(), own.ravel(), 1)[0]),
        },
        "whole clips": likeness(openings, own, dubbed),
        "once all have begun": likeness(*(part[:, begun(openings) :] for part in (openings, own, dubbed))),
        "pauses of the own voice": {
            "frames": int(pauses.sum()), "closed": _round((own < limit)[pauses].mean()) if pauses.any() else None,
        },
        "silence": {"frames closed": _round((silent < limit).mean()), "median opening": _round(np.median(silent))},
    }  # fmt: skip


def likeness(openings: np.ndarray, own: np.ndarray, dubbed: np.ndarray) -> dict:
    """How the drawings' openings correlate with the voices' true ones, and what those do among themselves."""
    dub, other = np.roll(openings, -DUB_BY, axis=0), np.roll(openings, -SHUFFLED_BY, axis=0)
    new_weight, old_weight = weights_in(dubbed, dub, openings).T
    return {
        "own voice": _median(by_clip(openings, own)),
        "shuffled baseline": _median(by_clip(other, own)),
        "both clips' true mouths": _median(by_clip(other, openings)),
        "dubbed: new voice": _median(by_clip(dub, dubbed)),
        "dubbed: old mouth": _median(by_clip(openings, dubbed)),
        "both voices' true mouths": _median(by_clip(openings, dub)),
        "dubbed: weight of the new mouth": _median(new_weight),
        "dubbed: weight of the old mouth": _median(old_weight),
    }


def begun(openings: np.ndarray) -> int:
    """The first frame by which every clip's mouth has opened; 0 where one never does."""
    opened = openings > CLOSED
    return int(opened.argmax(1).max()) if opened.any(1).all() else 0


def paused(true: np.ndarray) -> np.ndarray:
    """(n,) bool: frames within pauses, where the mouth is shut for PAUSE frames or more, not those at their ends."""
    found = np.zeros(len(true), bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (true < CLOSED).astype(int), [0]])))
    for start, stop in edges.reshape(-1, 2):
        if stop - start >= PAUSE:
            found[start + 1 : stop - 1] = True
    return found


def by_clip(true: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each clip; 0 where one of the two doesn't move."""
    return np.array([_correlation(a, b) for a, b in zip(true, seen, strict=True)])


def weights_in(dubbed: np.ndarray, new: np.ndarray, old: np.ndarray) -> np.ndarray:
    """(clips, 2): how much of the new mouth and of the old one is in each drawn one, all (clips, n), by least squares.

    Other than two correlations, these tell apart what of an old mouth is seen and what both voices' mouths share.
    """
    found = [
        np.linalg.lstsq(np.column_stack([*mouths, np.ones(len(seen))]), seen, rcond=None)[0][:2]
        for seen, *mouths in zip(dubbed, new, old, strict=True)
    ]
    return np.array(found)


def best_lag(true: np.ndarray, seen: np.ndarray) -> int:
    """By how many frames `seen` comes late, as far as LAGS go."""
    reach = max(LAGS)
    middle = true[reach:-reach]
    return max(LAGS, key=lambda lag: _correlation(middle, seen[reach + lag : len(seen) - reach + lag]))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 1e-6 and b.std() > 1e-6 else 0.0


def _median(values: np.ndarray) -> list[float]:
    """The median, and what 95 % of bootstrap draws over clips lie between."""
    rng = np.random.default_rng(0)
    draws = [np.median(values[rng.integers(0, len(values), len(values))]) for _ in range(DRAWS)]
    return [_round(value) for value in (np.median(values), *np.percentile(draws, (2.5, 97.5)))]


def _round(value: float) -> float:
    return round(float(value), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--vae", type=Path, default=VAE_WEIGHTS)
    parser.add_argument("--clips", type=int, default=40, help="of the forty that are drawn, the first so many")
    parser.add_argument("--steps", type=int, default=Drawing.steps)
    parser.add_argument("--cfg", type=float, default=Drawing.cfg)
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for the drawn test clips")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sheet", action="store_true", help="draw the contact sheet, measure nothing")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    clips, voices = held_out(40, 3.0, folder=options.cache), held_out_voices(40, 3.0)[: options.clips]
    crops, openings = clips.crops[: options.clips], clips.openings[: options.clips]
    unet, codec = load(options.weights).to(options.device), load_vae(options.vae)
    codec.vae.to(options.device)
    frames = openings.shape[1]
    heard = [alone(tiny_english(), voice, frames) for voice in voices]
    quiet = alone(tiny_english(), np.zeros(frames * SAMPLE_RATE // 25, np.float32), frames)
    drawing = Drawing(options.steps, options.cfg)
    if options.sheet:
        save(sheet(unet, codec, crops, heard, drawing), MEDIA / "nano.png")
        return
    look = Perceptual(codec.vae)
    read, close, floor = [], [], []
    for number, clip in enumerate(crops):
        audios = (heard[number], heard[(number + DUB_BY) % len(crops)], quiet)
        drawn = [redrawn(unet, codec, clip, audio, drawing) for audio in audios]
        read.append([measure(pictures) for pictures in drawn])
        close.append(closeness(look, drawn[0], clip))
        floor.append(closeness(look, through_autoencoder(codec, clip), clip))
        logger.info("%d of %d clips", number + 1, len(crops))
    found = figures(openings, *np.array(read).transpose(1, 0, 2))
    for name, values in (("drawn", close), ("autoencoder", floor)):
        psnr, unlike = np.array(values).T
        found[name] = {"PSNR within the mask, dB": _median(psnr), "perceptual distance": _median(unlike)}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
