"""How well the small model dubs a filmed person: ``python -m training.unet.measure_real_clip CLIP``.

The voice is synthesized by espeak-ng, so the intended opening is known in every frame. The face mesh reads the mouth
before and after: the meter, which was trained on rendered people, says little about filmed ones. Beside lips and jaw a
generated crop has to look like the clip's own: its low-frequency error there is measured, and the autoencoder's own.
The result and a contact sheet of it are written next to each other. Drawn faces that aren't found are marked by hand
(``--marks``, JSON as the command line takes it); where the mesh reads no mouth in them, its figures are left out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latentsync_core.audio.source import load_audio
from latentsync_core.cli.before_after import write_before_after
from latentsync_core.faces.alignment.align import crop_face
from latentsync_core.faces.crop_path import path_transforms
from latentsync_core.faces.face_tracks import FaceTracks
from latentsync_core.faces.find import find_faces
from latentsync_core.faces.mouth_opening import filmed_openings, mouth_openings
from latentsync_core.models.loading.demonstration import NANO
from latentsync_core.models.loading.weights import load_model
from latentsync_core.models.model import LatentSyncModel
from latentsync_core.pipeline import sync
from latentsync_core.sampling.quality import resolve_quality
from latentsync_core.sampling.sampler_options import Quality, SamplerOptions
from latentsync_core.sync_options import SyncOptions
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader

from .. import paths
from ..opening_statistics import best_lag, rounded
from ..synthetic.crops import RESOLUTION
from ..synthetic.scenes.clip_file import write_wave
from ..synthetic.speech.performance import LANGUAGES, SAMPLE_RATE, perform, sample_voice
from .features import encode_recording
from .low_frequency import low_frequency_error
from .measure import GenerationOptions, generate_clip, reconstruct, to_float_images
from .reference_mouths import reference_mouths

VOICE = 7  # seed of the test split's voice and sentences


def aligned_crops(faces: FaceTracks) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3, 128, 128) uint8: the clip's face as the engine crops it, where it has one; and (n,) the frames of these
    from which the reference mouths come."""
    transforms = path_transforms(faces, RESOLUTION)
    with FrameReader(faces.clip) as frames:
        crops = [crop_face(frame, transform, RESOLUTION) for frame, transform in zip(frames, transforms, strict=True)
                 if np.isfinite(transform).all()]  # fmt: skip
    shown = np.isfinite(transforms).all((1, 2))
    turns = np.zeros((len(shown), 2))
    for track in faces.tracks:
        turns[track.start : track.stop] = np.nan_to_num(track.pose[:, :2])
    mouths = reference_mouths(filmed_openings(faces, shown)[shown], turns[shown])
    return (torch.stack(crops).clamp(0, 1) * 255).round().byte().numpy(), mouths


def low_frequency_figures(
    model: LatentSyncModel, crops: np.ndarray, audio: Tensor, options: GenerationOptions, mouths: np.ndarray
) -> dict:
    """Root mean square and 99th percentile, in levels, of the low-frequency error on cheeks and neck."""
    true = to_float_images(crops)
    seen = {"generated": generate_clip(model.unet, model.codec, crops, audio, options, mouths),
            "autoencoder": reconstruct(model.codec, crops)}  # fmt: skip
    found = {}
    for name, pictures in seen.items():
        error = low_frequency_error(pictures, true)
        found[name] = {
            "root mean square": rounded(error.square().mean().sqrt(), 2),
            "99th percentile": rounded(error.abs().flatten().quantile(0.99), 2),
        }
    return found


def agreement(intended: np.ndarray, seen: np.ndarray) -> dict:
    """How a reading follows what was intended, over the frames in which there is one."""
    found = np.isfinite(seen)
    if found.sum() < 2 or not seen[found].std():
        return {"frames with a face": round(float(found.mean()), 3)}  # of a still, or unread
    whole = np.interp(np.arange(len(seen)), np.flatnonzero(found), seen[found])
    return {
        "frames with a face": round(float(found.mean()), 3),
        "follows the voice": round(float(np.corrcoef(intended[found], seen[found])[0, 1]), 3),
        "best lag, frames": best_lag(intended, whole),
        "spread of the opening": round(float(seen[found].std()), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--model", default=NANO)
    parser.add_argument("--language", choices=tuple(LANGUAGES), default="en")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--steps", type=int, help="where not those that the model recommends")
    parser.add_argument("--cfg", type=float, help="likewise")
    parser.add_argument("--marks", type=Path, help="faces marked by hand: a JSON file, see docs/cli.md")
    parser.add_argument("--out", type=Path, default=paths.RUNS / "real_clip.mp4")
    options = parser.parse_args()
    marks = options.marks.read_text() if options.marks else ""
    torch.set_num_threads(1)
    model = load_model(options.model)
    chosen = {name: value for name in ("steps", "cfg") if (value := getattr(options, name)) is not None}
    sampler = resolve_quality(SamplerOptions(**chosen), Quality.RECOMMENDED, model, explicit=chosen)
    speech = perform(VOICE, sample_voice(VOICE, options.language, "test"), options.seconds, "test")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        voice = Path(folder) / "voice.wav"
        write_wave(voice, speech.waveform[: round(options.seconds * SAMPLE_RATE)])
        job = SyncOptions(model=model, sampler=sampler, end=options.seconds, marks=marks)
        report = sync(options.clip, voice, options.out, job)
        shown = probe(options.clip).trim(0, options.seconds)
        write_before_after(shown, probe(report.output), load_audio(voice), report.output.with_suffix(".png"))
    faces = find_faces(shown, marks=marks)
    before = mouth_openings(faces)
    with FrameReader(probe(report.output)) as frames:
        after = mouth_openings(faces, frames)
    times = np.arange(len(after)) / float(probe(options.clip).fps)
    crops, mouths = aligned_crops(faces)
    audio = encode_recording(model.whisper, speech.waveform, len(crops), float(probe(options.clip).fps))
    generation = GenerationOptions(sampler.steps, sampler.cfg, schedule=model.schedule)
    intended = np.array([mouth.opening for mouth in speech.mouth(times)])
    read = np.isfinite(before) & np.isfinite(after)
    both = round(float(np.corrcoef(before[read], after[read])[0, 1]), 3) if read.sum() > 1 else None
    print(
        json.dumps(
            {
                "frames": report.frames,
                "synced": report.synced_frames,
                "as filmed": agreement(intended, before),
                "dubbed": agreement(intended, after),
                "low-frequency error on cheeks and neck": low_frequency_figures(
                    model, crops, audio, generation, mouths
                ),
                "both readings of the mouth": both,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
