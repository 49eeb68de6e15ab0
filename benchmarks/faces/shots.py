"""How surely cuts, fades and dissolves are found: python -m benchmarks.faces.shots [CLIP[=CUT,CUT,...] ...]

Films are cut together from rendered shots, panned and zoomed stills and the given clips (each with the first frames of
its own shots after "=", none if it is one shot), disturbed as cameras and codecs do. The truth is known by making:

    cut        the first frame of the new shot
    fade       the first frame that is wholly black or white
    dissolve   the first frame that shows more of the new shot than of the old one

A boundary is right within one frame of its truth; one of a dissolve, whose middle nobody sees, also within a quarter
of the dissolve. Prints precision, recall and F1 by kind of film, what was missed and invented, and milliseconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from latentsync_core.faces.tracking.shots import ShotDetector
from latentsync_core.video.clip import Clip
from latentsync_core.video.frame import Frame
from latentsync_core.video.pixel_format import Layout
from latentsync_core.video.reading.probing import clip_from_images, probe
from latentsync_core.video.reading.reader import FrameReader
from training.synthetic.backdrop import backdrop
from training.synthetic.scenes.scene import Scene, Shot, leaving, render, side_by_side, talking_head

WIDTH, HEIGHT = 320, 180
SHOT_FRAMES = 36  # of a rendered shot, at most
PORTRAIT = Path(__file__).parents[2] / "tests" / "data" / "astronaut.png"
FIRST_HELD_OUT_SEED = 1000  # seeds from here on were never looked at while the finder was made

Picture = np.ndarray  # (HEIGHT, WIDTH, 3) uint8


@dataclass(frozen=True)
class Boundary:
    """Where a new shot truly starts."""

    frame: int
    kind: str  # "cut", "fade" or "dissolve"
    tolerance: int = 1  # frames by which it may be told wrong


@dataclass(frozen=True, eq=False)
class Film:
    """Frames and what is true of them."""

    name: str
    frames: list[Picture]
    truth: tuple[Boundary, ...]
    shots: tuple[str, ...] = ()  # what each shot is made of


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="*", help="real clips; CLIP=31,75 names the first frames of its shots but one")
    parser.add_argument("--films", type=int, default=6, help="of each kind")
    parser.add_argument("--first", type=int, default=FIRST_HELD_OUT_SEED, help="seed of the first film")
    args = parser.parse_args()
    torch.set_num_threads(1)
    clips = [read_clip(text) for text in args.clips]
    for clip in clips:
        report(clip.name, [clip])
    pools = {"rendered": rendered_shots(args.first)}
    if clips:
        pools["real"] = real_shots(clips)
    for name, pool in pools.items():
        for kind, effects in (("plain", 0.0), ("disturbed", 0.7)):
            rng = np.random.default_rng((args.first, len(name), effects > 0))
            films = [film(f"{name} {kind} {n}", pool, rng, effects) for n in range(args.films)]
            report(f"{name}, {kind}", films)
    for size, name in ((1080, "yuv420p"), (2160, "yuv420p"), (2160, "yuv420p10le")):
        print(f"{size}p {name}: {milliseconds(size, name):.2f} ms a frame")


# --- figures -------------------------------------------------------------------------------------------------------


def report(title: str, films: list[Film]) -> None:
    """A line a kind of boundary, and a line for every mistake."""
    counts = {kind: [0, 0] for kind in ("cut", "fade", "dissolve")}  # found, there
    false_positives, mistakes, frames = 0, [], 0
    for one in films:
        found = boundaries(one.frames)
        right, wrong, missed = match_boundaries(found, one.truth)
        for boundary in one.truth:
            counts[boundary.kind][1] += 1
        for boundary in right:
            counts[boundary.kind][0] += 1
        false_positives += len(wrong)
        frames += len(one.frames)
        starts = [0, *(b.frame for b in one.truth)]
        for frame in wrong:
            shot = int(np.searchsorted(starts, frame, "right")) - 1
            mistakes.append(f"    {one.name}: invented {frame}, in {one.shots[shot] if one.shots else 'the clip'}")
        for boundary in missed:
            pair = one.shots[starts.index(boundary.frame) - 1 :][:2] if one.shots else ()
            mistakes.append(f"    {one.name}: missed {boundary.kind} {boundary.frame}, {' → '.join(pair)}")
    hits, there = (sum(c[k] for c in counts.values()) for k in (0, 1))
    precision, recall = hits / max(hits + false_positives, 1), hits / max(there, 1)
    f1 = 2 * hits / (2 * hits + false_positives + there - hits) if there + false_positives else 1.0
    by_kind = ", ".join(f"{kind}s {a}/{b}" for kind, (a, b) in counts.items() if b) or "no boundary"
    print(
        f"{title}: {frames} frames, {by_kind}, invented {false_positives}; P {precision:.3f} R {recall:.3f} F1 {f1:.3f}"
    )
    print("\n".join(mistakes), end="\n" if mistakes else "", flush=True)


def match_boundaries(
    found: Iterable[int], truth: tuple[Boundary, ...]
) -> tuple[list[Boundary], list[int], list[Boundary]]:
    """(truths that were found, what was found and isn't true, truths that were not found); each counts once."""
    left, right = list(found), []
    for tolerance in (0, 1, 99):  # the nearest first, so that neighbours don't take each other's
        for boundary in truth:
            if boundary in right:
                continue
            near = [f for f in left if abs(f - boundary.frame) <= min(tolerance, boundary.tolerance)]
            if near:
                left.remove(min(near, key=lambda f: abs(f - boundary.frame)))
                right.append(boundary)
    return right, left, [boundary for boundary in truth if boundary not in right]


def boundaries(frames: list[Picture]) -> list[int]:
    """What the finder says of a film held in memory."""
    detector = ShotDetector()
    found = []
    for frame in as_frames(frames):
        found += detector.add(frame)
    return found + detector.finish()


def as_frames(pictures: list[Picture]) -> Iterator[Frame]:
    """Frames of an in-memory clip, one at a time."""
    first = torch.from_numpy(pictures[0]).float()[None]
    layout = Layout.of(clip_from_images(first, Fraction(25)))
    for index, picture in enumerate(pictures):
        yield Frame((picture.astype(np.float32) / 255,), index, index, layout)


def milliseconds(rows: int, pixel_format: str) -> float:
    """Median time of one frame of a decoded clip of that size: noise over a moving picture, all work done."""
    size = (rows * 16 // 9, rows)
    clip = Clip(None, None, 1, 0, Fraction(25), Fraction(1, 25), np.zeros(1, np.int64), *size, pixel_format)
    layout = Layout.of(clip)
    rng = np.random.default_rng(0)
    shape = layout.pixel_format
    planes = [rng.integers(0, 2**shape.bits, s, shape.dtype) for s in shape.plane_shapes(*size)]
    detector, times = ShotDetector(), []
    for index in range(60):
        moved = tuple(np.roll(plane >> 1, 8 * index, 1) for plane in planes)
        frame = Frame(moved, index, index, layout)
        started = time.process_time()
        detector.add(frame)
        times.append(1000 * (time.process_time() - started))
    return statistics.median(times[10:])


# --- shots ---------------------------------------------------------------------------------------------------------


def rendered_shots(seed: int) -> list[tuple[str, list[Picture]]]:
    """People talking, some before the same wall; two in a picture; one who leaves; pans and zooms over stills."""
    rng = np.random.default_rng(seed)
    size, seconds = (WIDTH, HEIGHT), SHOT_FRAMES / 25
    scenes: list[tuple[str, Scene]] = []
    for number in range(6):
        one = talking_head(seed + number, "en", seconds, size=size, split="test")
        scenes.append((f"head {number}", one))
        if number % 2:  # the answer, before the same wall, in the same light
            other = talking_head(seed + number + 500, "en", seconds, size=size, split="test").shots[0]
            shot = Shot(other.frames, other.actors, one.shots[0].backdrop, one.shots[0].light, one.shots[0].grain)
            scenes.append((f"answer {number}", Scene(*size, one.fps, (shot,), one.waveform, seed)))
    scenes.append(("two", side_by_side(seed, seconds, size=size)))
    scenes.append(("leaving", leaving(seed, seconds, size=size)))
    pool = [(name, [frame for frame, _ in render(scene)]) for name, scene in scenes]
    stills = [("portrait", np.array(Image.open(PORTRAIT).convert("RGB")))]
    for number in range(3):
        still = backdrop(seed + number, 3 * WIDTH, 2 * HEIGHT)
        head = pool[number][1][0]
        still[HEIGHT // 2 : HEIGHT // 2 + HEIGHT, WIDTH // 2 : WIDTH // 2 + WIDTH] = head
        stills.append((f"still {number}", still))
    for name, still in stills:
        for speed in (0.004, 0.03, 0.1):
            pool.append((f"{name} panned {speed:g}", panned(still, rng, speed)))
        pool.append((f"{name} zoomed", zoomed(still, rng)))
    return pool


def real_shots(clips: list[Film]) -> list[tuple[str, list[Picture]]]:
    """The shots of real clips, long ones in two halves, and their first frames panned."""
    rng = np.random.default_rng(7)
    pool = []
    for clip in clips:
        starts = [0, *(b.frame for b in clip.truth), len(clip.frames)]
        for number, (start, stop) in enumerate(pairwise(starts)):
            pool.append((f"{clip.name} shot {number}", clip.frames[start:stop]))
        pool.append((f"{clip.name} panned", panned(_sized(clip.frames[0], 560, 315), rng, 0.04)))
    still = np.array(Image.open(PORTRAIT).convert("RGB"))
    return [*pool, ("portrait panned", panned(still, rng, 0.03)), ("portrait zoomed", zoomed(still, rng))]


def panned(still: Picture, rng: np.random.Generator, speed: float) -> list[Picture]:
    """A window that moves by `speed` widths a frame and turns round at the edges; fast ones blurred as by a shutter."""
    span_x, span_y = still.shape[1] - WIDTH, still.shape[0] - HEIGHT
    x, y = rng.uniform(0, span_x), rng.uniform(0, span_y)
    angle = rng.uniform(-0.4, 0.4) + np.pi * rng.integers(2)
    step_x, step_y = speed * WIDTH * np.cos(angle), speed * WIDTH * np.sin(angle)
    frames = []
    for _ in range(SHOT_FRAMES):
        seen = []
        for part in np.linspace(0, 0.5, 1 if speed < 0.02 else 6):  # the shutter is open for half the time
            left, top = (
                round(_reflected(at, span)) for at, span in ((x + part * step_x, span_x), (y + part * step_y, span_y))
            )
            seen.append(still[top : top + HEIGHT, left : left + WIDTH].astype(np.float32))
        frames.append(np.mean(seen, 0).astype(np.uint8))
        x, y = x + step_x, y + step_y
    return frames


def zoomed(still: Picture, rng: np.random.Generator) -> list[Picture]:
    """Slowly or fast into the picture."""
    rate = rng.choice([1.004, 1.02])
    frames = []
    image = Image.fromarray(still)
    side = min(still.shape[1], still.shape[0] * WIDTH / HEIGHT)
    for _ in range(SHOT_FRAMES):
        w, h = side, side * HEIGHT / WIDTH
        x, y = (still.shape[1] - w) / 2, (still.shape[0] - h) / 3
        frames.append(np.array(image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, (x, y, x + w, y + h))))
        side = max(side / rate, 60)
    return frames


def read_clip(text: str) -> Film:
    """A file as a film of the common size, with the cuts that were named."""
    path, _, cuts = text.partition("=")
    truth = tuple(Boundary(int(cut), "cut") for cut in cuts.split(",") if cut)
    with FrameReader(probe(Path(path))) as frames:
        pictures = [
            (frame.rgb(size=(WIDTH, HEIGHT)).permute(1, 2, 0) * 255).round().to(torch.uint8).numpy() for frame in frames
        ]
    return Film(Path(path).stem, pictures, truth)


# --- films ---------------------------------------------------------------------------------------------------------


def film(name: str, pool: list[tuple[str, list[Picture]]], rng: np.random.Generator, effects: float) -> Film:
    """Twelve shots of the pool with a transition between; `effects` is how likely each shot is disturbed."""
    frames: list[Picture] = []
    truth: list[Boundary] = []
    shots: list[str] = []
    last = -1
    for number in range(12):
        pick = int(rng.integers(len(pool)))
        while pick == last:
            pick = int(rng.integers(len(pool)))
        last = pick
        what, shot = pool[pick]
        length = 1 if rng.random() < 0.06 else min(len(shot), int(rng.integers(14, SHOT_FRAMES + 1)))
        start = int(rng.integers(len(shot) - length + 1))
        shot = shot[start : start + length]
        if length > 8 and rng.random() < effects:
            change = EFFECTS[int(rng.integers(len(EFFECTS)))]
            shot = change(shot, rng)
            what += f" with {change.__name__}"
        shots.append(f"{what} ({length})")
        kind = rng.choice(["cut", "dissolve", "black", "white"], p=[0.76, 0.1, 0.1, 0.04])
        if number == 0:
            frames += shot
        elif kind == "dissolve" and length > 1 and shots[-2][-3:] != "(1)":
            over = int(rng.integers(5, 13))
            weights = np.arange(1, over + 1) / (over + 1)
            old = frames[-over:]
            seen = [w * b.std() > (1 - w) * a.std() for a, b, w in zip(old, shot, weights, strict=False)]
            middle = seen.index(True) if True in seen else over
            truth.append(Boundary(len(frames) - over + middle, "dissolve", max(1, over // 4)))
            mixed = [
                np.round(a * (1 - w) + b * w).astype(np.uint8) for a, b, w in zip(old, shot, weights, strict=False)
            ]
            frames[-over:] = mixed
            frames += shot[over:]
        elif kind in ("black", "white") and length > 1 and shots[-2][-3:] != "(1)":
            level = 0 if kind == "black" else 255
            out, held, back = (int(n) for n in rng.integers((3, 1, 3), (12, 8, 12)))
            frames[-out:] = faded(frames[-out:], level, 1 - np.arange(1, out + 1) / (out + 1))
            truth.append(Boundary(len(frames), "fade"))
            frames += [np.full_like(shot[0], level)] * held
            frames += [*faded(shot[:back], level, np.arange(1, back + 1) / (back + 1)), *shot[back:]]
        else:
            truth.append(Boundary(len(frames), "cut"))
            frames += shot
    return Film(name, frames, tuple(truth), tuple(shots))


def faded(frames: list[Picture], level: int, shares: np.ndarray) -> list[Picture]:
    """Frames mixed with a flat picture of `level`."""
    return [np.round(a * s + level * (1 - s)).astype(np.uint8) for a, s in zip(frames, shares, strict=False)]


def grain(frames: list[Picture], rng: np.random.Generator) -> list[Picture]:
    sigma = rng.uniform(3, 12)  # levels; 12 is a night shot pushed hard
    return [_rounded(a + sigma * rng.standard_normal(a.shape, np.float32)) for a in frames]


def night(frames: list[Picture], rng: np.random.Generator) -> list[Picture]:
    gain = rng.uniform(0.06, 0.2)
    return grain_of([_rounded(a * gain) for a in frames], rng, 2.0)


def grain_of(frames: list[Picture], rng: np.random.Generator, sigma: float) -> list[Picture]:
    return [_rounded(a + sigma * rng.standard_normal(a.shape, np.float32)) for a in frames]


def shake(frames: list[Picture], rng: np.random.Generator) -> list[Picture]:
    most = rng.uniform(3, 14)  # pixels, of 320 across
    places = np.clip(rng.normal(0, most / 2, (len(frames), 2)), -most, most)
    out = []
    for frame, (dx, dy) in zip(frames, places, strict=True):
        box = (16 + dx, 9 + dy * 9 / 16, WIDTH - 16 + dx, HEIGHT - 9 + dy * 9 / 16)
        out.append(np.array(Image.fromarray(frame).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box)))
    return out


def flash(frames: list[Picture], rng: np.random.Generator) -> list[Picture]:
    out = list(frames)
    for _ in range(2):
        at, long = int(rng.integers(3, len(frames) - 4)), int(rng.integers(1, 3))
        gain, lift = rng.uniform(1.5, 4), rng.uniform(40, 200)
        for index in range(at, at + long):
            out[index] = _rounded(frames[index] * gain + lift)
    return out


def dimmed(frames: list[Picture], rng: np.random.Generator) -> list[Picture]:
    """The light goes down or up to a third, over some frames or at once."""
    at, long = int(rng.integers(3, len(frames) - 4)), int(rng.integers(1, 12))
    low = rng.uniform(0.3, 0.6)
    share = np.clip((np.arange(len(frames)) - at) / long, 0, 1)
    gains = 1 + (low - 1) * (share if rng.random() < 0.5 else 1 - share)
    return [_rounded(a * g) for a, g in zip(frames, gains, strict=True)]


def passer_by(frames: list[Picture], rng: np.random.Generator) -> list[Picture]:
    """Something big and out of focus moves through the picture, near the camera."""
    at, long, wide = int(rng.integers(1, len(frames) - 5)), int(rng.integers(6, 14)), rng.uniform(0.25, 0.6) * WIDTH
    color = rng.uniform(10, 200, 3)
    columns = np.arange(WIDTH)
    out = list(frames)
    for index in range(at, min(at + long, len(frames))):
        centre = -wide / 2 + (WIDTH + wide) * (index - at + 0.5) / long
        cover = np.clip((wide / 2 - np.abs(columns - centre)) / 12, 0, 1)[None, :, None]
        shade = color * (1 + 0.3 * np.sin((columns - centre) / wide * 6))[None, :, None]
        out[index] = _rounded(frames[index] * (1 - cover) + shade * cover)
    return out


def on_twos(frames: list[Picture], rng: np.random.Generator) -> list[Picture]:
    """Every frame held for two or three, as in animation and in converted rates."""
    hold = int(rng.integers(2, 4))
    return [frames[index // hold * hold] for index in range(len(frames))]


def codec(frames: list[Picture], rng: np.random.Generator) -> list[Picture]:
    """JPEG of low quality, every eighth frame of a better one, as key frames pump."""
    import io

    out = []
    for index, frame in enumerate(frames):
        held = io.BytesIO()
        Image.fromarray(frame).save(held, "jpeg", quality=60 if index % 8 == 0 else 14)
        out.append(np.array(Image.open(held)))
    return out


EFFECTS: tuple[Callable, ...] = (grain, night, shake, flash, dimmed, passer_by, on_twos, codec)


def _rounded(values: np.ndarray) -> Picture:
    return np.clip(values + 0.5, 0, 255).astype(np.uint8)


def _sized(picture: Picture, width: int, height: int) -> Picture:
    return np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))


def _reflected(at: float, span: float) -> float:
    if span <= 0:
        return 0.0
    at = at % (2 * span)
    return at if at <= span else 2 * span - at


if __name__ == "__main__":
    main()
