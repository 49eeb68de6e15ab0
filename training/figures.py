"""Measures what README.md states: ``python -m training.figures speed | detection | meter | speech``."""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict

import numpy as np
import torch

from latentsync_core.faces.detection.landmarks import LandmarkScheme, three_points
from latentsync_core.faces.face_options import FaceOptions
from latentsync_core.faces.tracking.redetect import SingleFaceTracker

from .meter.network import MeshMeter, measure_openings
from .meter.train import random_articulation, random_mouth_shape
from .synthetic.backdrop import backdrop
from .synthetic.crops import aligned_crop, engine_frame
from .synthetic.degrade import blur, jpeg, tint
from .synthetic.head.identity import STYLES, sample_identity
from .synthetic.head.light import sample_light
from .synthetic.head.motion import HeadMotion
from .synthetic.head.mouth import MouthShape
from .synthetic.head.painter import HeadState, Painter
from .synthetic.head.surface import Pose
from .synthetic.scenes.scene import FIRST_TEST_SEED, render, talking_head
from .synthetic.speech.performance import LANGUAGES, perform, sample_articulation, sample_voice

CONDITIONS = {
    "as rendered": lambda crops: crops,
    "blur, sigma 1": lambda crops: blur(crops, 1.0),
    "blur, sigma 1.5": lambda crops: blur(crops, 1.5),
    "JPEG 40": lambda crops: jpeg(crops, 40),
    "JPEG 20": lambda crops: jpeg(crops, 20),
    "warmer, darker": lambda crops: tint(crops, (0.98, 0.90, 0.82), -0.02),
    "cooler, brighter": lambda crops: tint(crops, (0.92, 1.0, 1.10), 0.04),
    "blur 1, JPEG 40, warmer": lambda crops: jpeg(tint(blur(crops, 1.0), (1.0, 0.94, 0.88)), 40),
}


def speed(frames: int = 40) -> dict[str, float]:
    """Frames a second of CPU time of one core, maps made, heads filling the same part of the picture."""
    found = {}
    for width, height in ((160, 160), (256, 256), (1920, 1080), (3840, 2160)):
        count = frames if height < 1000 else 6
        rates = []
        for seed in range(4):
            light = sample_light(seed)
            painter = Painter(sample_identity(seed), light)
            behind, motion, mouth = backdrop(seed, width, height), HeadMotion(seed, 4.0), random_articulation(seed, 4.0)
            shapes = mouth(np.arange(count + 1) / 25)
            for index in range(count + 1):
                if index == 1:
                    started = time.process_time()
                pose = Pose(width / 2, height * 0.52, height * 0.3, *motion.angles(index / 25))
                painter.paint(behind.copy(), HeadState(pose, shapes[index]))
            rates.append(count / (time.process_time() - started))
        found[f"{width}x{height}"] = round(float(np.mean(rates)), 1)
    return found


def detection(people: int, size: int = 256) -> dict[str, dict]:
    """By style: how often BlazeFace and the mesh find the face, and how far the mesh's points lie from the truth."""
    rates, misses = defaultdict(list), defaultdict(list)
    for seed in range(people):
        person, light = sample_identity(FIRST_TEST_SEED + seed), sample_light(seed)
        painter, behind, motion, mouth = (
            Painter(person, light),
            backdrop(seed, size, size),
            HeadMotion(seed, 4.0),
            random_articulation(seed, 4.0),
        )
        for at in (0.9, 2.4, 3.8):
            picture = behind.copy()
            pose = Pose(size * 0.5, size * 0.53, size * 0.28, *motion.angles(at))
            truth = painter.paint(picture, HeadState(pose, mouth(np.array([at]))[0], motion.blink(at), motion.gaze(at)))
            mesh = SingleFaceTracker(FaceOptions()).find(engine_frame(picture))
            rates[person.style].append(mesh is not None)
            if mesh is not None:
                away = three_points(mesh, LandmarkScheme.MESH468) - truth.three_points
                misses[person.style].append(np.linalg.norm(away, axis=1).mean() / pose.scale)
    return {
        style: {"frames": len(rates[style]), "found": round(float(np.mean(rates[style])), 4),
                "median distance of the three points, head units": round(float(np.median(misses[style])), 4)}
        for style in STYLES if rates[style]
    }  # fmt: skip


