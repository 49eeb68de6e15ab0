"""Trains the small U-Net's first stage: ``python -m training.unet.train --minutes 90`` writes its weights.

The reference's recipe (Li et al. 2024, https://arxiv.org/abs/2412.09262, section 3.1) with another prediction: from a
window of 16 frames' noisy latents the network predicts v (`diffusion.py`), given the frames with the mouth masked,
reference frames whole, and Whisper's states; half of the noise's variance is common to all frames. The reference frames
of a window that is no dub never overlap it: with the same ones the network would copy the old mouth. Around lips and
chin all of them show a frame nearby whose mouth is closed (`reference_mouths.py`). One window in ten has no audio, so
that guidance works; one in five has a closed mouth and the audio of a silent recording.

Rendered people have two takes of everything, so almost all windows are dubs, once both texts have begun: masked and
reference frames are the other take's, the same frames among them. Jaw and cheeks beside the mask tell what was said
before the dub; a network that saw them agree with the voice would draw a share of the old mouth. With a quarter of the
windows and the pause before each text without a dub, that share was 0.24. Beside lips and jaw the other take's frames
are the target, too: a dub has to keep there what it can't move without a seam at the mask, as a wider jaw and the hair
behind it. In half of the windows target and reference have that part of frames from another time, so that it is copied
however little it goes with the mouth: filmed people laugh.

Whisper's states differ in size: single channels reach fifty times the others'. The network trains on states whose
channels are alike in size, and the divisors are folded into the weights that read them.

Few steps are to be enough, so training is at their noise levels: most of the windows at the last diffusion step,
which is pure noise, so that audio alone decides the mouth, most others at the further ones of two to four steps.
Rendered people's latents are not those of filmed ones, so in two windows of five they are mirrored or have their
channels mixed (`latent_variation.py`).

Errors weigh more at the mouth, and once more as means over 4x4 latents of all frames (Hoogeboom et al. 2023, "simple
diffusion", https://arxiv.org/abs/2301.11093): errors of a patch's colour are the first that the eye sees. The error of
the mouth's opening, a small part of any latent's error, is a loss of its own (`opening_probe.py`). So is the error of
its deviation within a window: least squares lead to the mean of all mouths that a voice allows, which moves less than
each of them.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import PartialState
from torch import Tensor, nn

from latentsync_core.faces.alignment.mouth_mask import latent_mask
from latentsync_core.models.checkpoints.network_file import read_config, save_network
from latentsync_core.models.reference_mouth import replace_mouth
from latentsync_core.models.unet.config import MotionConfig, UNetConfig
from latentsync_core.models.unet.unet import UNet

from .. import loop, paths
from ..paths import CACHE
from ..synthetic.crops import RESOLUTION
from ..takes import load_takes, other_take
from ..vae.data import mouth_weights
from ..vae.train import WEIGHTS as VAE_WEIGHTS
from .copy_path import fit_output_layer, with_copy_path
from .diffusion import add_noise, alphas_cumprod, clean_estimate, draw_noise, velocity
from .features import APPEARANCES, LATENT_SIZE, Features, features
from .latent_variation import LatentVariation
from .low_frequency import drawn_weight
from .mouth_attenuation import GAIN, attenuate_mouth
from .opening_probe import OpeningProbe, load_or_train_opening_probe, opening_probe_path
from .reference_mouths import reference_mouths

WEIGHTS = paths.network_weights("unet")
OUTPUT = paths.WEIGHTS / "unet.safetensors"
RUN = paths.RUNS / "unet"
# 5.3 M parameters. Two heads, not eight: with four channels a head, attention takes half of a step's time on a CPU.
# Norms over sixteen channels and more: over few they take away a patch's colour and the diffusion step.
CONFIG = UNetConfig(
    block_channels=(32, 64, 64, 64), audio_width=384, heads=2, norm_groups=2, motion=MotionConfig(heads=2), audio_rows=2
)
LEARNING_RATE = 6e-4
AVERAGING = 0.998
WINDOW = 16  # frames
AUDIO_DROPOUT = 0.1  # of the windows have zeros for audio
SILENT_RECORDING_SHARE = 0.2  # of the windows have a closed mouth and the audio of a silent recording
DUB_SHARE = 0.95  # of the windows that can be are dubs: condition and target are of different takes
SPEECH_START_FRAME = 18  # by then every clip's speech has begun: in the pause before it, both mouths are closed
SPEECH_SHARE = 0.9  # of the windows begin there or later
LAST_STEP_SHARE, FEW_STEPS_SHARE = 0.6, 0.3  # of the windows are at the last diffusion step, at one of FEW_STEPS
FEW_STEPS = (499, 666, 332, 749, 249)  # those of two, three and four steps that are spread evenly up to the last
SCALE_CLIPS = 100  # from which the sizes of Whisper's channels are taken
FIT_BATCHES = 40  # of two windows, for the closed form of the output layer
KEPT_WEIGHT = 0.2  # of an error where the frames are kept, beside one where the mouth is drawn
COARSE_PATCH = 4  # latents a side, over which an error counts on the whole
COARSE_WEIGHT = 4.0  # what that weighs
VARIED_SHARE = 0.4  # of the windows have latents that no drawn person has
MOVED_SURROUNDINGS_SHARE = 0.5  # of the windows have cheeks and neck of other frames in reference and target
OPENING_WEIGHT = 0.05  # of the opening's squared error, in the openings' variance
SPREAD_WEIGHT = 0.1  # of the squared error of the openings' deviation within a window, in the same unit
OPENING_DEVIATION = 0.083  # head units, standard deviation of all openings
AUDIO_PROJECTIONS = (
    ".attn2.to_k.weight",
    ".attn2.to_v.weight",
)  # endings of the names of the weights that read its states


@dataclass(frozen=True, eq=False)
class WindowBatch:
    """What a step learns from; b windows of f frames."""

    clean: Tensor  # (b, 4, f, 16, 16)
    condition: Tensor  # (b, 9, f, 16, 16): mask, masked latents, reference latents
    audio: Tensor  # (b, f, 50, 384)
    noise: Tensor  # as `clean`
    steps: Tensor  # (b,) of the diffusion
    openings: Tensor  # (b, f) in head units; NaN where they aren't known or the latents are varied

    def share(self, state: PartialState) -> WindowBatch:
        """The windows that one of several processes trains on."""
        part = slice(state.process_index, None, state.num_processes)
        return WindowBatch(*(getattr(self, name)[part] for name in self.__dataclass_fields__))

    def to(self, device: torch.device) -> WindowBatch:
        return WindowBatch(*(getattr(self, part).to(device) for part in self.__dataclass_fields__))


def build(seed: int = 0) -> UNet:
    """An untrained U-Net, the same for the same seed: it predicts nothing and frames don't mix, until it learns to."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet.from_config(CONFIG)
    for name, module in unet.named_modules():
        if name == "conv_out" or name.endswith("temporal_transformer.proj_out"):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    return unet.train()


