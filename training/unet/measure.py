"""Measures the small model as it is used: ``python -m training.unet.measure``, test people, voices and sentences only.

The engine's denoiser generates every clip window by window, with the frame itself as reference, its mouth that of a
frame nearby where it is closed; the meter reads the openings off the decoded crops. It does so three times: for the
clip's own voice, for another language's (a dub), and for silence. Every clip begins with a pause, for which any two
clips' mouths agree a little, so comparisons are made a second time without the frames before the last of the voices has
begun. A clip generated for its own voice can be compared with the rendered one: PSNR within the mask, perceptual
distance, low-frequency error on cheeks and neck; the autoencoder's own loss stands beside them. Figures are given for
all clips, by style and by language. ``--sheet`` draws training/media/nano.png instead.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latentsync_core.faces.alignment.mouth_mask import latent_mask, mouth_mask
from latentsync_core.models.noise_schedule import NoiseSchedule
from latentsync_core.models.reference_mouth import replace_mouth
from latentsync_core.models.unet.unet import UNet
from latentsync_core.models.vae import DiffusersCodec
from latentsync_core.sampling.denoising.denoise import denoise_window
from latentsync_core.sampling.noise import frame_noise
from latentsync_core.sampling.sampler_options import WindowOptions
from latentsync_core.sampling.windows import WindowBlender, next_starts, plan_windows

from ..held_out import held_out, held_out_voices
from ..meter.network import measure_openings
from ..opening_statistics import best_lag, bootstrap, correlation_per_clip, mixing_weights, rounded
from ..paths import CACHE, MEDIA
from ..perceptual import PerceptualDistance, lower_half
from ..pictures import grid, save
from ..synthetic.crops import RESOLUTION
from ..synthetic.head.identity import sample_identity
from ..synthetic.scenes.scene import FIRST_TEST_SEED
from ..synthetic.speech.performance import LANGUAGES, SAMPLE_RATE
from ..vae.measure import decoded
from ..vae.train import WEIGHTS as VAE_WEIGHTS
from ..vae.train import load as load_vae
from ..whisper.tiny import load_whisper
from .diffusion import NANO_SCHEDULE, NANO_SETTINGS, NOISE_SHARING
from .features import LATENT_SIZE, MAX_CLOSED_OPENING, encode_recording
from .low_frequency import low_frequency_error
from .reference_mouths import reference_mouths
from .train import WEIGHTS, load

DUB_CLIP_OFFSET = 1  # clips further on: the next language's voice
BASELINE_CLIP_OFFSET = 7  # clips further on: whose openings the baseline compares with
SHEET_CLIPS, SHEET_FRAMES, SHEET_STRIDE = (
    (0, 8, 11, 17),
    slice(18, 50),
    4,
)  # clips, and frames of each, on the contact sheet
SHEET_CELL_SIZE = 112  # pixels of each
MAX_CLOSED_SHARE = 0.15  # of a speaker's range: a mouth that counts as closed
MIN_PAUSE_FRAMES = 6  # frames, at least, of a closed mouth
SPEECH_PERCENTILE = 95  # percentile of a speaker's true openings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GenerationOptions:
    """How the clips are generated; the defaults are what the model recommends."""

    steps: int = NANO_SETTINGS.steps
    cfg: float = NANO_SETTINGS.cfg
    schedule: NoiseSchedule = NANO_SCHEDULE
    windows: WindowOptions = field(default_factory=lambda: WindowOptions(overlap=NANO_SETTINGS.overlap))
    seed: int = 1247


@torch.no_grad()
def generate_clip(
    unet: UNet, codec: DiffusersCodec, crops: np.ndarray, audio: Tensor, options: GenerationOptions, mouths: np.ndarray
) -> Tensor:
    """The clip (n, 3, 128, 128) uint8 with its mouth generated for `audio` (n, 50, 384): (n, 3, 128, 128) in [0, 1].

    Pixels outside the mask are the clip's own. `mouths` (n,) says which frames the reference mouths come from.
    """
    plain, keep = to_float_images(crops), mouth_mask(RESOLUTION)
    whole, masked = codec.encode(plain * 2 - 1).cpu(), codec.encode((plain * 2 - 1) * keep).cpu()
    noise = frame_noise(options.seed, 0, list(range(len(plain))), (4, LATENT_SIZE, LATENT_SIZE), NOISE_SHARING)
    generated, blender = torch.zeros_like(whole), WindowBlender()
    windows = plan_windows(np.ones(len(plain), bool), options.windows)
    for window, next_start in zip(windows, next_starts(windows), strict=True):
        part = slice(window.start, window.stop)
        reference = replace_mouth(whole[part], whole[mouths[part]])
        latents = denoise_window(
            unet, noise[part], latent_mask(RESOLUTION), masked[part], reference, audio[part], options.steps,
            options.cfg, schedule=options.schedule,
        ).cpu()  # fmt: skip
        for frame, blended in blender.add(window, latents, next_start):
            generated[frame] = blended
    again = (codec.decode(generated).cpu() / 2 + 0.5).clamp(0, 1)
    return again * (1 - keep) + plain * keep


@torch.no_grad()
def image_quality(perceptual_distance: PerceptualDistance, seen: Tensor, crops: np.ndarray) -> dict[str, float]:
    """How (n, 3, 128, 128) in [0, 1] differ from the clip (n, 3, 128, 128) uint8: PSNR within the mask, the perceptual
    distance of the lower half, the variance of the low-frequency error on cheeks and neck."""
    true = to_float_images(crops)
    inside = mouth_mask(RESOLUTION) == 0
    psnr = -10 * (seen - true).square()[inside.expand_as(true)].mean().log10()
    distance = perceptual_distance(lower_half(seen * 2 - 1), lower_half(true * 2 - 1)).mean()
    blotches = low_frequency_error(seen, true).square().mean()
    return {
        "PSNR within the mask, dB": psnr.item(),
        "perceptual distance": distance.item(),
        "low-frequency error on cheeks and neck, levels squared": blotches.item(),
    }


@torch.no_grad()
def reconstruct(codec: DiffusersCodec, crops: np.ndarray) -> Tensor:
    """The clip (n, 3, 128, 128) uint8 as the autoencoder gives it back within the mask, in [0, 1]: the most that any
    drawing can be like it."""
    plain, keep = to_float_images(crops), mouth_mask(RESOLUTION)
    return decoded(codec, plain)[0] * (1 - keep) + plain * keep


def to_float_images(crops: np.ndarray) -> Tensor:
    """uint8 levels as float32 in [0, 1]."""
    return torch.from_numpy(np.array(crops)).float() / 255


def sheet(
    unet: UNet,
    codec: DiffusersCodec,
    crops: Sequence[np.ndarray],
    audio_features: Sequence[Tensor],
    generation: GenerationOptions,
    mouths: Sequence[np.ndarray],
) -> np.ndarray:
    """Some people's frames as rendered, each row above the same drawn for the next clip's voice."""
    rows = []
    for number in (number for number in SHEET_CLIPS if number < len(crops)):
        voice = audio_features[(number + DUB_CLIP_OFFSET) % len(audio_features)]
        drawn = generate_clip(unet, codec, crops[number], voice, generation, mouths[number])
        rows += [clip[SHEET_FRAMES][::SHEET_STRIDE] for clip in (to_float_images(crops[number]), drawn)]
    return grid(rows, SHEET_CELL_SIZE)


def figures(openings: np.ndarray, own: np.ndarray, dubbed: np.ndarray, silent: np.ndarray) -> dict:
    """From true openings (clips, n) and those read off the three drawings; intervals are a bootstrap's over clips."""
    clips = len(openings)
    limit = MAX_CLOSED_SHARE * np.percentile(openings, SPEECH_PERCENTILE, axis=1, keepdims=True)
    pauses = np.array([pause_mask(true) for true in openings])
    lags = np.array([best_lag(true, seen) for true, seen in zip(openings, own, strict=True)])
    return {
        "clips": clips, "frames": int(openings.size),
        "own voice": {
            "clips whose best lag is within a frame": rounded((np.abs(lags) <= 1).mean()),
            "slope": rounded(np.polyfit(openings.ravel(), own.ravel(), 1)[0]),
        },
        "whole clips": opening_correlations(openings, own, dubbed),
        "once all have begun": opening_correlations(
            *(part[:, first_speech_frame(openings) :] for part in (openings, own, dubbed))
        ),
        "pauses of the own voice": {
            "frames": int(pauses.sum()), "closed": rounded((own < limit)[pauses].mean()) if pauses.any() else None,
        },
        "silence": {"frames closed": rounded((silent < limit).mean()), "median opening": rounded(np.median(silent))},
    }  # fmt: skip