def meter(clips: int, seconds: float, size: int, with_mesh: bool, first: int = 0) -> dict[str, dict]:
    """Correlation of measured with true openings over clips of test people, voices and sentences."""
    languages = list(LANGUAGES)
    true, seen, mesh = [], defaultdict(list), []
    for number in range(clips):
        scene = talking_head(
            first + number, languages[number % len(languages)], seconds, size=(size, size), split="test"
        )
        crops, openings, by_mesh, mesh_meter = [], [], [], MeshMeter()
        for picture, truth in render(scene):
            crops.append(aligned_crop(picture, truth.faces[0].three_points))
            openings.append(truth.faces[0].opening)
            by_mesh.append(mesh_meter(picture) if with_mesh else np.nan)
        true.append(np.array(openings))
        mesh.append(np.array(by_mesh))
        for name, disturbed in CONDITIONS.items():
            seen[name].append(measure_openings(disturbed(torch.stack(crops))))
    found = {name: _correlation_summary(true, values) for name, values in seen.items()}
    if with_mesh:
        found["mesh"] = _correlation_summary(true, mesh) | {
            "frames found": round(float(np.mean(np.isfinite(np.concatenate(mesh)))), 4)
        }
        found["mesh against meter"] = _correlation_summary(seen["as rendered"], mesh)
    found["free mouths"] = measure_random_mouths(max(clips // 2, 4))
    found["closed mouths"] = {
        "true": int(sum((t == 0).sum() for t in true)),
        "median measured": round(
            float(np.median(np.concatenate([s[t == 0] for s, t in zip(seen["as rendered"], true, strict=True)]))), 4
        ),
    }
    return found


def measure_random_mouths(people: int, frames: int = 16, size: int = 192) -> dict[str, float]:
    """The meter on mouths whose jaw, width and teeth move independently of the opening: pooled correlation, and the
    measured opening's slopes on the true one and on the jaw (the latter should be 0)."""
    true, jaws, seen = [], [], []
    for number in range(people):
        rng = np.random.default_rng((FIRST_TEST_SEED, number))
        shapes = [random_mouth_shape(rng) for _ in range(frames)]
        crops, openings, _ = render_mouth_shapes(FIRST_TEST_SEED + 500 + number, shapes, size)
        true += list(openings)
        jaws += [shape.jaw for shape in shapes]
        seen += list(measure_openings(crops))
    columns = np.stack([true, jaws, np.ones(len(true))], axis=1)
    slopes = np.linalg.lstsq(columns, np.array(seen), rcond=None)[0]
    on_opening, on_jaw, _ = (round(float(slope), 3) for slope in slopes)
    pooled = round(float(np.corrcoef(true, seen)[0, 1]), 4)
    return {"frames": len(true), "pooled": pooled, "slope on the opening": on_opening, "slope on the jaw": on_jaw}


def render_random_speech(
    number: int, frames: int, size: int = 192, style: str | None = None
) -> tuple[torch.Tensor, np.ndarray, list[np.ndarray]]:
    """Moments of the test person `number` babbling: crops (n, 3, 128, 128), openings (n,), frames."""
    seed = FIRST_TEST_SEED + number
    return render_mouth_shapes(seed, random_articulation(seed, frames * 0.3)(np.arange(frames) * 0.3), size, style)


def render_mouth_shapes(
    seed: int, shapes: list[MouthShape], size: int, style: str | None = None
) -> tuple[torch.Tensor, np.ndarray, list[np.ndarray]]:
    """The person of `seed` with each of the mouths: crops (n, 3, 128, 128), openings (n,), frames."""
    light = sample_light(seed)
    painter, behind = Painter(sample_identity(seed, style), light), backdrop(seed, size, size, light.warmth)
    motion = HeadMotion(seed, len(shapes) * 0.3)
    crops, openings, pictures = [], [], []
    for index, shape in enumerate(shapes):
        at = index * 0.3
        picture = behind.copy()
        pose = Pose(size * 0.5, size * 0.53, size * 0.28, *motion.angles(at))
        truth = painter.paint(picture, HeadState(pose, shape, motion.blink(at), motion.gaze(at)))
        crops.append(aligned_crop(picture, truth.three_points))
        openings.append(truth.opening)
        pictures.append(picture)
    return torch.stack(crops), np.array(openings), pictures


def speech(each: int, seconds: float) -> dict[str, dict]:
    """By language: the share of pauses, and whether closures and silences are closed, over the test split."""
    found = {}
    for language in LANGUAGES:
        shares, closed, quiet, sizes = [], [], [], []
        for seed in range(each):
            said = perform(seed, sample_voice(seed, language, "test"), seconds, "test", sample_articulation(seed))
            shares.append(said.pause_share)
            spans = said.mouth.closures
            closed.append(np.mean([said.mouth.values(np.linspace(a, b, 9))[:, 0].max() == 0 for a, b in spans]))
            middles = said.mouth.silences.mean(1)
            quiet.append(np.mean(said.mouth.values(middles)[:, 0] == 0))
            sizes.append(np.percentile(said.mouth.values(np.arange(0, seconds, 0.04))[:, 0], 95))
        found[language] = {"pauses": round(float(np.mean(shares)), 3), "least": round(float(np.min(shares)), 3),
                           "closures closed": float(np.mean(closed)), "silences closed": float(np.mean(quiet)),
                           "95th percentile of the opening": round(float(np.mean(sizes)), 3)}  # fmt: skip
    return found


def _correlation_summary(true: list[np.ndarray], seen: list[np.ndarray]) -> dict[str, float]:
    """Pearson's correlation, of each clip and of all frames together, where both are known."""
    clips = []
    for one, other in zip(true, seen, strict=True):
        known = np.isfinite(other)
        if known.sum() > 10:
            clips.append(np.corrcoef(one[known], other[known])[0, 1])
    one, other = np.concatenate(true), np.concatenate(seen)
    known = np.isfinite(other)
    pooled = np.corrcoef(one[known], other[known])[0, 1]
    low, middle = np.percentile(clips, (5, 50))
    return {"clips": len(clips), "pooled": round(float(pooled), 4), "median": round(float(middle), 4),
            "5th percentile": round(float(low), 4), "least": round(float(np.min(clips)), 4)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("speed", "detection", "meter", "speech"))
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--people", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--no-mesh", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = {
        "speed": speed,
        "detection": lambda: detection(options.people),
        "meter": lambda: meter(options.clips, options.seconds, options.size, not options.no_mesh),
        "speech": lambda: speech(10, options.seconds * 3),
    }[options.what]()
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
