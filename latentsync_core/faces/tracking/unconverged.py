"""Suggests a mark in a clip where the detector sees a face but the mesh doesn't converge on it."""

from __future__ import annotations

import numpy as np

from ...video.clip import Clip
from ...video.reading.frame_sequence import FrameSequence
from ..detection.blazeface import detect_faces
from ..face_options import FaceOptions
from ..keyframes.marks import box_of_detection

SAMPLED_FRAMES = 6  # evenly spaced frames that are searched


def suggest_mark(clip: Clip, options: FaceOptions) -> str | None:
    """The end of a fact: the detection with the highest score, and a mark made from it; None without any.

    The detector often finds drawn faces, masks and animals, but the mesh, which gives brows and nose, doesn't converge
    on them. A lower score doesn't help there; a mark does.
    """
    frames = sorted({round(at) for at in np.linspace(0, clip.frame_count - 1, SAMPLED_FRAMES)})
    best: tuple[float, int, np.ndarray] | None = None  # score, frame, box
    with FrameSequence(clip) as sequence:
        for index, frame in zip(frames, sequence.frames(frames), strict=True):
            for face in detect_faces(frame, options.detector_score, options.min_size):
                if best is None or face.score > best[0]:
                    best = face.score, index, face.box
    if best is None:
        return None
    score, index, detected = best
    box = box_of_detection(detected, float(clip.sample_aspect))
    x0, y0, x1, y1 = np.clip(box, 0, [clip.width - 1, clip.height - 1] * 2)
    mark = f'[{{"frame": {index}, "box": [{x0:.0f}, {y0:.0f}, {x1:.0f}, {y1:.0f}]}}]'
    return (
        f"a possible face was detected (frame {index}, score {score:.2f}), but its brows and nose were not found, as "
        f"happens with drawn faces, masks and animals; if it is a face, its mark is {mark}"
    )
