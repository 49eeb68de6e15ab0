"""Re-identification of people, and its speed: python -m benchmarks.faces.identity [--pictures DIR] [--clips FILE ...]

Rendered people of the test split, each in two clips of other light, pose, backdrop, size and language; and real ones,
if given: pictures named PERSON_NUMBER.jpg, and clips of one person each. Distances are those of single pictures, the
second of each pair disturbed as the row says. `equal` is the equal error rate; `missed` and `false` are the shares of
pairs on the wrong side of the default distance of `cluster_tracks`.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

from latentsync_core.faces.detection.blazeface import detection_passes
from latentsync_core.faces.detection.face_mesh import face_mesh
from latentsync_core.faces.detection.head_pose import head_pose
from latentsync_core.faces.detection.region import FaceRegion
from latentsync_core.faces.identity.clustering import MAX_PERSON_DISTANCE, TrackSummary, cluster_tracks
from latentsync_core.faces.identity.embedding import CHIP_SIZE, embed_faces, face_chip
from latentsync_core.video.frame import Frame
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from tests.astronaut import frame_of
from training.synthetic.backdrop import backdrop
from training.synthetic.head.identity import STYLES
from training.synthetic.head.light import sample_light
from training.synthetic.head.motion import HeadMotion
from training.synthetic.head.motion import Path as HeadPath
from training.synthetic.head.painter import Painter
from training.synthetic.scenes.scene import FIRST_TEST_SEED, Shot, head_state_at, talking_head

SIZE = 320  # pixels of the rendered frames
SECONDS = 2.0
SECOND_CLIP_SEED_OFFSET = 7000  # from a person's seed to that of the second clip's light and motion
MAX_SIDE = 1200  # pixels: larger pictures are reduced
MESH_ITERATIONS = 3  # at a mesh until it has settled
SCORE = 0.3
RENDERED_AUGMENTATIONS = ("as it is", "face 40 px wide")  # disturbances; real pictures go through all


def augmentations() -> dict[str, Callable[[torch.Tensor, float], torch.Tensor]]:
    """What is done to (H, W, 3) pictures in [0, 1] whose face is so many pixels wide."""
    return {
        "as it is": lambda image, width: image,
        "face 60 px wide": lambda image, width: _scaled(image, 60 / width),
        "face 40 px wide": lambda image, width: _scaled(image, 40 / width),
        "face 24 px wide": lambda image, width: _scaled(image, 24 / width),
        "blurred, sigma 3 % of the face": lambda image, width: _blurred(image, 0.03 * width),
        "JPEG, quality 20": lambda image, width: _jpeg(image, 20),
        "dark: gain 0.35": lambda image, width: image * 0.35,
        "warm, contrast 1.3": lambda image, width: ((image * 1.3 - 0.15) * torch.tensor([1.1, 1, 0.7])).clamp(0, 1),
        "mirrored": lambda image, width: image.flip(1),
    }  # fmt: skip


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, help="folder of PERSON_NUMBER.jpg or .png")
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="clips of one person each")
    parser.add_argument("--people", type=int, default=40, help="rendered people of each style; 0 leaves them out")
    parser.add_argument("--frames", type=int, default=3, help="of each rendered clip")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print_speed()
    if options.pictures:
        real_pictures(options.pictures)
    for path in options.clips:
        real_clip(path)
    for style in STYLES if options.people else ():
        rendered_people(style, options.people, options.frames)


def print_speed() -> None:
    """Milliseconds a face, 1 thread."""
    for count in (1, 8):
        chips = torch.rand(count, 3, CHIP_SIZE, CHIP_SIZE, generator=torch.Generator().manual_seed(0))
        times = []
        for _ in range(8):
            started = time.perf_counter()
            embed_faces(chips)
            times.append(time.perf_counter() - started)
        print(f"{count} at a time: {1000 * min(times) / count:.1f} ms a face (best of 8)", flush=True)


def real_pictures(folder: Path) -> None:
    """Every picture against every other one, the second disturbed."""
    pictures = {path.stem: _load_image(path) for path in sorted(folder.iterdir())}
    people = [name.rsplit("_", 1)[0] for name in pictures]
    print(f"\nreal: {len(pictures)} pictures of {len(set(people))} people", flush=True)
    images = list(pictures.values())
    _compare(images, people, images, people, same_picture=False, names=tuple(augmentations()))


def rendered_people(style: str, count: int, frames: int) -> None:
    """First clips against second ones, these disturbed; then all clips joined into persons."""
    first, second, people = [], [], []
    for seed in range(count):
        early, late = (_rendered(shot, frames) for shot in two_shots(seed, style))
        first += early
        second += late
        people += [str(seed)] * frames
    print(f"\nrendered, {style}: {count} people, {frames} frames of each of two clips", flush=True)
    plain = _compare(first, people, second, people, same_picture=True, names=RENDERED_AUGMENTATIONS)
    summaries, truth = [], []
    for clip, vectors in enumerate(plain):
        for seed in range(count):
            rows = [vector for vector, person in zip(vectors, people, strict=True) if person == str(seed)]
            rows = np.array([row for row in rows if row is not None], np.float32).reshape(-1, 128)
            start = 100 * len(summaries)
            summaries.append(TrackSummary(clip, start, start + 50, rows, np.ones(len(rows), np.float32), 1.0))
            truth.append(seed)
    numbers = np.array(cluster_tracks(summaries))
    truth = np.array(truth)
    reidentified = sum(numbers[k] == numbers[k + count] for k in range(count))
    impure = sum(len(set(truth[numbers == number])) > 1 for number in set(numbers))
    print(
        f"as tracks: {reidentified} of {count} people found again, {len(set(numbers))} persons, "
        f"{impure} of them of several people",
        flush=True,
    )


def two_shots(seed: int, style: str) -> Iterator[Shot]:
    """A test person in two shots of other language, light, motion, place, size, backdrop and grain."""
    for clip, language in enumerate(("en", "fr")):
        scene = talking_head(seed, language, SECONDS, size=(SIZE, SIZE), split="test", style=style)
        shot = scene.shots[0]
        if clip:
            rng = np.random.default_rng((5, seed))
            other = FIRST_TEST_SEED + SECOND_CLIP_SEED_OFFSET + seed
            facing = tuple(rng.uniform(-1, 1, 3) * (0.4, 0.12, 0.1))
            place, size = tuple(rng.uniform((0.4, 0.45), (0.6, 0.55))), rng.uniform(0.2, 0.33)
            actor = dataclasses.replace(
                shot.actors[0],
                motion=HeadMotion(other, SECONDS, 1.0, facing),
                track=HeadPath(place, place, size, size),
            )
            shot = dataclasses.replace(
                shot,
                actors=(actor,),
                light=sample_light(other),
                backdrop=int(rng.integers(1 << 30)),
                grain=float(rng.choice([0, 1, 2, 3])),
            )
        yield shot


def _rendered(shot: Shot, frames: int) -> list[torch.Tensor]:
    """Frames spread over the shot, without their grain: (SIZE, SIZE, 3) each."""
    actor = shot.actors[0]
    painter = Painter(actor.person, shot.light)
    background = backdrop(shot.backdrop, SIZE, SIZE, shot.light.warmth)
    pictures = []
    for along in np.linspace(0, 0.98, frames):
        frame = background.copy()
        painter.paint(frame, head_state_at(actor, SECONDS * along, along, SIZE, SIZE))
        pictures.append(torch.from_numpy(frame).float() / 255)
    return pictures


def real_clip(path: Path) -> None:
    """Distances within a clip of one person, by how far the head is turned."""
    clip = probe(path)
    vectors, yaws = [], []
    step = max(clip.frame_count // 40, 1)
    with FrameReader(clip) as frames:
        for frame in frames:
            if frame.index % step:
                continue
            mesh = _mesh(frame)
            if mesh is not None:
                vectors.append(embed_faces(face_chip(frame, mesh)[None])[0])
                yaws.append(head_pose(mesh, frame.sample_aspect)[0])
    vectors, yaws = np.array(vectors), np.array(yaws)
    distances = _distances(vectors, vectors)[np.triu_indices(len(vectors), 1)]
    print(
        f"\n{path.name}: {len(vectors)} frames, yaw {yaws.min():.0f} to {yaws.max():.0f}°, distances median "
        f"{np.median(distances):.2f}, 99 % {np.quantile(distances, 0.99):.2f}, most {distances.max():.2f}",
        flush=True,
    )


def _compare(
    first: list[torch.Tensor],
    first_people: list[str],
    second: list[torch.Tensor],
    second_people: list[str],
    *,
    same_picture: bool,
    names: tuple[str, ...],
) -> tuple[list, list]:
    """Prints a row for each disturbance of the second pictures; returns the undisturbed embeddings of both."""
    limit = MAX_PERSON_DISTANCE
    plain, _ = _embed(first)
    print(f"{'second picture':32} faces   same        different   equal at     missed  false")
    unaugmented: list = []
    places = [_width(image) for image in second]
    for name in names:
        augment = augmentations()[name]
        vectors, found = _embed([augment(image, width) for image, width in zip(second, places, strict=True)])
        unaugmented = unaugmented or vectors
        same, different = [], []
        for i, (one, person) in enumerate(zip(plain, first_people, strict=True)):
            for j, (other, who) in enumerate(zip(vectors, second_people, strict=True)):
                if one is not None and other is not None and (same_picture or i != j):
                    (same if person == who else different).append(float(np.linalg.norm(one - other)))
        same, different = np.array(same), np.array(different)
        rate, at = equal_error_rate(same, different)
        print(
            f"{name:32} {found:3}/{len(second):3}  {same.mean():.2f} ± {same.std():.2f} {different.mean():.2f} ± "
            f"{different.std():.2f} {100 * rate:5.1f} % {at:.2f}  {100 * (same > limit).mean():5.1f} % "
            f"{100 * (different <= limit).mean():5.1f} %",
            flush=True,
        )
    return plain, unaugmented


def equal_error_rate(same: np.ndarray, different: np.ndarray) -> tuple[float, float]:
    """The rate at which as many same pairs are missed as different ones are taken for the same, and that distance."""
    limits = np.sort(np.concatenate([same, different]))
    missed = 1 - np.searchsorted(np.sort(same), limits, "right") / len(same)
    false = np.searchsorted(np.sort(different), limits, "right") / len(different)
    at = np.abs(missed - false).argmin()
    return (missed[at] + false[at]) / 2, limits[at]


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.linalg.norm(first[:, None] - second[None], axis=-1)


def _embed(images: list[torch.Tensor]) -> tuple[list[np.ndarray | None], int]:
    chips = []
    for image in images:
        frame = frame_of(image)
        mesh = _mesh(frame)
        chips.append(None if mesh is None else face_chip(frame, mesh))
    valid_chips = [chip for chip in chips if chip is not None]
    vectors = iter(embed_faces(torch.stack(valid_chips))) if valid_chips else iter(())
    return [None if chip is None else next(vectors) for chip in chips], len(valid_chips)


@torch.inference_mode()
def _mesh(frame: Frame) -> np.ndarray | None:
    """The largest face's mesh."""
    for faces in detection_passes(frame, SCORE, min_size=20.0):
        for face in faces:
            region = FaceRegion.from_detection(face, frame.sample_aspect)
            for _ in range(MESH_ITERATIONS):
                mesh, presence = face_mesh(frame, region)
                if presence < 0.5:
                    break
                region = FaceRegion.from_mesh(mesh, frame.sample_aspect)
            else:
                return mesh
    return None


