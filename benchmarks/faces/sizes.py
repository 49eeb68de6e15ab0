"""From which size and at which roll faces are found: python -m benchmarks.faces.sizes pictures and clips...

Each picture (of a clip, one of its frames) is pasted at several sizes into a grey one of 1280x720, and turned by
several angles, and blurred; what is found is compared with what is found in the picture itself. Distances are means of
the three alignment points', in per cent of the eyes' distance: not errors, but how much the points depend on size and
roll. The last column is the largest flip error, in face widths.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

from latentsync_core.faces.detection.blazeface import detect_faces
from latentsync_core.faces.detection.face_mesh import MeshDetection
from latentsync_core.faces.detection.landmarks import LandmarkScheme, three_points
from latentsync_core.faces.face_options import FaceOptions
from latentsync_core.faces.tracking.redetect import bounding_box, meshes_of_detections
from latentsync_core.video.frame import Frame
from latentsync_core.video.pixel_format import Layout
from latentsync_core.video.reading.probing import clip_from_images, probe
from latentsync_core.video.reading.reader import FrameReader

CANVAS = (1280, 720)
GREY = (90, 100, 110)
SIZES = (24, 32, 40, 48, 64, 100)  # pixels, the longer side of the face's box
ROLLS = (-90, -30, 30, 60, 90, 135, 180)  # degrees clockwise
BLURS = (1, 2, 4)  # per cent of the face's size, standard deviation
MAX_SIDE = 900  # pixels of a picture's longer side
MAX_MATCH_DISTANCE = 0.3  # eye distances up to which a face is the right one
CLIP_SUFFIXES = {".mp4", ".mov", ".mkv"}
EYES = (33, 133, 362, 263)  # corners of the picture's left eye, then of its right one


def main() -> None:
    """Prints the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("pictures", type=Path, nargs="+")
    arguments.add_argument("--frame", type=int, default=0, help="of each clip")
    options = arguments.parse_args()
    found: dict[str, list[float]] = defaultdict(list)
    false: dict[str, int] = defaultdict(int)
    flip_error: dict[str, float] = defaultdict(float)
    for path in options.pictures:
        picture = read(path, options.frame)
        reference = max(
            (detection.points for detection in meshes(picture)), key=lambda mesh: np.ptp(mesh[:, 1]), default=None
        )
        if reference is None:
            print(f"{path.name}: no face at its own size")
            continue
        box = bounding_box(reference)
        for name, shown, to_original in views(picture, float((box[2:] - box[:2]).max())):
            detections = meshes(shown)
            distances = [distance(to_original(detection.points[:, :2]), reference) for detection in detections]
            found[name].append(min(distances, default=np.inf))
            false[name] += sum(each > MAX_MATCH_DISTANCE for each in distances)
            flip_error[name] = max([flip_error[name], *(detection.flip_error for detection in detections)])
    print(f"{'view':>12} {'found':>9} {'distance':>9} {'false':>6} {'flip':>6}")
    for name, distances in found.items():
        right = [each for each in distances if each <= MAX_MATCH_DISTANCE]
        mean = 100 * np.mean(right or [np.nan])
        print(f"{name:>12} {len(right):4} / {len(distances):2} {mean:8.1f}% {false[name]:6} {flip_error[name]:6.3f}")


def read(path: Path, frame: int) -> Image.Image:
    """A picture, or a frame of a clip."""
    if path.suffix.lower() in CLIP_SUFFIXES:
        with FrameReader(probe(path), frame, frame + 1) as frames:
            levels = next(iter(frames)).rgb().permute(1, 2, 0).numpy() * 255
        picture = Image.fromarray(levels.round().astype(np.uint8))
    else:
        picture = Image.open(path).convert("RGB")
    picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.LANCZOS)
    return picture


def views(picture: Image.Image, size: float):
    """Yields a name, the picture at some size, roll or blur, and the function that takes points back to the picture."""
    middle = np.array(picture.size) / 2
    for target_size in SIZES:
        small = picture.resize([max(round(length * target_size / size), 1) for length in picture.size], Image.LANCZOS)
        canvas = Image.new("RGB", CANVAS, GREY)
        corner = ((CANVAS[0] - small.width) // 2, (CANVAS[1] - small.height) // 3)
        canvas.paste(small, corner)
        scale = np.array(picture.size) / small.size
        yield f"{target_size} pixels", canvas, lambda points, c=corner, s=scale: (points - c + 0.5) * s - 0.5
    for roll in ROLLS:
        turned = picture.rotate(-roll, resample=Image.BICUBIC, expand=True)
        radians = np.radians(roll)
        matrix = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
        centre = np.array(turned.size) / 2
        yield f"roll {roll}", turned, lambda points, c=centre, m=matrix: (points + 0.5 - c) @ m + middle - 0.5
    for blur in BLURS:
        yield f"blur {blur} %", picture.filter(ImageFilter.GaussianBlur(size * blur / 100)), lambda points: points


@torch.inference_mode()
def meshes(picture: Image.Image) -> list[MeshDetection]:
    """The meshes of all faces: upright ones, or lying ones where there are none, as in a shot's start."""
    image = torch.from_numpy(np.array(picture)).float()[None] / 255
    frame = Frame((image[0].numpy(),), 0, 0, Layout.of(clip_from_images(image, 25)))
    options = FaceOptions()
    for turns in ((0,), (1, 2, 3)):
        faces = detect_faces(frame, options.detector_score, options.min_size, turns=turns)
        detections = [detection for detection in meshes_of_detections(frame, faces, options) if detection is not None]
        if detections:
            break
    return detections


def distance(points: np.ndarray, reference: np.ndarray) -> float:
    """Of the three alignment points, in eye distances of the reference."""
    eyes = reference[list(EYES), :2].reshape(2, 2, 2).mean(1)
    distances = three_points(points, LandmarkScheme.MESH468) - three_points(reference, LandmarkScheme.MESH468)
    return float(np.linalg.norm(distances, axis=1).mean() / np.linalg.norm(eyes[1] - eyes[0]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
