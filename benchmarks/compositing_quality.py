"""What can be seen of a new mouth's edges and skin: python -m benchmarks.compositing_quality --clips 40

Rendered people of the test split are lip-synced to their own voice, so that the clip itself is the truth, and the
carried scene to its English one. The same generated faces are composited three times: like the reference, as one region
from the eyes to the neck (`CompositeOptions.before_contours`), and by the defaults. Figures are means over the frames
with a new mouth; with files given (``--scene CLIP VOICE``) those are measured in place of the carried scene.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latentsync_core.audio.features import embed_audio
from latentsync_core.audio.source import load_audio
from latentsync_core.compositing.composite_options import CompositeOptions
from latentsync_core.compositing.rendering import RenderedFrame, render
from latentsync_core.faces.alignment.align import crop_face, crop_size
from latentsync_core.faces.crop_path import path_transforms
from latentsync_core.faces.find import find_faces
from latentsync_core.models.loading.demonstration import NANO
from latentsync_core.models.loading.weights import load_model
from latentsync_core.models.model import LatentSyncModel
from latentsync_core.pipeline import sample
from latentsync_core.sample_scene import SCENE, VOICE
from latentsync_core.sampling.quality import resolve_quality
from latentsync_core.sampling.sampler_options import Quality, SamplerOptions
from latentsync_core.sampling.synced_faces import SyncedFaces
from latentsync_core.video.frame import Frame
from latentsync_core.video.reading.frame_sequence import FrameSequence
from latentsync_core.video.reading.probing import probe
from training.meter.network import MeshMeter
from training.perceptual import PerceptualDistance
from training.synthetic.crops import RESOLUTION
from training.synthetic.scenes.clip_file import write_clip
from training.synthetic.scenes.scene import talking_head
from training.synthetic.speech.performance import LANGUAGES
from training.unet.low_frequency import low_frequency_error
from training.unet.measure import image_quality
from training.vae.train import load as load_vae

CLIP_SIZE = (480, 480)  # pixels
SECONDS = 2.0
EDGE = (0.02, 0.98)  # the alphas between which the patch's border lies
PRESETS = {
    "like the reference": CompositeOptions.reference(),
    "from the eyes to the neck": CompositeOptions.before_contours(),
    "default": CompositeOptions(),
}


@dataclass
class Sums:
    """What is added up over the frames of a clip."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, **found: float) -> None:
        for name, value in found.items():
            self.values.setdefault(name, []).append(value)

    def mean(self, name: str) -> float:
        return float(np.mean(self.values[name]))


