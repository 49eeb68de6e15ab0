"""Milliseconds to composite one face into a 1080p and a 2160p 4:2:0 frame: python -m benchmarks.compositing

Face 300 or 600 px wide, resolution 512, the patch already decoded; the methods in turn, the median and the least of
many frames. What is timed is all that happens to a frame between the decoder's planes and the encoder's, except for
the search for objects in front of the mouth.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial

import numpy as np
import torch

from latentsync_core.compositing.blending.color_match import light_gain, with_gain
from latentsync_core.compositing.blending.contour import (
    SPEECH,
    contour_of,
    face_views,
    on_view,
    region_mask,
    usual_contour,
)
from latentsync_core.compositing.blending.detail_match import INTERVAL, DetailMatcher
from latentsync_core.compositing.blending.patch_shapes import LOOK_INTERVAL, REGION_SIZE
from latentsync_core.compositing.composite_options import CompositeOptions, Region
from latentsync_core.compositing.compositor import face_layer, mouth_region, paste_face
from latentsync_core.compositing.rendering import blend_mouth
from latentsync_core.faces.alignment.align import crop_face, crop_size
from latentsync_core.faces.alignment.mouth_mask import mouth_mask
from latentsync_core.video.clip import Clip
from latentsync_core.video.frame import Frame
from latentsync_core.video.pixel_format import Layout

FRAMES = ((1920, 1080, 300), (3840, 2160, 600))  # width, height, and width of the crop in the frame
RESOLUTION = 512
REPETITIONS = 30
PERIOD = math.lcm(LOOK_INTERVAL, INTERVAL)  # frames, after which looks and measurements of grain coincide again


def main() -> None:
    """Prints the table."""
    torch.set_num_threads(2)
    patch = torch.rand(3, RESOLUTION, RESOLUTION)
    for width, height, face_width in FRAMES:
        scale = crop_size(RESOLUTION)[0] / face_width
        transform = np.array(
            [[scale, 0, -(width * 0.39 + 0.3) * scale], [0, scale, -(height * 0.32 + 0.7) * scale]], np.float32
        )
        for name in ("yuv420p", "yuv420p10le"):
            frame = noise_frame(name, width, height)
            matcher = DetailMatcher(1.0)
            methods = {
                "default: what speech moves, matched": partial(paste_speech, frame, transform, patch, matcher),
                "the mouth region": partial(
                    paste_face,
                    frame,
                    transform,
                    patch,
                    RESOLUTION,
                    CompositeOptions(region=Region.MOUTH),
                    mouth_region(RESOLUTION),
                ),
                "like the reference: the whole crop": partial(paste_like_reference, frame, transform, patch),
            }
            for method, times in milliseconds_in_turn(methods).items():
                frames = PERIOD if method.startswith("default") else 1
                median, least = (value / frames for value in times)
                print(f"{height}p {name:12} {method:36} {median:7.1f} ms, at least {least:.1f}", flush=True)


def paste_speech(frame: Frame, transform: np.ndarray, patch: torch.Tensor, matcher: DetailMatcher) -> None:
    """The default's steps for PERIOD frames: in some a look at both faces, which finds the contour and the light; in
    all what moves is pasted with its grain."""
    kept = on_view(mouth_region(RESOLUTION)[None]).clamp(0, 1)
    for index in range(PERIOD):
        if index % LOOK_INTERVAL == 0:
            views = face_views(frame, transform, patch, kept, RESOLUTION)
            contour, gain = contour_of(views, SPEECH), light_gain(views, kept)
        if contour is None:  # noise shows no face; looking for one has been timed
            contour = usual_contour(SPEECH)
        region = region_mask(contour, SPEECH, REGION_SIZE) * mouth_region(REGION_SIZE)
        matched = with_gain(patch, np.zeros((3, 3)) if gain is None else gain, 1.0)
        layer = face_layer(transform, matched, RESOLUTION, (frame.width, frame.height), CompositeOptions(), region)
        frame.paste(*matcher.matched(layer, partial(frame.rgb, layer.roi), 0, 0))


def paste_like_reference(frame: Frame, transform: np.ndarray, patch: torch.Tensor) -> None:
    """What the reference does with a frame: cut its crop out, put the drawn mouth into it, paste all of it."""
    source = crop_face(frame, transform, RESOLUTION)
    whole = blend_mouth(patch, source, mouth_mask(RESOLUTION).float())
    paste_face(frame, transform, whole, RESOLUTION, CompositeOptions.reference())


def noise_frame(name: str, width: int, height: int) -> Frame:
    """A frame of noise: nothing in the work depends on what it shows."""
    clip = Clip(
        identity=None,
        images=None,
        frame_count=1,
        first_frame=0,
        fps=Fraction(24),
        time_base=Fraction(1, 24),
        pts=np.zeros(1, np.int64),
        width=width,
        height=height,
        pixel_format=name,
    )
    layout = Layout.of(clip)
    shape = layout.pixel_format
    levels = np.random.default_rng(0)
    planes = tuple(
        levels.integers(0, 2**shape.bits, size=size, dtype=shape.dtype) for size in shape.plane_shapes(width, height)
    )
    return Frame(planes, pts=0, index=0, layout=layout)


def milliseconds_in_turn(methods: dict[str, Callable[[], object]]) -> dict[str, tuple[float, float]]:
    """Median and minimum of each over `REPETITIONS` rounds of all, after three to warm up."""
    times: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(3 + REPETITIONS):
        for name, work in methods.items():
            started = time.perf_counter()
            work()
            times[name].append(1000 * (time.perf_counter() - started))
    return {name: (statistics.median(own[3:]), min(own[3:])) for name, own in times.items()}


if __name__ == "__main__":
    main()
