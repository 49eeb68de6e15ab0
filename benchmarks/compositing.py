"""Milliseconds to composite one face into a 3840 × 2160 4:2:0 frame: python -m benchmarks.compositing

Face 600 px wide, resolution 512, the patch already decoded; the median of many frames. What is timed is all that
happens to a frame between the decoder's planes and the encoder's: the source crop, the blend, the soft mask, the paste.
"""

from __future__ import annotations

import statistics
import time
from fractions import Fraction
from functools import partial

import numpy as np
import torch

from latentsync_core.compositor import CompositeOptions, paste_face
from latentsync_core.faces.align import crop_face, crop_size
from latentsync_core.frame import Frame
from latentsync_core.pixels import Layout
from latentsync_core.types import Clip

WIDTH, HEIGHT = 3840, 2160
FACE = 600  # pixels, the width of the crop in the frame
RESOLUTION = 512
ROUNDS = 30


def main() -> None:
    """Prints the table."""
    torch.set_num_threads(2)
    for name in ("yuv420p", "yuv420p10le"):
        frame = noise_frame(name)
        scale = crop_size(RESOLUTION)[0] / FACE
        transform = np.array([[scale, 0, -1500.3 * scale], [0, scale, -700.7 * scale]], np.float32)
        patch = torch.rand(3, RESOLUTION, RESOLUTION)
        steps = {
            "cut the source crop": partial(crop_face, frame, transform, RESOLUTION),
            "paste the face": partial(paste_face, frame, transform, patch, RESOLUTION, CompositeOptions()),
        }
        total = 0.0
        for step, work in steps.items():
            milliseconds = median_milliseconds(work)
            total += milliseconds
            print(f"{name:12} {step:22} {milliseconds:7.1f} ms")
        print(f"{name:12} {'both':22} {total:7.1f} ms")


def noise_frame(name: str) -> Frame:
    """A frame of noise: nothing in the work depends on what it shows."""
    clip = Clip(
        identity=None,
        images=None,
        frame_count=1,
        first_frame=0,
        fps=Fraction(24),
        time_base=Fraction(1, 24),
        stamps=np.zeros(1, np.int64),
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
    return Frame(planes, stamp=0, index=0, layout=layout)


def median_milliseconds(work) -> float:
    """The median over `ROUNDS`, after three to warm up."""
    times = []
    for _ in range(3 + ROUNDS):
        started = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times[3:])


if __name__ == "__main__":
    main()
