"""Drawn faces: what is found by itself, and how well marks are followed: python -m benchmarks.faces.drawn [pictures...]

First table: rendered heads of each style, then given pictures and clips, one row a style or folder; how many have a
detection at a score of 0.5 and at 0.3 where the face is, how many a mesh that settles, and how far its points and those
guessed from the detector's box lie from the truth. Second table: rendered talking heads, marked with their true points
every so many frames and followed in between, against the truth of every frame. --sheet writes what was found as a
picture.
"""

from __future__ import annotations

import argparse
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from latentsync_core.faces.detection.blazeface import Detection, detection_passes, iou
from latentsync_core.faces.detection.landmarks import LandmarkScheme, three_points
from latentsync_core.faces.face_options import FaceOptions
from latentsync_core.faces.keyframes.interpolate import track_marked_faces
from latentsync_core.faces.keyframes.marks import POINTS_IN_DETECTED_BOX, Mark, points_of_box
from latentsync_core.faces.tracking.redetect import meshes_of_detections
from latentsync_core.video.clip import Clip
from latentsync_core.video.frame import Frame
from latentsync_core.video.pixel_format import Layout
from latentsync_core.video.reading.probing import clip_from_images, probe
from latentsync_core.video.reading.reader import FrameReader
from training.synthetic.scenes.scene import render, talking_head

STYLES = ("real", "cartoon", "anime")
SIZE = (320, 240)
SCORES = (0.5, 0.3)
MIN_MATCH_IOU = 0.3  # intersection over union with the true box that makes a detection one of the face
CLIP_SAMPLES = 12  # frames looked at of a given clip
GREY = 0.6  # behind pictures with transparency
PICTURE_SIDE = 640  # pixels: given pictures are reduced to it
TILE_SIZE = 200  # pixels of the sheet


def main() -> None:
    """Prints both tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("pictures", nargs="*", type=Path, help="pictures, clips, or folders of pictures")
    arguments.add_argument("--heads", type=int, default=20, help="rendered heads of each style")
    arguments.add_argument("--clips", type=int, default=3, help="talking heads of each style that are followed")
    arguments.add_argument("--seconds", type=float, default=4.0)
    arguments.add_argument("--every", type=int, nargs="+", default=[25, 50])
    arguments.add_argument("--sheet", type=Path)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    tiles: list[Image.Image] = []
    print("found by itself        pictures  at 0.5  at 0.3  mesh settles  its points off  guessed from the box off")
    for style in STYLES if options.heads else ():
        print_detection_row(style, [render_head(style, seed) for seed in range(500, 500 + options.heads)], tiles)
    for path in options.pictures:
        print_detection_row(path.name, [(frame, None, None) for frame in frames_of(path)], tiles)
    if options.sheet and tiles:
        sheet(tiles).save(options.sheet)
    print("followed between marks  every  mean %  95th %  worst %  ends kept  CPU ms a frame")
    for style in STYLES if options.clips else ():
        for every in options.every:
            print_tracking_row(style, range(700, 700 + options.clips), every, options.seconds)


def print_detection_row(
    name: str, faces: list[tuple[Frame, np.ndarray | None, np.ndarray | None]], tiles: list
) -> None:
    """One row of the first table, of frames with the true box and three points where they are known."""
    found = dict.fromkeys(SCORES, 0)
    meshes, mesh_off, guess_off = 0, [], []
    for frame, box, points in faces:
        for score in SCORES:
            found[score] += detect_true_face(frame, score, box) is not None
        face = detect_true_face(frame, SCORES[-1], box)
        mesh = None if face is None else converged_mesh(frame, face)
        guessed = None if face is None else points_of_box(face.box, POINTS_IN_DETECTED_BOX)
        mesh_points = None if mesh is None else three_points(mesh, LandmarkScheme.MESH468)
        meshes += mesh is not None
        if points is not None and face is not None:
            eyes = np.linalg.norm(points[1] - points[0])  # between the brows: about the eyes' distance
            guess_off.append(np.linalg.norm(guessed - points, axis=1).mean() / eyes)
            if mesh_points is not None:
                mesh_off.append(np.linalg.norm(mesh_points - points, axis=1).mean() / eyes)
        tiles.append(tile(frame, face, mesh_points, guessed))
    off = [f"{100 * np.mean(values):.0f} %" if values else "–" for values in (mesh_off, guess_off)]
    print(
        f"{name[:22]:22} {len(faces):8}  {found[0.5]:6}  {found[0.3]:6}  {meshes:12}  {off[0]:>14}  {off[1]:>24}",
        flush=True,
    )


@torch.inference_mode()
def detect_true_face(frame: Frame, score: float, box: np.ndarray | None) -> Detection | None:
    """The largest face of the first pass that has one; where the truth is known, only one that lies there."""
    for faces in detection_passes(frame, score):
        right = [face for face in faces if box is None or iou(face.box, box) > MIN_MATCH_IOU]
        if right:
            return right[0]
    return None


@torch.inference_mode()
def converged_mesh(frame: Frame, face: Detection) -> np.ndarray | None:
    """(468, 2): the mesh that settles on a detected face, as in prepare_faces; None where it doesn't."""
    (detection,) = meshes_of_detections(frame, [face], FaceOptions())
    return None if detection is None else detection.points[:, :2]


