"""Does the TREPA distance's gradient steady sampling?  ``python -m training.trepa.guided_sampling --clips 12``

Windows of 16 frames with 4 shared ones are sampled in lockstep. On chosen steps their clean latents are joined as the
sampler joins them and decoded; the gradient of the TREPA distance of all windows of 16 frames, 8 apart, so that every
seam lies inside one, moves the clean latents by a share of their size, and sampling goes on from there. The distance is
to the filmed windows of half a clip later: the same person in steady motion, saying something else. An encoder of
another architecture, tuned with other seeds (`training.trepa.steadiness --which judge`), measures the distance to the
true clip, and how unsteady a window looks.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.temporal import SEED, Material, border_jump, flicker
from latentsync_core.faces.alignment.mouth_mask import latent_mask, mouth_mask
from latentsync_core.models.load_options import LoadOptions
from latentsync_core.models.loading.weights import load_model
from latentsync_core.models.model import LatentSyncModel
from latentsync_core.models.reference_mouth import replace_mouth
from latentsync_core.models.vae import SCALING_FACTOR
from latentsync_core.sampling.denoising.denoise import guided
from latentsync_core.sampling.denoising.solvers import make_scheduler, set_timesteps
from latentsync_core.sampling.noise import frame_noise
from latentsync_core.sampling.reference_means import averaged_frames
from latentsync_core.sampling.sampler_options import Scheduler, WindowOptions
from latentsync_core.sampling.windows import Window, plan_windows

from ..held_out import held_out, held_out_voices
from ..meter.network import measure_openings
from ..opening_statistics import bootstrap, correlation_per_clip
from ..paths import CACHE
from ..synthetic.crops import RESOLUTION
from ..unet.features import LATENT_SIZE, encode_recording
from ..unet.measure import to_float_images
from .measure import windows as cut
from .steadiness import SteadinessEncoder, features, load

WINDOWS = WindowOptions(16, 4)
STRIDE = 8  # frames between windows of the distance
SECONDS = 3.0


@dataclass(frozen=True)
class Pull:
    """How far the gradient moves the clean latents, of their root mean square, and on which steps (from the last)."""

    share: float
    last_only: bool = True
    times: int = 1

    @property
    def name(self) -> str:
        if not self.share:
            return "none"
        return f"{self.share:g} of their size, {self.times} times, {'last step' if self.last_only else 'all steps'}"


PULLS = (Pull(0), Pull(0.001), Pull(0.003), Pull(0.01), Pull(0.01, times=5), Pull(0.02))


def join(drawn: Tensor, windows: Sequence[Window]) -> Tensor:
    """Windows' latents (n, f, 4, h, w) as one clip's (m, 4, h, w), with linear cross-fades."""
    joined: list[Tensor] = []
    for latents, window in zip(drawn, windows, strict=True):
        shared = len(joined) - window.start
        for place in range(shared):
            weight = (place + 1) / (shared + 1)
            joined[window.start + place] = torch.lerp(joined[window.start + place], latents[place], weight)
        joined.extend(latents[shared : window.stop - window.start])
    return torch.stack(joined)


def spans(pixels: Tensor, length: int) -> Tensor:
    """(m, 3, length, h, w) in [-1, 1]: a clip's windows, `STRIDE` frames apart."""
    starts = range(0, len(pixels) - length + 1, STRIDE)
    return torch.stack([pixels[start : start + length] for start in starts]).transpose(1, 2) * 2 - 1