def _width(image: torch.Tensor) -> float:
    """Pixels across the face; the picture's width if none is found."""
    mesh = _mesh(frame_of(image))
    return float(image.shape[1] if mesh is None else np.ptp(mesh[:, 0]))


def _load_image(path: Path) -> torch.Tensor:
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    return torch.from_numpy(np.array(image)).float() / 255


def _scaled(image: torch.Tensor, factor: float) -> torch.Tensor:
    """Reduced; never enlarged."""
    factor = min(factor, 1.0)
    size = [max(round(length * factor), 1) for length in image.shape[:2]]
    planes = F.interpolate(image.permute(2, 0, 1)[None], size, mode="bilinear", antialias=True, align_corners=False)
    return planes[0].permute(1, 2, 0).contiguous()


def _blurred(image: torch.Tensor, sigma: float) -> torch.Tensor:
    reach = max(round(3 * sigma), 1)
    bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    bell = (bell / bell.sum()).expand(3, 1, 1, -1)
    planes = F.pad(image.permute(2, 0, 1)[None], (reach,) * 4, mode="replicate")
    planes = F.conv2d(F.conv2d(planes, bell, groups=3), bell.transpose(2, 3), groups=3)
    return planes[0].permute(1, 2, 0).contiguous()


def _jpeg(image: torch.Tensor, quality: int) -> torch.Tensor:
    buffer = io.BytesIO()
    Image.fromarray((image * 255).round().byte().numpy()).save(buffer, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(buffer))).float() / 255


if __name__ == "__main__":
    main()