def measure_channel_rms(data: Features) -> Tensor:
    """(384,) root mean squares of the audio features of the first clips."""
    return torch.from_numpy(np.array(data.audio_features[:SCALE_CLIPS], np.float32)).square().mean((0, 1, 2)).sqrt()


def fold_channel_rms(state: Mapping[str, Tensor], channel_rms: Tensor) -> dict[str, Tensor]:
    """The weights of a network that was trained on states divided by `channel_rms`, for the states as they are.

    With the sizes' reciprocals it goes the other way.
    """
    return {
        key: value / channel_rms.to(value) if key.endswith(AUDIO_PROJECTIONS) else value for key, value in state.items()
    }


def sample_windows(
    data: Features, step: int, seed: int, count: int, channel_rms: Tensor, varied_share: float = VARIED_SHARE
) -> WindowBatch:
    """The windows of this step: of `count` clips, at any time. The audio comes divided by `channel_rms`."""
    rng = np.random.default_rng((15487549, seed, step))
    draw = torch.Generator().manual_seed(seed * 1_000_003 + step)
    clean, condition, audio, openings = [], [], [], []
    for any_clip in rng.choice(len(data), count, replace=len(data) < count):
        window = draw_window(data, rng, int(any_clip))
        clip, at = window.clip, window.start
        vary = LatentVariation.sample(rng) if rng.random() < varied_share else LatentVariation()
        opening = torch.from_numpy(np.array(data.openings[clip % len(data.openings), at : at + WINDOW])).float()
        openings.append(opening if vary == LatentVariation() else torch.full_like(opening, torch.nan))
        frames, shown = make_condition(data, rng, clip, at)
        mask, masked, reference = frames.split((1, 4, 4), dim=1)
        drawn = target_latents(data, clip, shown, at)
        if rng.random() < MOVED_SURROUNDINGS_SHARE:
            kept = torch.maximum(mask, drawn_weight(LATENT_SIZE))
            elsewhere = _latents(data.whole, shown, int(rng.integers(0, data.whole.shape[1] - WINDOW + 1)))
            drawn, reference = (torch.lerp(elsewhere, latents, kept) for latents in (drawn, reference))
        clean.append(vary(drawn))
        condition.append(torch.cat([mask, vary(masked), vary(reference)], dim=1))
        audio.append(torch.zeros_like(window.audio) if rng.random() < AUDIO_DROPOUT else window.audio / channel_rms)
    return WindowBatch(
        torch.stack(clean).transpose(1, 2),  # b f c h w -> b c f h w
        torch.stack(condition).transpose(1, 2),
        torch.stack(audio),
        draw_noise(draw, count, WINDOW, LATENT_SIZE),
        torch.from_numpy(sample_steps(rng, count)),
        torch.stack(openings),
    )