def opening_correlations(openings: np.ndarray, own: np.ndarray, dubbed: np.ndarray) -> dict:
    """How the drawings' openings correlate with the voices' true ones, and what those do among themselves."""
    dub, other = np.roll(openings, -DUB_CLIP_OFFSET, axis=0), np.roll(openings, -BASELINE_CLIP_OFFSET, axis=0)
    new_weight, old_weight = mixing_weights(dubbed, dub, openings).T
    return {
        "own voice": bootstrap(correlation_per_clip(openings, own)),
        "shuffled baseline": bootstrap(correlation_per_clip(other, own)),
        "both clips' true mouths": bootstrap(correlation_per_clip(other, openings)),
        "dubbed: new voice": bootstrap(correlation_per_clip(dub, dubbed)),
        "dubbed: old mouth": bootstrap(correlation_per_clip(openings, dubbed)),
        "both voices' true mouths": bootstrap(correlation_per_clip(openings, dub)),
        "dubbed: weight of the new mouth": bootstrap(new_weight),
        "dubbed: weight of the old mouth": bootstrap(old_weight),
    }


def by_group(groups: Sequence[str], values: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """The median over the clips of each group of every (clips,) array of `values`; NaN entries don't count."""
    names = np.array(groups)
    return {
        str(name): {"clips": int((names == name).sum())}
        | {key: rounded(np.nanmedian(value[names == name])) for key, value in values.items()}
        for name in sorted(set(groups))
    }


def per_clip(openings: np.ndarray, own: np.ndarray, dubbed: np.ndarray, silent: np.ndarray) -> dict[str, np.ndarray]:
    """(clips,) values of every clip, from what `figures` takes; NaN where a clip has no pause."""
    limit = MAX_CLOSED_SHARE * np.percentile(openings, SPEECH_PERCENTILE, axis=1, keepdims=True)
    dub = np.roll(openings, -DUB_CLIP_OFFSET, axis=0)
    pauses = [pause_mask(true) for true in openings]
    closed = own < limit
    return {
        "own voice": correlation_per_clip(openings, own),
        "dubbed: new voice": correlation_per_clip(dub, dubbed),
        "dubbed: weight of the old mouth": mixing_weights(dubbed, dub, openings)[:, 1],
        "closed in pauses": np.array(
            [shut[p].mean() if p.any() else np.nan for shut, p in zip(closed, pauses, strict=True)]
        ),
        "closed in silence": (silent < limit).mean(1),
        "slope": np.array([np.polyfit(true, seen, 1)[0] for true, seen in zip(openings, own, strict=True)]),
    }


def first_speech_frame(openings: np.ndarray) -> int:
    """The first frame by which every clip's mouth has opened; 0 where one never does."""
    opened = openings > MAX_CLOSED_OPENING
    return int(opened.argmax(1).max()) if opened.any(1).all() else 0


def pause_mask(true: np.ndarray) -> np.ndarray:
    """(n,) bool: frames within pauses, where the mouth is shut for PAUSE frames or more, not those at their ends."""
    found = np.zeros(len(true), bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (true < MAX_CLOSED_OPENING).astype(int), [0]])))
    for start, stop in edges.reshape(-1, 2):
        if stop - start >= MIN_PAUSE_FRAMES:
            found[start + 1 : stop - 1] = True
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--vae", type=Path, default=VAE_WEIGHTS)
    parser.add_argument("--judge", type=Path, default=VAE_WEIGHTS, help="autoencoder of the perceptual distance")
    parser.add_argument("--clips", type=int, default=40, help="of the forty that are drawn, the first so many")
    parser.add_argument("--first", type=int, default=0, help="number of the first one; none from 40 on is of a figure")
    parser.add_argument("--steps", type=int, default=GenerationOptions().steps)
    parser.add_argument("--cfg", type=float, default=GenerationOptions().cfg)
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for the drawn test clips")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sheet", action="store_true", help="draw the contact sheet, measure nothing")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    first = options.first
    clips = held_out(options.clips if first else 40, 3.0, folder=options.cache, first=first)
    voices = held_out_voices(options.clips, 3.0, first)
    crops, openings = clips.crops[: options.clips], clips.openings[: options.clips]
    rng = np.random.default_rng(0)
    mouths = [reference_mouths(own, turns, rng) for own, turns in zip(openings, clips.turns, strict=False)]
    unet, codec = load(options.weights).to(options.device), load_vae(options.vae)
    codec.vae.to(options.device)
    frames = openings.shape[1]
    audio_features = [encode_recording(load_whisper(), voice, frames) for voice in voices]
    quiet = encode_recording(load_whisper(), np.zeros(frames * SAMPLE_RATE // 25, np.float32), frames)
    generation = GenerationOptions(options.steps, options.cfg)
    if options.sheet:
        save(sheet(unet, codec, crops, audio_features, generation, mouths), MEDIA / "nano.png")
        return
    perceptual_distance = PerceptualDistance(load_vae(options.judge).vae)
    read, close, floor = [], [], []
    for number, clip in enumerate(crops):
        audios = (audio_features[number], audio_features[(number + DUB_CLIP_OFFSET) % len(crops)], quiet)
        drawn = [generate_clip(unet, codec, clip, audio, generation, mouths[number]) for audio in audios]
        read.append([measure_openings(pictures) for pictures in drawn])
        close.append(image_quality(perceptual_distance, drawn[0], clip))
        floor.append(image_quality(perceptual_distance, reconstruct(codec, clip), clip))
        logger.info("%d of %d clips", number + 1, len(crops))
    read = np.array(read).transpose(1, 0, 2)
    found = figures(openings, *read)
    quality = {key: np.array([one[key] for one in close]) for key in close[0]}
    found["drawn"] = {key: bootstrap(values) for key, values in quality.items()}
    found["autoencoder"] = {key: bootstrap(np.array([one[key] for one in floor])) for key in floor[0]}
    values = per_clip(openings, *read) | quality
    numbers = range(first, first + len(crops))
    languages = [list(LANGUAGES)[number % len(LANGUAGES)] for number in numbers]
    found["by language"] = by_group(languages, values)
    found["by style"] = by_group([sample_identity(FIRST_TEST_SEED + number).style for number in numbers], values)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