def main() -> None:
    """Prints the figures as JSON: of the scene, and of the rendered clips their mean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=40, help="rendered clips, of two seconds each; 0 for none")
    parser.add_argument("--scene", nargs=2, type=Path, metavar=("CLIP", "VOICE"), default=(SCENE, VOICE))
    parser.add_argument("--model", default=NANO)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(options.model)
    judge = PerceptualDistance(load_vae().vae)
    print(json.dumps({"scene": measure(model, *options.scene)}, indent=1), flush=True)
    per_clip = []
    for number in range(options.clips):
        with tempfile.TemporaryDirectory() as folder:
            clip = Path(folder) / "clip.mp4"
            scene = talking_head(
                number, list(LANGUAGES)[number % len(LANGUAGES)], SECONDS, size=CLIP_SIZE, split="test"
            )
            truths = write_clip(scene, clip)
            openings = np.array([truth.faces[0].opening for truth in truths])
            per_clip.append(measure(model, clip, clip, judge, openings))
        print(f"{number + 1} of {options.clips} clips", flush=True)
    if per_clip:
        means = {
            preset: {name: round(float(np.mean([one[preset][name] for one in per_clip])), 4) for name in values}
            for preset, values in per_clip[0].items()
        }
        print(json.dumps({f"{len(per_clip)} rendered clips": means}, indent=1))


def measure(
    model: LatentSyncModel,
    video: Path,
    voice: Path,
    judge: PerceptualDistance | None = None,
    openings: np.ndarray | None = None,
) -> dict[str, dict[str, float]]:
    """The figures of every preset; those of likeness and of the opening where the clip is the truth."""
    clip = probe(video)
    sampler = resolve_quality(SamplerOptions(), Quality.RECOMMENDED, model)
    audio = embed_audio(load_audio(voice), model.whisper)
    synced = sample(model, find_faces(clip), audio, sampler)
    with synced.patches:
        return {name: measure_preset(synced, preset, judge, openings) for name, preset in PRESETS.items()}


def measure_preset(
    synced: SyncedFaces, options: CompositeOptions, judge: PerceptualDistance | None, openings: np.ndarray | None
) -> dict[str, float]:
    """One row of the figures."""
    sums, readings, meter = Sums(), [], MeshMeter()
    crops: dict[str, list[Tensor]] = {"result": [], "source": []}
    transforms = path_transforms(synced.faces, RESOLUTION)[synced.source_index]
    before: tuple[Frame, Frame] | None = None
    with FrameSequence(synced.faces.clip) as sequence:
        sources = sequence.frames([int(index) for index in synced.source_index])
        for source, rendered in zip(sources, render(synced, options), strict=True):
            pair = (rendered.frame, source)
            if rendered.layer is not None:
                transform = transforms[len(readings)]
                add_frame(sums, rendered, source, before, transform)
                for name, frame in zip(crops, pair, strict=True):
                    crops[name].append(crop_face(frame, transform, RESOLUTION))
            readings.append(meter.read(rendered.frame))
            before = pair
    seen, true = (torch.stack(pictures).clamp(0, 1) for pictures in crops.values())
    error = low_frequency_error(seen, true).square().mean().sqrt().item()
    found = {name: sums.mean(name) for name in ("luma samples changed", "share of the face changed")}
    found["low-frequency error on cheeks and neck, levels"] = error
    for what in ("gradient", "flicker"):
        ratio = sums.mean(f"{what} of result") / sums.mean(f"{what} of source")
        found[f"border {what} relative to the source's"] = ratio
    if judge is not None:
        quality = image_quality(judge, seen, (true * 255).round().byte().numpy())
        found |= {name: value for name, value in quality.items() if not name.startswith("low-frequency")}
    if openings is not None:
        read = np.array(readings)
        agreement = np.corrcoef(read[np.isfinite(read)], openings[np.isfinite(read)])[0, 1]
        found["the opening follows the voice"] = float(agreement)
    return {name: round(value, 4) for name, value in found.items()}


def add_frame(
    sums: Sums,
    rendered: RenderedFrame,
    source: Frame,
    before: tuple[Frame, Frame] | None,
    transform: np.ndarray,
) -> None:
    """What one frame adds; `before` are the result and the source of the frame before."""
    layer = rendered.layer
    luma, filmed = rendered.frame.planes[0], source.planes[0]
    changed = int(np.count_nonzero(luma != filmed))
    across, down = crop_size(RESOLUTION)
    face = across * down / abs(np.linalg.det(transform[:, :2].astype(np.float64)))
    sums.add(**{"luma samples changed": changed, "share of the face changed": changed / face})
    x0, y0, x1, y1 = layer.roi
    edge = ((layer.alpha > EDGE[0]) & (layer.alpha < EDGE[1])).numpy()
    if not edge.any():
        return
    for name, plane, earlier in zip(("result", "source"), (luma, filmed), before or (None, None), strict=True):
        part = plane[y0:y1, x0:x1].astype(np.float32)
        sums.add(**{f"gradient of {name}": float(np.hypot(*np.gradient(part))[edge].mean())})
        if earlier is not None:
            last = earlier.planes[0][y0:y1, x0:x1].astype(np.float32)
            sums.add(**{f"flicker of {name}": float(np.abs(part - last)[edge].mean())})


if __name__ == "__main__":
    main()