@dataclass(frozen=True, eq=False)
class DrawnWindow:
    """Which frames a window has, and the audio that its mouth is to follow."""

    clip: int
    start: int
    audio: Tensor  # (16, 50, 384)
    silent: bool  # the audio is of a silent recording, the mouth closed


def draw_window(data: Features, rng: np.random.Generator, clip: int) -> DrawnWindow:
    """A window of `clip`, or of any clip where the mouth is closed for as long, with a silent recording's audio."""
    start = draw_start(data, rng)
    closed_mouth_windows = data.closed_mouth_windows(WINDOW) if rng.random() < SILENT_RECORDING_SHARE else ()
    if not len(closed_mouth_windows):
        return DrawnWindow(clip, start, data.audio(clip, range(start, start + WINDOW)), silent=False)
    clip, start = (int(v) for v in rng.choice(closed_mouth_windows))
    begin = int(rng.integers(0, data.whole.shape[1] - WINDOW + 1))
    recording = int(rng.integers(0, len(data.silence_features)))
    return DrawnWindow(clip, start, data.silence(recording, range(begin, begin + WINDOW)), silent=True)


def draw_start(data: Features, rng: np.random.Generator) -> int:
    """A window's first frame."""
    earliest = SPEECH_START_FRAME if rng.random() < SPEECH_SHARE else 0
    return int(rng.integers(earliest, data.whole.shape[1] - WINDOW + 1))


def make_condition(data: Features, rng: np.random.Generator, clip: int, at: int) -> tuple[Tensor, int]:
    """(16, 9, 16, 16), mask, masked and reference latents of a window, of a dub or with a reference apart from it; and
    the clip whose frames are masked."""
    starts = np.arange(data.whole.shape[1] - WINDOW + 1)
    other = int(rng.choice(starts[abs(starts - at) >= WINDOW]))
    if rng.random() < DUB_SHARE and at >= SPEECH_START_FRAME:
        shown, reference_at = other_take(clip), at
    else:
        shown, reference_at = clip, other
    mask = latent_mask(RESOLUTION).expand(WINDOW, 1, LATENT_SIZE, LATENT_SIZE)
    take = shown % len(data.openings)
    mouths = reference_mouths(data.openings[take], data.turns[take], rng)[reference_at : reference_at + WINDOW]
    closed = torch.from_numpy(np.array(data.whole[shown])[mouths]).float()
    reference = replace_mouth(_latents(data.whole, shown, reference_at), closed)
    return torch.cat([mask, _latents(data.masked, shown, at), reference], dim=1), shown


