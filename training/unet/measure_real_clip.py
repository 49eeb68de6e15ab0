"""How well the small model dubs a filmed person: ``python -m training.unet.measure_real_clip CLIP``.

The voice is a rendered one, spoken by espeak-ng, so that the opening that is intended is known in every frame. The face
mesh reads the mouth before and after: the meter, which was trained on drawn people, says little about filmed ones. The
result and a contact sheet of it stay beside each other.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch

from latentsync_core.audio.source import load_audio
from latentsync_core.cli.before_after import write_before_after
from latentsync_core.models.loading.demonstration import NANO
from latentsync_core.pipeline import SyncOptions, sync
from latentsync_core.sampling.sampler_options import Quality, SamplerOptions
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader

from .. import paths
from ..meter.network import MeshMeter
from ..opening_statistics import best_lag
from ..synthetic.scenes.clip_file import write_wave
from ..synthetic.speech.performance import LANGUAGES, SAMPLE_RATE, perform, sample_voice

VOICE = 7  # seed of the test split's voice and sentences


def mesh_openings(path: Path, seconds: float) -> np.ndarray:
    """(n,) of the clip's first seconds, as fractions of the face's height; NaN where the mesh finds no face."""
    meter = MeshMeter()
    with FrameReader(probe(path).trim(0, seconds)) as frames:
        return np.array([meter.read(frame) for frame in frames])


def agreement(intended: np.ndarray, seen: np.ndarray) -> dict:
    """How a reading follows what was intended, over the frames in which there is one."""
    found = np.isfinite(seen)
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
    parser.add_argument("--steps", type=int, help="the model's own where it isn't given")
    parser.add_argument("--cfg", type=float, help="likewise")
    parser.add_argument("--out", type=Path, default=paths.RUNS / "real_clip.mp4")
    options = parser.parse_args()
    torch.set_num_threads(1)
    speech = perform(VOICE, sample_voice(VOICE, options.language, "test"), options.seconds, "test")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        voice = Path(folder) / "voice.wav"
        write_wave(voice, speech.waveform[: round(options.seconds * SAMPLE_RATE)])
        given = {name: value for name in ("steps", "cfg") if (value := getattr(options, name)) is not None}
        job = SyncOptions(
            model=options.model,
            sampler=SamplerOptions(**given),
            quality=Quality.RECOMMENDED,
            explicit_settings=frozenset(given),
            end=options.seconds,
        )
        report = sync(options.clip, voice, options.out, job)
        shown = probe(options.clip).trim(0, options.seconds)
        write_before_after(shown, probe(report.output), load_audio(voice), report.output.with_suffix(".png"))
    before, after = (mesh_openings(path, options.seconds) for path in (options.clip, report.output))
    times = np.arange(len(after)) / float(probe(options.clip).fps)
    intended = np.array([mouth.opening for mouth in speech.mouth(times)])
    print(
        json.dumps(
            {
                "frames": report.frames,
                "synced": report.synced_frames,
                "as filmed": agreement(intended, before),
                "dubbed": agreement(intended, after),
                "both readings of the mouth": round(float(np.corrcoef(before, after)[0, 1]), 3),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
