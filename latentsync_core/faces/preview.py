"""A picture of what was found: some frames of a clip with the face framed, and the crops that the network will see."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from ..frame import Frame
from ..frame_sequence import FrameSequence
from ..types import FaceTracks
from .align import align_track, crop_face

COLUMNS = 6  # frames shown, evenly spaced over the clip
WIDTH = 256  # pixels of a column
FRAME_COLOUR = (0.2, 0.9, 0.4)  # RGB of the line around a face
LINE = 3  # pixels
EMPTY = 0.15  # grey where a frame has no face to cut


@torch.inference_mode()
def face_sheet(faces: FaceTracks) -> torch.Tensor:
    """(3, h, w) float32 in [0, 1]: above, frames with the chosen face's box; below, its crops, grey without a face.

    Raises:
        ClipChangedError: the clip's file is another one by now.
    """
    clip, track = faces.clip, faces.track
    count = min(COLUMNS, clip.frame_count)
    chosen = sorted({round((column + 0.5) * clip.frame_count / count - 0.5) for column in range(count)})
    transforms = align_track(track.landmarks, track.visible, WIDTH, faces.align, clip.sample_aspect)
    columns = []
    with FrameSequence(clip) as sequence:
        for index, frame in zip(chosen, sequence.frames(chosen), strict=True):
            whole = _reduced(frame, float(clip.sample_aspect))
            crop = torch.full((3, WIDTH, WIDTH), EMPTY)
            if track.visible[index]:
                _outline(whole, track.boxes[index] * WIDTH / clip.width, float(clip.sample_aspect))
                crop = crop_face(frame, transforms[index], WIDTH, eight_bit=False)
            columns.append(torch.cat([whole, crop], dim=1))
    return torch.cat(columns, dim=2).clamp(0, 1)


def _reduced(frame: Frame, aspect: float) -> torch.Tensor:
    height = max(1, round(WIDTH * frame.height / (frame.width * aspect)))
    return frame.rgb(size=(WIDTH, height)).clone()


def _outline(picture: torch.Tensor, box: np.ndarray, aspect: float) -> None:
    """Draws `box` (x0 y0 x1 y1, in columns' pixels), in place; parts beyond the picture aren't seen."""
    height, width = picture.shape[-2:]
    x0, y0, x1, y1 = (round(float(value)) for value in box / (1, aspect, 1, aspect))
    inside = torch.zeros(height, width)
    inside[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = 1
    # The line lies inside: what is left of the box is worn off on every side.
    core = -F.max_pool2d(-F.pad(inside[None, None], (LINE,) * 4), 2 * LINE + 1, stride=1)[0, 0]
    line = (inside - core).bool()
    picture[:, line] = torch.tensor(FRAME_COLOUR)[:, None]
