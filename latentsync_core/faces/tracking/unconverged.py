"""What a clip without a usable face shows all the same: a box that the detector is sure of, to be marked by hand."""

from __future__ import annotations

import numpy as np

from ...video.clip import Clip
from ...video.reading.frame_sequence import FrameSequence
from ..detection.blazeface import detect_faces
from ..face_options import FaceOptions

SAMPLED_FRAMES = 6  # frames that are looked at again, evenly spaced


def suggest_mark(clip: Clip, options: FaceOptions) -> str | None:
    """A sentence's rest about the surest box in some of the clip's frames, with a mark to begin with; None if none.

    Drawn faces, masks and animals are often found by the detector, but the mesh that would place brows and nose does
    not settle on them. A lower score can't help there; a mark by hand does.
    """
    frames = sorted({round(at) for at in np.linspace(0, clip.frame_count - 1, SAMPLED_FRAMES)})
    best = None
    with FrameSequence(clip) as sequence:
        for index, frame in zip(frames, sequence.frames(frames), strict=True):
            for face in detect_faces(frame, options.detector_score, options.min_size):
                if best is None or face.score > best[0]:
                    best = face.score, index, face.box
    if best is None:
        return None
    score, index, box = best
    x0, y0, x1, y1 = np.clip(box, 0, [clip.width - 1, clip.height - 1] * 2)
    mark = f'[{{"frame": {index}, "box": [{x0:.0f}, {y0:.0f}, {x1:.0f}, {y1:.0f}]}}]'
    return (
        f"something like one was seen (frame {index}, score {score:.2f}), but its brows and nose could not be placed, "
        f"as with drawn faces, masks and animals; if it is one, mark it by hand: {mark}"
    )
