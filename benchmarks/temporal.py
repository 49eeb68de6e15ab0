"""What window length, overlap, blend curve and shared noise do to steadiness: python -m benchmarks.temporal

The bundled model generates clips of the test split for their own voices, each twice: with windows from the first frame
on, and moved by half a window. Each layout's border jump is the change of the generated latents from one window's last
frame to the next one's first, relative to the change into the same frame where it lies inside a window, in the other of
the two: at 1.0 a border can't be told from any other place. Changes elsewhere in the clip would be no measure, as a
mouth moves more in the middle of a sentence than at a clip's ends. With an overlap a border is wherever windows take
turns. Flicker is the mean second difference in time within the mask, relative to the rendered clip's own. The video
distance is that of an encoder that nothing was trained with (TREPA's judge): 1 minus the cosine between a window's
features and the true ones.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from latentsync_core.faces.alignment.mouth_mask import latent_mask, mouth_mask
from latentsync_core.models.loading.weights import load_model
from latentsync_core.models.model import LatentSyncModel
from latentsync_core.models.reference_mouth import replace_mouth
from latentsync_core.sampling.denoising.denoise import denoise_window
from latentsync_core.sampling.noise import frame_noise
from latentsync_core.sampling.sampler_options import WindowOptions
from latentsync_core.sampling.windows import Window, plan_windows
from latentsync_core.trepa.video_encoder import VideoEncoder, clip_features, load_video_encoder
from training.held_out import held_out, held_out_voices
from training.meter.network import measure_openings
from training.opening_statistics import bootstrap, correlation_per_clip
from training.paths import CACHE
from training.synthetic.crops import RESOLUTION
from training.trepa.measure import windows as clip_windows
from training.trepa.train import WEIGHTS as ENCODERS
from training.unet.features import LATENT_SIZE, encode_recording
from training.unet.measure import to_float_images
from training.unet.reference_mouths import reference_mouths

SECONDS = 3.0
SEED = 1247
CURVES: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda place: place,
    "cosine": lambda place: (1 - torch.cos(torch.pi * place)) / 2,
}


@dataclass(frozen=True)
class Layout:
    """How a clip is cut into windows and joined again."""

    windows: WindowOptions
    curve: str = "linear"  # of the cross-fade
    sharing: float = 0.5  # of the noise's variance

    @property
    def name(self) -> str:
        fade = f", {self.curve}" if self.windows.overlap else ""
        last = "" if self.windows.full_last else ", short last window"
        return (
            f"{self.windows.frames} frames, overlap {self.windows.overlap}{fade}, noise sharing {self.sharing:g}{last}"
        )


LAYOUTS = (
    Layout(WindowOptions(16, 0, full_last=False), sharing=1.0),  # upstream's
    Layout(WindowOptions(16, 0)),
    Layout(WindowOptions(16, 0), sharing=0.0),
    Layout(WindowOptions(16, 0), sharing=1.0),
    Layout(WindowOptions(16, 2)),
    Layout(WindowOptions(16, 4)),
    Layout(WindowOptions(16, 4), curve="cosine"),
    Layout(WindowOptions(16, 8)),
    Layout(WindowOptions(12, 4)),
    Layout(WindowOptions(24, 4)),
)


@dataclass(frozen=True, eq=False)
class Material:
    """A clip as the network sees it."""

    pixels: Tensor  # (n, 3, R, R) in [0, 1]
    whole: Tensor  # (n, 4, h, w) latents
    reference: Tensor  # likewise, mouths of frames nearby where they are closed
    masked: Tensor
    audio: Tensor  # (n, tokens, width)

    def after(self, first: int) -> Material:
        """The clip without the frames before `first`."""
        return Material(*(getattr(self, field.name)[first:] for field in dataclasses.fields(self)))


def generate(model: LatentSyncModel, clip: Material, layout: Layout, first: int = 0) -> tuple[Tensor, list[int]]:
    """The generated latents (n, 4, h, w), and the frames at which another window begins to count for more than half.

    Args:
        first: the first frame's number, which its noise depends on.
    """
    frames = len(clip.whole)
    noise = frame_noise(SEED, 0, list(range(first, first + frames)), (4, LATENT_SIZE, LATENT_SIZE), layout.sharing)
    windows = plan_windows(np.ones(frames, bool), layout.windows)
    generated, borders = torch.zeros_like(clip.whole), []
    done = 0  # frames that earlier windows drew
    for window, drawn in zip(windows, _draw(model, clip, windows, noise), strict=True):
        shared = done - window.start
        if window.start:
            borders.append(window.start + shared // 2)
        place = torch.arange(1, shared + 1) / (shared + 1)
        weight = CURVES[layout.curve](place)[:, None, None, None]
        overlapping = slice(window.start, done)
        generated[overlapping] = torch.lerp(generated[overlapping], drawn[:shared], weight)
        generated[done : window.stop] = drawn[shared:]
        done = window.stop
    return generated, borders


def _draw(model: LatentSyncModel, clip: Material, windows: list[Window], noise: Tensor) -> Iterator[Tensor]:
    recommended = model.recommended
    for window in windows:
        part = slice(window.start, window.stop)
        yield denoise_window(
            model.unet, noise[part], latent_mask(RESOLUTION), clip.masked[part], clip.reference[part],
            clip.audio[part], recommended.steps, recommended.cfg, schedule=model.schedule,
        )  # fmt: skip


def border_jump(drawn: tuple[Tensor, list[int]], moved: tuple[Tensor, list[int]], by: int) -> float:
    """The mean change into the first frames of windows, in units of that into the same frames inside of windows.

    Args:
        drawn: latents and borders of `generate`.
        moved: the same of the clip without its first `by` frames, so that windows lie elsewhere.
    """
    frames = len(drawn[0])
    plain, other = _changes(drawn[0]), np.concatenate([np.zeros(by), _changes(moved[0])])  # into frames 1, 2, ...
    mine = np.array([border - 1 for border in drawn[1] if by < border < frames])
    others = np.array([by + border - 1 for border in moved[1]])
    at_border = np.concatenate([plain[mine], other[others]])
    inside = np.concatenate([other[mine], plain[others]])
    return float(at_border.mean() / inside.mean())


def _changes(latents: Tensor) -> np.ndarray:
    """The mean absolute change from each frame to the next one, within the mask."""
    inside = latent_mask(RESOLUTION) == 0
    return (latents[1:] - latents[:-1])[..., inside].abs().mean((1, 2)).numpy()


def flicker(pixels: Tensor) -> float:
    """The mean second difference in time within the mask of (n, 3, R, R)."""
    inside = mouth_mask(RESOLUTION) == 0
    return float((pixels[2:] - 2 * pixels[1:-1] + pixels[:-2])[..., inside].abs().mean())


def video_distance(encoder: VideoEncoder, drawn: Tensor, true: Tensor) -> float:
    """The mean over the windows of two clips (n, 3, R, R): 0 for equal ones."""
    features = (clip_features(encoder, clip_windows(clip, encoder.config.frames)) for clip in (drawn, true))
    return float(1 - F.cosine_similarity(*features).mean())


@torch.inference_mode()
def main() -> None:
    """Prints a line for every layout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=4, help="of the forty of the test split, the first so many")
    parser.add_argument("--layouts", type=int, nargs="+", default=range(len(LAYOUTS)), help="numbers, from 0")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for the drawn test clips")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, judge = load_model("nano"), load_video_encoder(ENCODERS["judge"])
    clips = held_out(40, SECONDS, folder=options.cache)
    true = clips.openings[: options.clips]
    voices = held_out_voices(options.clips, SECONDS)
    keep = mouth_mask(RESOLUTION)
    materials = []
    for crops, voice, openings, turns in zip(clips.crops, voices, clips.openings, clips.turns, strict=False):
        pixels = to_float_images(crops)
        whole, masked = (model.codec.encode(seen * 2 - 1) for seen in (pixels, (pixels - 0.5) * keep + 0.5))
        reference = replace_mouth(whole, whole[reference_mouths(openings, turns)])
        audio = encode_recording(model.whisper, voice, true.shape[1])
        materials.append(Material(pixels, whole, reference, masked, audio))
    for layout in (LAYOUTS[number] for number in options.layouts):
        jumps, flickers, distances, seen, seconds = [], [], [], [], 0.0
        for clip in materials:
            started = time.process_time()
            latents, borders = generate(model, clip, layout)
            seconds += time.process_time() - started
            by = (layout.windows.frames - layout.windows.overlap) // 2
            moved = generate(model, clip.after(by), layout, by)
            drawn = (model.codec.decode(latents) / 2 + 0.5).clamp(0, 1) * (1 - keep) + clip.pixels * keep
            jumps.append(border_jump((latents, borders), moved, by))
            flickers.append(flicker(drawn) / flicker(clip.pixels))
            distances.append(video_distance(judge, drawn, clip.pixels))
            seen.append(measure_openings(drawn))
        found = {
            "border jump": bootstrap(np.array(jumps), np.mean, digits=3),
            "flicker": bootstrap(np.array(flickers), np.mean, digits=3),
            "video distance": bootstrap(np.array(distances), np.mean, digits=5),
            "correlation": bootstrap(correlation_per_clip(true, np.array(seen)), digits=3),
            "processor seconds a clip": round(seconds / len(materials), 1),
        }
        print(f"{layout.name}: {json.dumps(found)}", flush=True)


if __name__ == "__main__":
    main()
