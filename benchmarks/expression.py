"""How far the mouth moves at each strength of expression: python -m benchmarks.expression

The bundled model generates clips of the test split for their own voices, and the meter reads the mouth's opening off
the crops. Two ways are compared: ``guidance``, which is `SamplerOptions.expression`, and ``features``, which scales how
far the voice's Whisper features lie from those of silence.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from latentsync_core.faces.alignment.mouth_mask import mouth_mask
from latentsync_core.models.loading.weights import load_model
from latentsync_core.sampling.sampler_options import SamplerOptions
from training.held_out import held_out, held_out_voices
from training.meter.network import measure_openings
from training.opening_statistics import best_lag, bootstrap, correlation_per_clip, rounded
from training.paths import CACHE
from training.synthetic.crops import RESOLUTION
from training.synthetic.speech.performance import SAMPLE_RATE
from training.unet.features import MAX_CLOSED_OPENING, encode_recording
from training.unet.measure import GenerationOptions, generate_clip, to_float_images
from training.unet.reference_mouths import reference_mouths

STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0)
WAYS = ("guidance", "features")
SECONDS, FRAME_RATE = 3.0, 25


def figures(true: np.ndarray, seen: np.ndarray, psnr: list[float]) -> dict:
    """From the clips' openings (clips, n), those generated, and every clip's PSNR within the mask in dB."""
    slopes = np.array([np.polyfit(a, b, 1)[0] for a, b in zip(true, seen, strict=True)])
    lags = np.array([best_lag(a, b) for a, b in zip(true, seen, strict=True)])
    return {
        "slope": bootstrap(slopes, digits=3),
        "widest opening, of the true one": rounded(np.percentile(seen, 95) / np.percentile(true, 95), 3),
        "opening where the true mouth is closed": rounded(seen[true < MAX_CLOSED_OPENING].mean(), 4),
        "correlation": bootstrap(correlation_per_clip(true, seen), digits=3),
        "clips whose best lag is within a frame": rounded((np.abs(lags) <= 1).mean(), 2),
        "PSNR within the mask, dB": rounded(np.mean(psnr), 2),
    }


def main() -> None:
    """Prints a line for every way and strength."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=6, help="of the forty of the test split, the first so many")
    parser.add_argument("--strengths", type=float, nargs="+", default=STRENGTHS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for the drawn test clips")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = load_model("nano")
    clips = held_out(40, SECONDS, folder=options.cache)
    crops, true = clips.crops[: options.clips], clips.openings[: options.clips]
    mouths = [reference_mouths(*of_clip) for of_clip in zip(true, clips.turns, strict=False)]
    frames, inside = true.shape[1], mouth_mask(RESOLUTION) == 0
    features = [encode_recording(model.whisper, voice, frames) for voice in held_out_voices(options.clips, SECONDS)]
    silence = encode_recording(model.whisper, np.zeros(frames * SAMPLE_RATE // FRAME_RATE, np.float32), frames)
    cfg, steps = model.recommended.cfg, model.recommended.steps
    for way in options.ways:
        for strength in options.strengths:
            seen, psnr = [], []
            for clip, voice, of_clip in zip(crops, features, mouths, strict=True):
                if way == "features":
                    voice, guidance = torch.lerp(silence, voice, strength), cfg
                else:
                    guidance = SamplerOptions(cfg=cfg, expression=strength).guidance_at(0)
                generation = GenerationOptions(steps, guidance)
                drawn = generate_clip(model.unet, model.codec, clip, voice, generation, of_clip)
                seen.append(measure_openings(drawn))
                error = (drawn - to_float_images(clip)).square()[inside.expand_as(drawn)].mean()
                psnr.append(float(-10 * error.log10()))
            print(f"{way} {strength:g}: {json.dumps(figures(true, np.array(seen), psnr))}", flush=True)


if __name__ == "__main__":
    main()