def target_latents(data: Features, clip: int, shown: int, at: int) -> Tensor:
    """(16, 4, 16, 16): what is to be drawn, lips and jaw of `clip`, and beside them what the `shown` frames show."""
    return torch.lerp(_latents(data.whole, shown, at), _latents(data.whole, clip, at), drawn_weight(LATENT_SIZE))


def compute_loss(
    unet: nn.Module, windows: WindowBatch, probe: OpeningProbe | None = None
) -> tuple[Tensor, dict[str, float]]:
    """The weighted error of the predicted v and, given a probe, of the opening in the clean estimate; its parts, and
    what the plain error is."""
    sample = add_noise(windows.clean, windows.noise, windows.steps)
    predicted = unet(torch.cat([sample, windows.condition], dim=1), windows.steps, windows.audio).float()
    residual = predicted - velocity(windows.clean, windows.noise, windows.steps)
    error = residual.square()
    fine = (error * _error_weights().to(error)).mean()
    coarse = F.avg_pool3d(residual, (WINDOW, COARSE_PATCH, COARSE_PATCH)).square().mean()
    parts = {"loss": fine, "coarse": coarse, "plain": error.mean()}
    total = fine + COARSE_WEIGHT * coarse
    if probe is not None:
        estimate = clean_estimate(sample, predicted, windows.steps).transpose(1, 2).flatten(0, 1)
        openings = windows.openings.flatten()
        read = probe(estimate)
        difference = torch.where(openings.isfinite(), read - openings, 0)
        parts["opening"] = (difference / OPENING_DEVIATION).square().mean()
        total = total + OPENING_WEIGHT * parts["opening"]
        known = windows.openings.isfinite().all(1)
        if known.any():
            spreads = [values.unflatten(0, windows.openings.shape)[known].std(1) for values in (read, openings)]
            parts["spread"] = ((spreads[0] - spreads[1]) / OPENING_DEVIATION).square().mean()
            total = total + SPREAD_WEIGHT * parts["spread"]
    return total, {name: value.item() for name, value in parts.items()}


def train(
    data: Features,
    budget: loop.Budget,
    run: Path | None = None,
    start: Mapping[str, Tensor] | None = None,
    count: int = 2,
    stop_after: int | None = None,
    on_progress: Callable[[float, dict[str, float]], None] | None = None,
    on_weights: Callable[[dict[str, Tensor]], None] | None = None,
    probe: OpeningProbe | None = None,
) -> dict[str, Tensor]:
    """Trains on `count` windows a step; returns the averaged weights. The rest is `loop.fit`'s.

    Without a `probe` the opening is no loss by itself. `start` and what is returned read Whisper's states as they are;
    those of a checkpoint don't, see `fold_channel_rms`.
    """
    channel_rms = measure_channel_rms(data)

    def loss_at(
        unet: nn.Module, step: int, fraction_done: float, device: torch.device
    ) -> tuple[Tensor, dict[str, float]]:
        windows = sample_windows(data, step, budget.seed, count, channel_rms)
        return compute_loss(unet, windows.share(PartialState()).to(device), probe)

    def write(state: dict[str, Tensor]) -> None:
        on_weights(fold_channel_rms(state, channel_rms))

    start = fold_channel_rms(start, 1 / channel_rms) if start else None
    state = loop.fit(
        build(budget.seed), loss_at, budget, run, start, stop_after, on_progress, write if on_weights else None
    )
    return fold_channel_rms(state, channel_rms)


