"""Milliseconds to composite one face into a 3840 × 2160 4:2:0 frame: python -m benchmarks.compositing

Face 600 px wide, resolution 512, the patch already decoded; the median of many frames. What is timed is all that
happens to a frame between the decoder's planes and the encoder's.
"""

from __future__ import annotations

import statistics
import time
from fractions import Fraction
from functools import partial

import numpy as np
import torch

from latentsync_core.compositing.composite_options import CompositeOptions
from latentsync_core.compositing.compositor import mouth_region, paste_face
from latentsync_core.compositing.rendering import blend_mouth
from latentsync_core.faces.alignment.align import crop_face, crop_size
from latentsync_core.faces.alignment.mouth_mask import mouth_mask
from latentsync_core.video.clip import Clip
from latentsync_core.video.frame import Frame
from latentsync_core.video.pixel_format import Layout

WIDTH, HEIGHT = 3840, 2160
FACE_WIDTH = 600  # pixels, the width of the crop in the frame
RESOLUTION = 512
REPETITIONS = 30


def main() -> None:
    """Prints the table."""
    torch.set_num_threads(2)
    for name in ("yuv420p", "yuv420p10le"):
        frame = noise_frame(name)
        scale = crop_size(RESOLUTION)[0] / FACE_WIDTH
        transform = np.array([[scale, 0, -1500.3 * scale], [0, scale, -700.7 * scale]], np.float32)
        patch = torch.rand(3, RESOLUTION, RESOLUTION)
        region = mouth_region(RESOLUTION)
        methods = {
            "default: the mouth region": partial(paste_face, frame, transform, patch, RESOLUTION, region=region),
            "like the reference: the whole crop": partial(paste_like_reference, frame, transform, patch),
        }
        for method, work in methods.items():
            print(f"{name:12} {method:36} {median_milliseconds(work):7.1f} ms", flush=True)


def paste_like_reference(frame: Frame, transform: np.ndarray, patch: torch.Tensor) -> None:
    """What the reference does with a frame: cut its crop out, put the drawn mouth into it, paste all of it."""
    source = crop_face(frame, transform, RESOLUTION)
    whole = blend_mouth(patch, source, mouth_mask(RESOLUTION).float())
    paste_face(frame, transform, whole, RESOLUTION, CompositeOptions.reference())


def noise_frame(name: str) -> Frame:
    """A frame of noise: nothing in the work depends on what it shows."""
    clip = Clip(
        identity=None,
        images=None,
        frame_count=1,
        first_frame=0,
        fps=Fraction(24),
        time_base=Fraction(1, 24),
        pts=np.zeros(1, np.int64),
        width=WIDTH,
        height=HEIGHT,
        pixel_format=name,
    )
    layout = Layout.of(clip)
    shape = layout.pixel_format
    levels = np.random.default_rng(0)
    planes = tuple(
        levels.integers(0, 2**shape.bits, size=size, dtype=shape.dtype) for size in shape.plane_shapes(WIDTH, HEIGHT)
    )
    return Frame(planes, pts=0, index=0, layout=layout)


def median_milliseconds(work) -> float:
    """The median over `REPETITIONS`, after three to warm up."""
    times = []
    for _ in range(3 + REPETITIONS):
        started = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times[3:])


if __name__ == "__main__":
    main()
