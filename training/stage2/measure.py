"""Measures what TREPA does: ``python -m training.stage2.measure --with a0 a1 a2 --without b0 b1 b2``, weights of pairs.

Pairs of second stages, each pair of one seed, that differ in TREPA alone draw the same test clips (people, voices and
sentences of the test split) by the engine's denoiser from the same noise. What is measured was fixed before any result
was seen; every figure is of a clip, all but the last three are the better the lower:

- temporal distance: the engine's `temporal_distance` to the true clip, by an encoder that nothing was trained against;
  beside it, for comparison only, by the one that was trained against.
- flicker: energy of the second difference in time of the pixels that are drawn, in 8-bit levels squared, less the true
  clip's. It is below 0 where a drawn mouth moves more smoothly than the true one.
- unsteadiness: the same energy of the drawn clip less the true one, frame by frame; 0 for the true clip alone.
- opening's flicker: the first one of the opening that the meter reads, in hundredths of a head unit squared.
- sync: SyncNet's confidence, whether its best lag is within a frame, and how the opening correlates with the true one.

What the autoencoder alone does to the true clips is the floor; beside it, if given, the first stage (``--before``).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latentsync_core.evaluation.scores import sync_score, temporal_distance
from latentsync_core.evaluation.syncnet import SyncNet, load_syncnet
from latentsync_core.faces.alignment.mouth_mask import mouth_mask
from latentsync_core.models.vae import DiffusersCodec
from latentsync_core.trepa.video_encoder import VideoEncoder, load_video_encoder

from .. import paths
from ..held_out import held_out, held_out_voices
from ..meter.network import measure_openings
from ..opening_statistics import DRAWS, correlation_per_clip
from ..paths import CACHE
from ..syncnet import train as train_syncnet
from ..synthetic.crops import RESOLUTION
from ..trepa import train as train_trepa
from ..unet.features import encode_recording
from ..unet.measure import GenerationOptions, generate_clip, reconstruct, to_float_images
from ..unet.reference_mouths import reference_mouths
from ..unet.train import load
from ..vae.train import WEIGHTS as VAE_WEIGHTS
from ..vae.train import load as load_vae
from ..whisper.tiny import load_whisper

CLIP_CACHE = paths.RUNS / "stage2_drawn"  # drawn clips, so that a measurement goes on where it was stopped
METRICS = (
    "temporal distance", "temporal distance, trained against", "flicker", "unsteadiness", "opening's flicker",
    "sync confidence", "lag within a frame", "follows its voice",
)  # fmt: skip

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TrueClips:
    """True clips: crops (clips, n, 3, 128, 128) uint8, openings (clips, n) in head units, turns (clips, n, 2) in
    degrees, a waveform at 16 kHz each."""

    crops: np.ndarray
    openings: np.ndarray
    turns: np.ndarray
    voices: Sequence[np.ndarray]


class ClipEvaluator:
    """The networks that look at drawn clips."""

    def __init__(self, judge: VideoEncoder, against: VideoEncoder, syncnet: SyncNet) -> None:
        self._evaluation_encoder, self._loss_encoder, self._syncnet = judge, against, syncnet.eval()

    def metrics(self, clips: TrueClips, drawn: np.ndarray) -> dict[str, np.ndarray]:
        """Every metric of drawn clips (clips, n, 3, 128, 128) uint8: (clips,) each."""
        rows = [self._of_clip(clips, number, to_float_images(clip)) for number, clip in enumerate(drawn)]
        found = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        openings = np.stack([measure_openings(to_float_images(clip)) for clip in drawn])
        true = clips.openings[: len(drawn)]
        found["opening's flicker"] = np.array(
            [
                1e4 * (energy(torch.from_numpy(a)) - energy(torch.from_numpy(np.array(b))))
                for a, b in zip(openings, true, strict=True)
            ]
        )
        found["follows its voice"] = correlation_per_clip(true, openings)
        return {name: found[name] for name in METRICS}

    def _of_clip(self, clips: TrueClips, number: int, drawn: Tensor) -> dict[str, float]:
        true = to_float_images(clips.crops[number])
        voice = torch.from_numpy(np.asarray(clips.voices[number], np.float32))
        score = sync_score(self._syncnet, drawn * 2 - 1, voice)
        return {
            "temporal distance": temporal_distance(self._evaluation_encoder, drawn * 2 - 1, true * 2 - 1),
            "temporal distance, trained against": temporal_distance(self._loss_encoder, drawn * 2 - 1, true * 2 - 1),
            "flicker": flicker(drawn) - flicker(true),
            "unsteadiness": flicker(drawn - true),
            "sync confidence": score.confidence,
            "lag within a frame": float(abs(score.offset) <= 1),
        }


def energy(values: Tensor) -> Tensor:
    """The mean square of the second difference along time, the first axis: of (n,) a scalar, of (n, ...) (...)."""
    return (values[2:] - 2 * values[1:-1] + values[:-2]).square().mean(0)


def flicker(clip: Tensor) -> float:
    """The energy at the pixels that are generated, of (n, 3, 128, 128) in [0, 1], in 8-bit levels squared."""
    drawn = 1 - mouth_mask(RESOLUTION)
    return float((energy(clip * 255).mean(0) * drawn).sum() / drawn.sum())


def comparison(with_it: np.ndarray, without: np.ndarray) -> dict:
    """One metric of both arms, (seeds, clips) each: means, and what TREPA changes, absolutely and in per cent.

    Intervals hold 95 % of bootstrap draws over clips, both arms of all seeds together: they tell what other clips would
    give with these trainings, not what other seeds would; the seeds stand beside them one by one.
    """
    rng = np.random.default_rng(0)
    draws = rng.integers(0, with_it.shape[1], (DRAWS, with_it.shape[1]))
    one, other = with_it.mean(0), without.mean(0)  # of the seeds
    change, base = (one - other)[draws].mean(1), np.abs(other[draws].mean(1))
    whole = one.mean() - other.mean()
    relative = _per_cent(change, base)
    return {
        "with": _rounded(one.mean()),
        "without": _rounded(other.mean()),
        "change, 95 %": [_rounded(v) for v in (whole, *np.percentile(change, (2.5, 97.5)))],
        "change in %, 95 %": [
            round(float(v), 1) for v in (_per_cent(whole, abs(other.mean())), *np.percentile(relative, (2.5, 97.5)))
        ],
        "change in % by seed": [
            round(float(_per_cent(a.mean() - b.mean(), abs(b.mean()))), 1)
            for a, b in zip(with_it, without, strict=True)
        ],
    }


def figures(
    arms: Mapping[str, Sequence[Mapping[str, np.ndarray]]], beside: Mapping[str, Mapping[str, np.ndarray]]
) -> dict:
    """The comparison of every metric; `arms` has the readings "with" and "without" by seed, `beside` others by name."""
    found = {}
    for name in METRICS:
        both = [np.stack([metrics[name] for metrics in arms[arm]]) for arm in ("with", "without")]
        found[name] = comparison(*both)
        found[name] |= {other: _rounded(metrics[name].mean()) for other, metrics in beside.items()}
    return {"seeds": len(arms["with"]), "clips": len(both[0][0]), **found}


def generate_clips(
    weights: Path,
    vae: Path,
    clips: TrueClips,
    audio_features: Sequence[Tensor],
    generation: GenerationOptions,
    kept: Path = CLIP_CACHE,
) -> np.ndarray:
    """The clips with their mouths drawn by the networks of two files, uint8; kept, so that none is drawn twice."""
    digest = hashlib.sha256(weights.read_bytes() + vae.read_bytes() + repr(generation).encode()).hexdigest()[:12]
    networks, found = None, []
    for number, crops in enumerate(clips.crops):
        path = kept / f"{digest}-{number}.npy"
        if not path.exists():
            networks = networks or (load(weights), load_vae(vae))
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".part.npy")
            mouths = reference_mouths(clips.openings[number], clips.turns[number])
            drawn = generate_clip(*networks, crops, audio_features[number], generation, mouths)
            np.save(partial, _levels(drawn))
            partial.replace(path)
            logger.info("%s: %d of %d clips", weights.name, number + 1, len(clips.crops))
        found.append(np.load(path))
    return np.stack(found)


def floor(codec: DiffusersCodec, clips: TrueClips) -> np.ndarray:
    """The true clips as the autoencoder gives them back, within the mask; uint8."""
    return np.stack([_levels(reconstruct(codec, crops)) for crops in clips.crops])


def _rounded(value: float) -> float:
    """Four digits that count: the figures are of all sizes."""
    return float(f"{value:.4g}")


def _per_cent(change: np.ndarray, base: np.ndarray) -> np.ndarray:
    return 100 * change / np.maximum(base, 1e-12)


def _levels(pictures: Tensor) -> np.ndarray:
    return (pictures * 255).round().byte().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--with", dest="with_it", type=Path, nargs="+", required=True, help="weights, one a seed")
    parser.add_argument("--without", type=Path, nargs="+", required=True, help="weights of the same seeds, in order")
    parser.add_argument("--before", type=Path, help="the first stage's weights")
    parser.add_argument("--clips", type=int, default=20, help="of the forty that are drawn, the first so many")
    parser.add_argument("--steps", type=int, default=GenerationOptions().steps)
    parser.add_argument("--cfg", type=float, default=GenerationOptions().cfg)
    parser.add_argument("--vae", type=Path, default=VAE_WEIGHTS)
    parser.add_argument("--syncnet", type=Path, default=train_syncnet.WEIGHTS)
    parser.add_argument("--judge", type=Path, default=train_trepa.WEIGHTS["judge"])
    parser.add_argument("--encoder", type=Path, default=train_trepa.WEIGHTS["loss"], help="the one trained against")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for the drawn test clips")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if len(options.with_it) != len(options.without):
        parser.error(f"Weights of pairs are compared, not {len(options.with_it)} with {len(options.without)}.")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    true, voices = held_out(40, 3.0, folder=options.cache), held_out_voices(40, 3.0)
    count = options.clips
    clips = TrueClips(true.crops[:count], true.openings[:count], true.turns[:count], voices[:count])
    audio_features = [encode_recording(load_whisper(), voice, clips.openings.shape[1]) for voice in clips.voices]
    codec, generation = load_vae(options.vae), GenerationOptions(options.steps, options.cfg)
    eye = ClipEvaluator(
        load_video_encoder(options.judge), load_video_encoder(options.encoder), load_syncnet(options.syncnet)
    )

    def read(weights: Path) -> dict[str, np.ndarray]:
        return eye.metrics(clips, generate_clips(weights, options.vae, clips, audio_features, generation))

    arms = {"with": [read(path) for path in options.with_it], "without": [read(path) for path in options.without]}
    beside = {"floor": eye.metrics(clips, floor(codec, clips))}
    if options.before:
        beside["first stage"] = read(options.before)
    print(json.dumps(figures(arms, beside), indent=1))


if __name__ == "__main__":
    main()