def add_copy_path(start: Mapping[str, Tensor], data: Features, seed: int = 0) -> dict[str, Tensor]:
    """Weights that read Whisper's states as they are, with the path of `copy_path.py` and an output layer that fits
    this network's prediction, whatever it predicted before."""
    unet = build()
    unet.load_state_dict(with_copy_path(start))

    def batch(number: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        windows = sample_windows(data, number, seed + 1, 2, torch.ones(CONFIG.audio_width))
        sample = add_noise(windows.clean, windows.noise, windows.steps)
        wanted = velocity(windows.clean, windows.noise, windows.steps)
        return torch.cat([sample, windows.condition], dim=1), windows.steps, windows.audio, wanted

    return fit_output_layer(unet, FIT_BATCHES, batch)


def save(state: Mapping[str, Tensor], path: Path) -> None:
    """Writes the weights in half precision, with the config that builds their network."""
    unet = UNet.from_config(CONFIG)
    unet.load_state_dict(state)
    save_network(unet.half(), CONFIG.to_dict(), path)


def load(path: Path = WEIGHTS) -> UNet:
    """The U-Net of a file that `save` wrote, or of a bundle's, by its config, in float32."""
    from safetensors.torch import load_file

    unet = UNet.from_config(UNetConfig.from_dict(read_config(path) or paths.bundle_config(path, "unet")))
    unet.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    return unet.eval().requires_grad_(False)


def sample_steps(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count,) int64 diffusion steps."""
    last = len(alphas_cumprod()) - 1
    kind = (rng.permutation(count) + rng.random(count)) / count
    few, anywhere = rng.choice(FEW_STEPS, count), rng.integers(0, last + 1, count)
    steps = np.where(kind < LAST_STEP_SHARE + FEW_STEPS_SHARE, few, anywhere)
    return np.where(kind < LAST_STEP_SHARE, last, steps).astype(np.int64)


@functools.cache
def _error_weights() -> Tensor:
    """(1, 16, 16) with mean 1, what an error of each latent weighs: most at the mouth, little where frames are kept."""
    drawn = 1 - latent_mask(RESOLUTION).view(1, LATENT_SIZE, LATENT_SIZE)
    weights = mouth_weights(LATENT_SIZE) ** 1.5 * (KEPT_WEIGHT + (1 - KEPT_WEIGHT) * drawn)
    return weights / weights.mean()


def _latents(values: np.ndarray, clip: int, at: int) -> Tensor:
    return torch.from_numpy(np.array(values[clip, at : at + WINDOW])).float()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    loop.add_arguments(parser, RUN, minutes=90, learning_rate=LEARNING_RATE)
    parser.add_argument("--clips", type=int, default=1400, help="drawn clips to use, at most")
    parser.add_argument("--appearances", type=int, default=APPEARANCES, help="of each clip")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the drawn clips and their features")
    parser.add_argument("--vae", type=Path, default=VAE_WEIGHTS)
    parser.add_argument("--batch", type=int, default=2, help="windows of a step, of all processes together")
    parser.add_argument(
        "--copy-path",
        action="store_true",
        help="give the first weights a path for what is copied, fit their output layer",
    )
    parser.add_argument("--mouth-gain", type=float, default=GAIN, help="see mouth_attenuation.py")
    parser.add_argument("--out", type=Path, default=OUTPUT)
    options = parser.parse_args()
    budget = loop.budget_from(options, AVERAGING)
    data = features(options.clips, options.cache, options.vae, options.appearances)
    data = attenuate_mouth(data, load_takes(options.clips, options.cache).waveforms, options.mouth_gain)
    loop.logger.info("%d clips", len(data))
    start = load(options.start).state_dict() if options.start else None
    probe = load_or_train_opening_probe(data, opening_probe_path(data, options.cache, options.vae))
    if options.copy_path:
        start = add_copy_path(start or build(budget.seed).state_dict(), data, budget.seed)
    train(
        data, budget, options.run, start, options.batch, on_progress=loop.reporter(),
        on_weights=lambda state: save(state, options.out), probe=probe,
    )  # fmt: skip


if __name__ == "__main__":
    main()