def generate(model: LatentSyncModel, encoder: SteadinessEncoder, clip: Material, pull: Pull) -> Tensor:
    """A clip's latents (m, 4, h, w)."""
    frames = len(clip.whole)
    noise = frame_noise(SEED, 0, list(range(frames)), (4, LATENT_SIZE, LATENT_SIZE), 0.5)
    windows = plan_windows(np.ones(frames, bool), WINDOWS)
    mask, steps, cfg = latent_mask(RESOLUTION), model.recommended.steps, model.recommended.cfg
    scheduler = make_scheduler(Scheduler.DDIM, model.schedule)
    set_timesteps(scheduler, steps, model.schedule)
    parts = [slice(window.start, window.stop) for window in windows]
    mouths = [clip.whole[averaged_frames(window, (0, frames))].mean(0) for window in windows]
    references = [replace_mouth(clip.whole[part], mouth) for part, mouth in zip(parts, mouths, strict=True)]
    condition = torch.stack([
        torch.cat([mask.expand(part.stop - part.start, 1, *mask.shape), clip.masked[part], reference], dim=1)
        for part, reference in zip(parts, references, strict=True)
    ]).transpose(1, 2)  # n f c h w -> n c f h w  # fmt: skip
    latents = torch.stack([noise[part] for part in parts]).transpose(1, 2)
    keys = model.unet.audio_keys(torch.cat([clip.audio[part] for part in parts]))
    with torch.no_grad():
        film = clip.pixels.roll(frames // 2, 0)
        wanted = F.normalize(features(encoder, spans(film, encoder.config.frames)))
    for step, timestep in enumerate(scheduler.timesteps):
        with torch.no_grad():
            sample = torch.cat([latents, condition], dim=1)
            halves = 1 if cfg == 1.0 else 2
            predicted = model.unet(sample.repeat(halves, 1, 1, 1, 1), timestep, keys).unflatten(0, (halves, -1))
            predicted = predicted[0] if halves == 1 else guided(predicted[0], predicted[1], cfg)
            alpha = float(scheduler.alphas_cumprod[int(timestep)])
            clean = model.schedule.clean_estimate(latents, predicted, alpha)
        if pull.share and (not pull.last_only or step == steps - 1):
            moved = clean
            for _ in range(pull.times):
                moved = _pulled(model, encoder, moved, windows, clip, wanted, pull.share / pull.times)
            predicted = (alpha**0.5 * latents - moved) / (1 - alpha) ** 0.5  # of v: clean = sqrt(a) x - sqrt(1 - a) v
        latents = scheduler.step(predicted, timestep, latents, return_dict=False)[0]
    return join(latents.transpose(1, 2), windows)


def _pulled(
    model: LatentSyncModel, encoder: SteadinessEncoder, clean: Tensor, windows: Sequence[Window], clip: Material,
    wanted: Tensor, share: float,
) -> Tensor:  # fmt: skip
    clean = clean.detach().requires_grad_(True)
    found = features(encoder, spans(pictures(model, join(clean.transpose(1, 2), windows), clip), 16))
    distance = (F.normalize(found) - wanted).square().sum(1).mean()
    (gradient,) = torch.autograd.grad(distance, clean)
    size = clean.detach().square().mean().sqrt()
    return (clean - share * size * gradient / gradient.square().mean().sqrt()).detach()


def pictures(model: LatentSyncModel, latents: Tensor, clip: Material) -> Tensor:
    """Decoded frames (m, 3, R, R) in [0, 1] with the drawn mouths in their clip."""
    keep = mouth_mask(RESOLUTION)
    decoded = model.codec.vae.decode(latents / SCALING_FACTOR).sample
    return (decoded / 2 + 0.5).clamp(0, 1) * (1 - keep) + clip.pixels * keep


def main() -> None:
    """Prints a line for every pull."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=12, help="of the forty of the test split, the first so many")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for the drawn test clips")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = load_model("nano", LoadOptions(device="cpu", precision="fp32"))
    guide, judge = load("loss"), load("judge")
    test = held_out(40, SECONDS, folder=options.cache)
    true, keep, clips = test.openings[: options.clips], mouth_mask(RESOLUTION), []
    with torch.no_grad():
        for crops, voice in zip(test.crops, held_out_voices(options.clips, SECONDS), strict=False):
            pixels = to_float_images(crops)
            whole, masked = (model.codec.encode(seen * 2 - 1) for seen in (pixels, (pixels - 0.5) * keep + 0.5))
            clips.append(Material(pixels, whole, masked, encode_recording(model.whisper, voice, true.shape[1])))
    model.unet.requires_grad_(False)
    for pull in PULLS:
        found: dict[str, list[float]] = {}
        seen, seconds = [], 0.0
        for clip in clips:
            started = time.process_time()
            latents = generate(model, guide, clip, pull).detach()
            seconds += time.process_time() - started
            with torch.no_grad():
                drawn = pictures(model, latents, clip)
                borders = [window.start + 2 for window in plan_windows(np.ones(len(drawn), bool), WINDOWS)[1:]]
                distances = {}
                for name, encoder in (("guide", guide), ("judge", judge)):
                    both = (F.normalize(features(encoder, cut(one, 16))) for one in (drawn, clip.pixels))
                    distances[f"{name}'s distance"] = float(1 - (next(both) * next(both)).sum(1).mean())
                error = ((drawn - clip.pixels)[..., keep == 0]).square().mean()
                figures = {
                    "border jump": border_jump(latents, borders),
                    "flicker": flicker(drawn) / flicker(clip.pixels),
                    "PSNR": float(-10 * error.log10()),
                    **distances,
                }
                seen.append(measure_openings(drawn))
            for name, value in figures.items():
                found.setdefault(name, []).append(value)
        line = {name: bootstrap(np.array(values), np.mean, digits=3) for name, values in found.items()}
        line["correlation"] = bootstrap(correlation_per_clip(true, np.array(seen)), digits=3)
        line["seconds a clip"] = round(seconds / len(clips), 1)
        print(f"{pull.name}: {json.dumps(line)}", flush=True)


if __name__ == "__main__":
    main()
