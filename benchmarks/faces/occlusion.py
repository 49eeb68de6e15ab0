"""What is kept of a hand before a mouth, and what is touched where there is none: python -m benchmarks.faces.occlusion

A new mouth, that of another frame, is pasted by the compositor itself, once without and once with the occlusion mask.
Every figure is taken where the mouth's region would show on the frame:

    hand ±      mean absolute difference from the source inside the occluder, in levels of 255, and the
                same as it would be without the mask
    kept        share of the frames in which that is at most 2 levels
    missed      share of the frames in which less than a tenth of it is kept
    lost        how much of the new mouth's region beside it is taken away too
    altered     frames with nothing before the face in which the mask takes anything away

Drawn people are those that no training sees. Real clips (--clip) and portraits (--portrait, panned, zoomed and lit) are
hand-free; painted hands are put before their faces too.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from latentsync_core.compositing.compositor import face_layer, mouth_region
from latentsync_core.faces.alignment.align import align_track, crop_face, crop_size, template
from latentsync_core.faces.face_tracks import FaceTracks
from latentsync_core.faces.occlusion import occlusion_mask
from latentsync_core.faces.tracking.find_tracks import track_faces
from latentsync_core.imaging import affine
from latentsync_core.video.frame import Frame
from latentsync_core.video.reading.probing import clip_from_images, probe
from latentsync_core.video.reading.reader import FrameReader
from training.synthetic.crops import aligned_crop, engine_frame
from training.synthetic.occluders.objects import HAND_GESTURES, KINDS, paint_occluder_at, sample_occluder
from training.synthetic.scenes.scene import render, talking_head

RESOLUTION = 256
PORTRAIT = 128
SIZE = (256, 256)  # of the drawn frames
SECONDS = 0.8  # of a drawn scene
BROW_DISTANCE = 0.8  # head units
MOUTH = np.array([0.5, 0.61])  # in crop sides: where mouths lie
MIN_COVERAGE = 0.02  # of the mouth's region: less of a hand before it counts as none
PORTRAIT_FRAMES = 40

Picture = np.ndarray  # (H, W, 3) uint8


@dataclass(frozen=True, eq=False)
class Face:
    """One frame of a face with nothing before it, its place, and another frame of the same face as the new mouth."""

    picture: Picture
    transform: np.ndarray  # (2, 3), to crops of RESOLUTION
    portrait: Tensor  # (3, 128, 128)
    other: Tensor  # (3, R, R)
    skin: tuple[float, float, float]  # sRGB in [0, 1]

    @property
    def mouth(self) -> tuple[float, float]:
        x, y = affine.map_points(affine.invert(self.transform), MOUTH * crop_size(RESOLUTION))
        return float(x), float(y)

    @property
    def scale(self) -> float:
        """Pixels per head unit."""
        brow_pixels = 41 * RESOLUTION / 256 * 2.8  # crop pixels between the brows
        return brow_pixels / float(np.linalg.norm(self.transform[:, 0])) / BROW_DISTANCE


@dataclass(frozen=True, eq=False)
class Source:
    """Faces of one clip, and of all of its frames whether the mask alters the bare face."""

    faces: tuple[Face, ...]
    altered: tuple[bool, ...]


@dataclass(frozen=True)
class MaskResult:
    """What became of one frame."""

    changed: float  # levels inside the occluder, with the mask
    without: float  # the same without it
    kept: float  # share of it that the mask keeps
    lost: float  # share of the region beside it that the mask takes away
    cover: float  # how much of the region it covers


def main() -> None:
    """Prints the tables; `--sheet` writes a picture to be looked at."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--clip", type=Path, nargs="*", default=[Path("../shared/media/demo1_video.mp4")])
    arguments.add_argument("--portrait", type=Path, nargs="*", default=[Path("tests/data/astronaut.png")])
    arguments.add_argument("--scenes", type=int, default=40, help="drawn scenes")
    arguments.add_argument("--sheet", type=Path)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    makers = [("drawn", partial(rendered_source, seed)) for seed in range(options.scenes)]
    makers += [(path.stem, partial(clip_source, path)) for path in options.clip]
    makers += [("portraits", partial(portrait_source, path)) for path in options.portrait]
    sources = defaultdict(list)
    for name, make in makers:
        sources[name].append(make())
    print(f"{'nothing before the face':34} {'frames':>6} {'altered':>8}")
    for name, parts in sources.items():
        altered = [flag for part in parts for flag in part.altered]
        print(f"{name:34} {len(altered):6} {np.mean(altered):8.2%}", flush=True)
    sheet: list[np.ndarray] = []
    for name, parts in sources.items():
        table(name, [face for part in parts for face in part.faces], sheet if options.sheet else None)
    drawn = [face for part in sources["drawn"] for face in part.faces]
    if drawn:
        report_occluded_portrait(drawn)
        print(f"one mask: {milliseconds(drawn[0]):.1f} ms of one core")
    if options.sheet:
        rows = [np.concatenate(sheet[at : at + 12], 1) for at in range(0, len(sheet) // 12 * 12, 12)]
        Image.fromarray(np.concatenate(rows)).save(options.sheet)


def table(name: str, faces: list[Face], sheet: list[np.ndarray] | None) -> None:
    """Every kind of thing, every gesture, skins and sizes, before faces of one source."""
    print(f"\n{name + ', behind':34} {'frames':>6} {'hand ±':>7} {'without':>7} {'kept':>7} {'missed':>7} {'lost':>6}")
    found = defaultdict(list)
    for number, face in enumerate(faces):
        rng = np.random.default_rng((7, number))
        own = bool(number % 2)
        gesture = HAND_GESTURES[number % len(HAND_GESTURES)]
        skin = face.skin if own else None
        hand = evaluate_occluder(face, 500_000 + number, "hand", gesture, skin, float(rng.uniform(0.1, 0.9)), sheet)
        if hand is not None:
            found["any hand"].append(hand)
            found[f"hand: {gesture}"].append(hand)
            found["hand of the face's own skin" if own else "hand of any skin"].append(hand)
            part = "under 15 %" if hand.cover < 0.15 else "15 to 50 %" if hand.cover < 0.5 else "over 50 %"
            found[f"hand over {part} of the region"].append(hand)
        kind = KINDS[1:][number % 3]
        thing = evaluate_occluder(face, 700_000 + number, kind, None, skin, float(rng.uniform(0.1, 0.9)), sheet)
        if thing is not None:
            found[kind].append(thing)
    for key in sorted(found, key=lambda key: (key not in ("any hand",), key)):
        print_row(key, found[key])


def print_row(key: str, rows: list[MaskResult]) -> None:
    area = np.array([row.cover for row in rows])  # every pixel counts alike
    changed, without = (float(np.average([getattr(r, k) for r in rows], weights=area)) for k in ("changed", "without"))
    kept = np.mean([row.changed <= 2 for row in rows])
    missed = np.mean([row.kept < 0.1 for row in rows])
    lost = np.mean([row.lost for row in rows])
    print(f"{key:34} {len(rows):6} {changed:7.2f} {without:7.2f} {kept:7.1%} {missed:7.1%} {lost:6.1%}", flush=True)


def report_occluded_portrait(faces: list[Face]) -> None:
    """What happens where the portrait itself has the hand before it."""
    found = defaultdict(list)
    for number, face in enumerate(faces[::3]):
        occluder = sample_occluder(500_000 + number, gesture=HAND_GESTURES[number % len(HAND_GESTURES)], skin=face.skin)
        picture = face.picture.copy()
        paint_occluder_at(picture, occluder, face.mouth, face.scale, 0.45)
        three = align_track(three_points(face)[None], np.array([True]), PORTRAIT)[0]
        hidden = replace(face, portrait=crop_face(engine_frame(picture), three, PORTRAIT))
        outcome = evaluate_mask(hidden, occluder, 0.5)
        if outcome is not None:
            found["the portrait has it too"].append(outcome)
        bare = crop_face(engine_frame(face.picture), face.transform, RESOLUTION, eight_bit=False)
        found["bare"].append(mask_removes_mouth(bare, hidden.portrait))
    print("\nthe portrait hidden by a hand (drawn people)")
    print_row("the same hand in the frame", found["the portrait has it too"])
    print(f"{'nothing in the frame':34} {len(found['bare']):6}  altered {np.mean(found['bare']):.1%}")


def evaluate_occluder(face: Face, seed: int, kind: str, gesture, skin, progress: float, sheet) -> MaskResult | None:
    return evaluate_mask(face, sample_occluder(seed, kind, gesture=gesture, skin=skin), progress, sheet)


def evaluate_mask(face: Face, occluder, progress: float, sheet: list[np.ndarray] | None = None) -> MaskResult | None:
    """Paints, masks, pastes and compares; None where next to nothing occludes the region."""
    picture = face.picture.copy()
    alpha = paint_occluder_at(picture, occluder, face.mouth, face.scale, progress, 0.02)
    before = torch.from_numpy(picture).float().permute(2, 0, 1)
    plain, region = paste_mouth(picture, face, None)
    inside = (alpha > 0.5) & (region > 0.5)
    cover = inside.sum() / max((region > 0.5).sum(), 1)
    if cover < MIN_COVERAGE:
        return None
    crop = crop_face(engine_frame(picture), face.transform, RESOLUTION, eight_bit=False)
    mask = occlusion_mask(crop, face.portrait)
    masked, shown = paste_mouth(picture, face, mask)
    if sheet is not None and len(sheet) < 144:
        sheet.append(sheet_column(picture, masked, shown, region, face))
    differences = ((after - before).abs().mean(0).numpy() for after in (masked, plain))
    changed, without = (float(difference[inside].mean()) for difference in differences)
    outside = (alpha < 0.02) & (region > 0.5)
    left = 1 - shown / np.maximum(region, 1e-3)
    return MaskResult(
        changed, without, float(left[inside].mean()), float(left[outside].mean()) if outside.any() else 0.0, cover
    )


def paste_mouth(picture: Picture, face: Face, mask: Tensor | None) -> tuple[Tensor, np.ndarray]:
    """The frame in levels (3, H, W) with the new mouth pasted, `mask` sparing the source, and the alpha (H, W)."""
    frame = engine_frame(picture)
    region = mouth_region(RESOLUTION)
    region = region if mask is None else region * (1 - mask)
    layer = face_layer(face.transform, face.other, RESOLUTION, (frame.width, frame.height), region=region)
    alpha = np.zeros(picture.shape[:2], np.float32)
    if layer is not None:
        frame.paste(*layer)
        alpha[layer.roi.y0 : layer.roi.y1, layer.roi.x0 : layer.roi.x1] = layer.alpha.numpy()
    return frame.rgb() * 255, alpha


def mask_removes_mouth(crop: Tensor, portrait: Tensor) -> bool:
    """Whether the mask takes anything away from the new mouth."""
    return bool(((occlusion_mask(crop, portrait) * mouth_region(RESOLUTION)) > 1 / 255).any())


def rendered_source(seed: int) -> Source:
    """A scene of a person that no training sees, aligned as a detector would: a little off."""
    rng = np.random.default_rng((11, seed))
    scene = talking_head(seed, seconds=SECONDS, size=SIZE, split="test", style=None if seed % 4 == 3 else "real")
    frames = list(render(scene))
    off = rng.normal(0, 0.01, (3, 2))
    points = []
    for _, truth in frames:
        face = truth.faces[0]
        points.append(face.three_points + (off + rng.normal(0, 0.002, (3, 2))) * face.head_state.pose.scale)
    landmarks = np.array(points, np.float32)
    at = len(frames) // 2
    portrait = aligned_crop(frames[at][0], landmarks[at], PORTRAIT)
    skin = scene.shots[0].actors[0].person.skin
    return source_of((engine_frame(picture) for picture, _ in frames), landmarks, portrait, skin, 5)


def clip_source(path: Path) -> Source:
    """A real clip's longest track."""
    clip = probe(path)
    with FrameReader(clip) as reader:
        return track_source(track_faces(clip), reader, 8)


def portrait_source(path: Path) -> Source:
    """A still, panned, zoomed and lit by turns, its face found again in each frame."""
    picture = Image.open(path).convert("RGB")
    side = 360 / max(picture.size)
    width, height = (round(length * side / 2) * 2 for length in picture.size)
    frames = []
    for number in range(PORTRAIT_FRAMES):
        zoom = 1 + 0.15 * np.sin(number / 7)
        shift = (6 * np.sin(number / 5), 4 * np.cos(number / 9))
        part = (zoom / side, 0, shift[0] / side, 0, zoom / side, shift[1] / side)
        moved = picture.transform((width, height), Image.Transform.AFFINE, part, Image.Resampling.BICUBIC)
        lit = np.asarray(moved, np.float32) * (1 + 0.12 * np.sin(number / 11))
        frames.append(np.clip(lit, 0, 255).astype(np.uint8))
    images = torch.from_numpy(np.stack(frames)).float() / 255
    return track_source(track_faces(clip_from_images(images, Fraction(25))), map(engine_frame, frames), 8)


def track_source(found: FaceTracks, frames: Iterable[Frame], every: int) -> Source:
    """The longest track of a clip's `frames`."""
    track = max(found.tracks, key=lambda track: track.visible.sum())
    portrait = torch.from_numpy(track.portrait).permute(2, 0, 1).float() / 255
    skin = tuple(np.median(track.portrait[50:70, 30:98].reshape(-1, 3), axis=0) / 255)  # of the cheeks
    shown = np.flatnonzero(track.visible)
    wanted = set((shown + track.start).tolist())
    seen = (frame for index, frame in enumerate(frames) if index in wanted)
    return source_of(seen, track.landmarks[shown], portrait, skin, every)


def source_of(frames: Iterable[Frame], landmarks: np.ndarray, portrait: Tensor, skin, every: int) -> Source:
    """Looks at all frames as they are, and keeps every so many of them; the new mouth is that of another one."""
    transforms = align_track(landmarks, np.ones(len(landmarks), bool), RESOLUTION)
    altered, kept = [], []
    for index, frame in enumerate(frames):
        crop = crop_face(frame, transforms[index], RESOLUTION, eight_bit=False)
        altered.append(mask_removes_mouth(crop, portrait))
        if index % every == 0:
            kept.append((to_uint8(frame), transforms[index], crop))
    faces = []
    for index, (picture, transform, _) in enumerate(kept):
        other = kept[(index + max(len(kept) // 2, 1)) % len(kept)][2]
        faces.append(Face(picture, transform, portrait, other, skin))
    return Source(tuple(faces), tuple(altered))


def three_points(face: Face) -> np.ndarray:
    return affine.map_points(affine.invert(face.transform), template(RESOLUTION)).astype(np.float32)


def to_uint8(frame: Frame) -> Picture:
    return (frame.rgb() * 255).round().byte().permute(1, 2, 0).numpy()


def sheet_column(picture: Picture, masked: Tensor, shown: np.ndarray, region: np.ndarray, face: Face) -> np.ndarray:
    """Source, what is spared in red, and the composite, around the mouth: 96 pixels a side each, one over the other."""
    reach = int(face.scale * 1.1)
    x, y = (int(v) for v in face.mouth)
    spared = picture.astype(np.float32)
    amount = np.clip(region - shown, 0, 1)[..., None] * 0.6
    spared = spared * (1 - amount) + np.array([255.0, 0, 0]) * amount
    parts = []
    for image in (picture, spared, masked.permute(1, 2, 0).numpy()):
        part = Image.fromarray(image.clip(0, 255).astype(np.uint8)).crop((x - reach, y - reach, x + reach, y + reach))
        parts.append(np.asarray(part.resize((96, 96), Image.Resampling.BICUBIC)))
    return np.concatenate(parts)


def milliseconds(face: Face) -> float:
    crop = crop_face(engine_frame(face.picture), face.transform, RESOLUTION)
    times = []
    for _ in range(30):
        started = time.process_time()
        occlusion_mask(crop, face.portrait)
        times.append(time.process_time() - started)
    return 1000 * float(np.median(times[5:]))


if __name__ == "__main__":
    main()
