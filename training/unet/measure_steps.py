"""Clean latents that the U-Net predicts at single diffusion steps: ``python -m training.unet.measure_steps``.

At each step the clean latents that one prediction leads to are held against the true ones, within the mask: latent by
latent, and on the whole, over patches of all frames, which is colour for the most part. With another clip's voice and
with none beside it, one sees at which steps the voice counts. Several files of weights can be compared.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentsync_core.faces.alignment.mouth_mask import latent_mask
from latentsync_core.models.reference_mouth import replace_mouth
from latentsync_core.models.vae import DiffusersCodec
from latentsync_core.sampling.noise import frame_noise

from ..held_out import held_out, held_out_voices
from ..paths import CACHE
from ..synthetic.crops import RESOLUTION
from ..vae.train import WEIGHTS as VAE_WEIGHTS
from ..vae.train import load as load_vae
from ..whisper.tiny import load_whisper
from .diffusion import NOISE_SHARING, add_noise, clean_estimate
from .features import LATENT_SIZE, encode_recording, latents
from .reference_mouths import reference_mouths
from .train import COARSE_PATCH, WEIGHTS, WINDOW, WindowBatch, load

STEPS = (999, 900, 700, 500, 250)
REFERENCE_AT = 40  # the first frame of the reference window; the window itself is the clip's first frames


def sample_windows(
    codec: DiffusersCodec, crops: Sequence[np.ndarray], voices: Sequence[np.ndarray], mouths: Sequence[np.ndarray]
) -> WindowBatch:
    """One window of each clip (n, 3, 128, 128) uint8 with its voice at 16 kHz, at no diffusion step yet; `mouths` (n,)
    as in `measure.generate_clip`."""
    whole, masked = (torch.from_numpy(part).float() for part in latents(codec, crops))
    at, other = slice(WINDOW), slice(REFERENCE_AT, REFERENCE_AT + WINDOW)
    mask = latent_mask(RESOLUTION).expand(len(crops), WINDOW, 1, LATENT_SIZE, LATENT_SIZE)
    references = [replace_mouth(clip[other], clip[frames[other]]) for clip, frames in zip(whole, mouths, strict=True)]
    condition = torch.cat([mask, masked[:, at], torch.stack(references)], dim=2)
    audio_features = [
        encode_recording(load_whisper(), voice, len(clip))[at] for voice, clip in zip(voices, crops, strict=True)
    ]
    clean = whole[:, at].transpose(1, 2)
    noise = [
        frame_noise(seed, 0, list(range(WINDOW)), (4, LATENT_SIZE, LATENT_SIZE), NOISE_SHARING)
        for seed in range(len(crops))
    ]
    return WindowBatch(
        clean,
        condition.transpose(1, 2),
        torch.stack(audio_features),
        torch.stack(noise).transpose(1, 2),
        torch.zeros(len(crops), dtype=torch.long),
        torch.full((len(crops), WINDOW), torch.nan),
    )


@torch.no_grad()
def errors(unet: nn.Module, windows: WindowBatch, step: int) -> dict[str, float]:
    """Mean squares of how far off the foreseen clean latents are."""
    steps = torch.full_like(windows.steps, step)
    sample = add_noise(windows.clean, windows.noise, steps)
    inside = (latent_mask(RESOLUTION) == 0).expand_as(windows.clean)

    def residual(audio: Tensor) -> Tensor:
        predicted = unet(torch.cat([sample, windows.condition], dim=1), steps, audio)
        return clean_estimate(sample, predicted, steps) - windows.clean

    own = residual(windows.audio)
    return {
        "within the mask": round(own[inside].square().mean().item(), 4),
        "on the whole": round(F.avg_pool3d(own, (WINDOW, COARSE_PATCH, COARSE_PATCH)).square().mean().item(), 4),
        "with another voice": round(residual(windows.audio.roll(1, 0))[inside].square().mean().item(), 4),
        "with none": round(residual(torch.zeros_like(windows.audio))[inside].square().mean().item(), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path, nargs="*", default=[WEIGHTS])
    parser.add_argument("--vae", type=Path, default=VAE_WEIGHTS)
    parser.add_argument("--clips", type=int, default=6, help="of the forty that are drawn, the first so many")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for the drawn test clips")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    clips, count = held_out(40, 3.0, folder=options.cache), options.clips
    mouths = [reference_mouths(*of_clip) for of_clip in zip(clips.openings[:count], clips.turns[:count], strict=True)]
    windows = sample_windows(load_vae(options.vae), clips.crops[:count], held_out_voices(40, 3.0)[:count], mouths)
    found = {}
    for path in options.weights:
        unet = load(path)
        found[str(path)] = {step: errors(unet, windows, step) for step in STEPS}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
