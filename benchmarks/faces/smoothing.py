"""How steady crops are and how well they follow: python -m benchmarks.faces.smoothing FOLDER [clip ...] [--others]

Renders the takes of `steady_clips` (a few minutes), finds their faces and compares the transforms of raw landmarks, of
the reference's own smoothing and of steadied landmarks with the truth. Clips given besides have no truth. FOLDER keeps
what was rendered and found, so that another run only compares. Lengths are pixels of a 256 × 256 crop, taken at its
corners and centre.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.faces.smoothing_clips import HELD_OUT_TAKES, TAKES, Take, write_take
from latentsync_core.faces.alignment.align import align_track, crop_size
from latentsync_core.faces.alignment.align_options import AlignOptions
from latentsync_core.faces.tracking.find_tracks import track_faces
from latentsync_core.video.reading.probing import probe

RESOLUTION = 256
MAX_FRAMES = 100
METHODS = {
    "raw": AlignOptions(smoothing_strength=0.0),
    "reference": AlignOptions.reference(),
    "steady": AlignOptions(),
}


def main() -> None:
    """Prints the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path, help="for what is rendered and found; another one for the others")
    arguments.add_argument("clips", type=Path, nargs="*")
    arguments.add_argument("--others", action="store_true", help="people that no constant was set with")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    print(f"{'still or unknown':24} {'way':10} {'step':>7} {'spread':>7} {'tremble':>8}")
    for name, found in load_or_track(options.folder, options.clips, HELD_OUT_TAKES if options.others else TAKES):
        for method, options in METHODS.items():
            transforms = transforms_of(found, options)
            if name.startswith(("still", "brows")) or not np.isfinite(found["truth"]).all():
                places = map_reference_points(transforms)
                step, spread = rms_length(np.diff(places, axis=0)), rms_length(places - places.mean(0))
                jitter = rms_length(np.diff(places, n=3, axis=0)) / np.sqrt(20)
                print(f"{name:24} {method:10} {step:7.3f} {spread:7.2f} {jitter:8.3f}")
            else:
                print(f"{name:24} {method:10} {tracking_error(transforms, found)}")


def load_or_track(folder: Path, clips: list[Path], takes: Sequence[Take]):
    """Each take's and clip's name with its points, their times and the truth, NaN where there is none."""
    named = {take.name.replace(" ", "_"): take for take in takes}
    for name, source in [*named.items(), *((clip.stem, clip) for clip in clips)]:
        cache_path = folder / f"{name}.npz"
        if not cache_path.is_file():
            path = source if isinstance(source, Path) else folder / f"{name}.mp4"
            truth = None if isinstance(source, Path) else write_take(source, path)
            clip = probe(path)
            clip = clip.subclip(0, min(clip.frame_count, MAX_FRAMES))
            points = track_faces(clip).path.landmarks
            np.savez(
                cache_path,
                points=points,
                times=clip.times,
                truth=np.full_like(points, np.nan) if truth is None else truth,
            )
        yield name, dict(np.load(cache_path, allow_pickle=False))


def transforms_of(found: dict, options: AlignOptions) -> np.ndarray:
    """(N, 2, 3) float64 of the points found."""
    seen = np.isfinite(found["points"]).all((1, 2))
    return align_track(found["points"], seen, RESOLUTION, options, times=found["times"]).astype(np.float64)[seen]


def map_reference_points(transforms: np.ndarray) -> np.ndarray:
    """(N, 5, 2): where source points, the corners and centre of the mean crop, lie in each crop."""
    return _mapped(transforms, _mapped(_inverse(transforms.mean(0)), _corners())) * _crop_scale()


def tracking_error(transforms: np.ndarray, found: dict) -> str:
    """The error against the true points' transforms, all of it and without its mean, and its change per frame."""
    seen = np.isfinite(found["points"]).all((1, 2))
    true = align_track(found["truth"], seen, RESOLUTION).astype(np.float64)[seen]
    source = _mapped(_inverse(true), _corners())
    error = (_mapped(transforms, source) - _corners()) * _crop_scale()
    varying = error - error.mean(0)
    worst = np.sqrt((varying**2).sum(-1)).mean(1).max()
    speed = np.gradient(_mapped(_inverse(true), _corners()[4:])[:, 0], axis=0)  # of the crop's centre in the source
    missed = _mapped(_inverse(transforms), _corners()[4:])[:, 0] - _mapped(_inverse(true), _corners()[4:])[:, 0]
    lag = -((missed - missed.mean(0)) * speed).sum() / max((speed**2).sum(), 1e-9)
    return (
        f"error {rms_length(error):6.2f}  varying {rms_length(varying):5.2f}  worst frame {worst:5.2f}  "
        f"swim {rms_length(np.diff(error, axis=0)):5.2f}  lag {lag:+.2f} frames"
    )


def rms_length(vectors: np.ndarray) -> float:
    """Root of the mean squared length of (..., 2) vectors."""
    return float(np.sqrt((vectors**2).sum(-1).mean()))


def _corners() -> np.ndarray:
    width, height = crop_size(RESOLUTION)
    return np.array([[0, 0], [width, 0], [0, height], [width, height], [width / 2, height / 2]], float)


def _crop_scale() -> np.ndarray:
    return RESOLUTION / np.array(crop_size(RESOLUTION), float)


def _mapped(transforms: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ transforms[..., :2].swapaxes(-1, -2) + transforms[..., None, :, 2]


def _inverse(transforms: np.ndarray) -> np.ndarray:
    linear = np.linalg.inv(transforms[..., :2])
    return np.concatenate([linear, -(linear @ transforms[..., 2:])], -1)


if __name__ == "__main__":
    main()