def print_tracking_row(style: str, seeds: range, every: int, seconds: float) -> None:
    """One row of the second table."""
    errors, whole, cpu_seconds, count = [], 0, 0.0, 0
    for seed in seeds:
        scene = talking_head(seed, seconds=seconds, size=(480, 270), split="test", style=style)
        rendering = [(frame, truth.faces[0]) for frame, truth in render(scene)]
        clip = clip_from_images(torch.from_numpy(np.stack([frame for frame, _ in rendering])).float() / 255, scene.fps)
        truth = np.stack([face.three_points for _, face in rendering])
        eyes = np.linalg.norm(np.stack([face.eyes[1] - face.eyes[0] for _, face in rendering]), axis=1)
        marks = [Mark(k, points=tuple(map(tuple, truth[k].tolist()))) for k in range(0, len(truth), every)]
        started = time.process_time()
        (track,) = track_marked_faces(clip, marks, [(0, len(truth))])
        cpu_seconds += time.process_time() - started
        count += len(truth)
        whole += track.stop == len(truth)
        part = slice(track.start, track.stop)
        errors.append(np.linalg.norm(track.landmarks - truth[part], axis=2).mean(1) / eyes[part])
    off = 100 * np.concatenate(errors)
    row = f"{off.mean():6.2f}  {np.percentile(off, 95):6.2f}  {off.max():7.2f}"
    print(f"{style:22} {every:6}  {row}  {whole:6}/{len(seeds):<2}  {1000 * cpu_seconds / count:14.0f}", flush=True)


def render_head(style: str, seed: int) -> tuple[Frame, np.ndarray, np.ndarray]:
    """The first frame of a rendered head, the truth's box and three points."""
    image, truth = next(iter(render(talking_head(seed, seconds=0.2, size=SIZE, split="test", style=style))))
    return frame_of(image), truth.faces[0].box, truth.faces[0].three_points


def frames_of(path: Path) -> list[Frame]:
    """A picture, those of a folder, or evenly spaced frames of a clip."""
    if path.is_dir():
        return [frame for inner in sorted(path.iterdir()) for frame in frames_of(inner)]
    if path.suffix.lower() in (".png", ".jpg", ".webp"):
        picture = Image.open(path).convert("RGBA")
        picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
        background = Image.new("RGBA", picture.size, (round(255 * GREY),) * 3 + (255,))
        return [frame_of(np.array(Image.alpha_composite(background, picture).convert("RGB")))]
    clip = probe(path)
    frame_indices = set(np.linspace(0, clip.frame_count - 1, CLIP_SAMPLES).round().astype(int).tolist())
    with FrameReader(clip) as frames:
        return [frame for frame in frames if frame.index in frame_indices]


def frame_of(image: np.ndarray) -> Frame:
    """(H, W, 3) uint8 as a frame."""
    level = torch.from_numpy(image).float()[None] / 255
    clip: Clip = clip_from_images(level, Fraction(25))
    return Frame((level[0].numpy(),), 0, 0, Layout.of(clip))


def tile(frame: Frame, face: Detection | None, mesh: np.ndarray | None, guessed: np.ndarray | None) -> Image.Image:
    """A small picture with the detector's box, the mesh's three points (green) and the guessed ones (red)."""
    scale = TILE_SIZE / max(frame.width, frame.height)
    size = (round(frame.width * scale), round(frame.height * scale))
    picture = F.pad(frame.rgb(size=size), (0, TILE_SIZE - size[0], 0, TILE_SIZE - size[1]))
    image = Image.fromarray((picture.permute(1, 2, 0) * 255).byte().numpy())
    draw = ImageDraw.Draw(image)
    if face is not None:
        draw.rectangle(tuple((face.box * scale).tolist()), outline=(255, 220, 0))
        draw.text((2, 2), f"{face.score:.2f}", fill=(255, 220, 0))
    for points, colour in ((guessed, (255, 0, 0)), (mesh, (0, 255, 0))):
        for x, y in () if points is None else points * scale:
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)
    return image


def sheet(tiles: list[Image.Image]) -> Image.Image:
    across = 10
    whole = Image.new("RGB", (across * TILE_SIZE, -(-len(tiles) // across) * TILE_SIZE))
    for number, one in enumerate(tiles):
        whole.paste(one, (number % across * TILE_SIZE, number // across * TILE_SIZE))
    return whole


if __name__ == "__main__":
    main()
