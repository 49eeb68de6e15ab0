"""Still frames of a clip, small, and the faces in them that tracking didn't take but that may be marked."""

from __future__ import annotations

import io

import numpy as np
import torch

from ...errors import VideoError
from ...video.clip import Clip
from ...video.frame import Frame
from ...video.reading.reader import FrameReader
from ..detection.blazeface import detect_faces, iou
from ..face_tracks import FaceTracks
from ..keyframes.marks import box_of_detection

MAX_SIDE = 960  # pixels of a still's longer side
QUALITY = 82  # of a JPEG
FAINT_SCORE = 0.25  # of a detection that may be marked; tracking asks for 0.5
MAX_FAINT = 5  # detections offered in a frame: of faint ones few are faces
MIN_FAINT_SIZE = 40.0  # square pixels of the smallest face that is looked for
SAME_FACE_IOU = 0.3  # intersection over union above which a detection is a tracked face


@torch.inference_mode()
def still_jpeg(clip: Clip, index: int) -> bytes:
    """Frame `index` as a JPEG in square pixels, its longer side at most MAX_SIDE.

    Raises:
        ClipChangedError: the clip's file has changed since it was probed.
        VideoError: there is no such frame, or it can't be decoded.
    """
    from PIL import Image

    frame = _read(clip, index)
    width, height = frame.width * float(frame.sample_aspect), float(frame.height)
    scale = min(1.0, MAX_SIDE / max(width, height))
    rgb = frame.rgb(size=(max(1, round(width * scale)), max(1, round(height * scale)))).clamp(0, 1)
    stream = io.BytesIO()
    picture = Image.fromarray((rgb * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())
    picture.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


@torch.inference_mode()
def faint_faces(faces: FaceTracks, index: int) -> list[list[int]]:
    """Boxes [x0, y0, x1, y1] for marks, in displayed pixels, of detections in frame `index` that no track covers.

    The likeliest come first. Drawn faces, masks and animals are often detected without the mesh converging on them, or
    with a low score.

    Raises:
        ClipChangedError, VideoError: as `still_jpeg`.
    """
    clip = faces.clip
    frame = _read(clip, index)
    tracked = [
        track.boxes[index - track.start].astype(float)
        for track in faces.tracks
        if track.start <= index < track.stop and track.visible[index - track.start]
    ]
    boxes = []
    for face in sorted(detect_faces(frame, FAINT_SCORE, MIN_FAINT_SIZE), key=lambda face: -face.score):
        if all(iou(face.box, box) <= SAME_FACE_IOU for box in tracked):
            box = box_of_detection(face.box, float(clip.sample_aspect))
            boxes.append(np.clip(box, 0, [clip.width - 1, clip.height - 1] * 2).round().astype(int).tolist())
    return boxes[:MAX_FAINT]


def _read(clip: Clip, index: int) -> Frame:
    with FrameReader(clip, start=index, stop=min(index + 1, clip.frame_count)) as reader:
        for frame in reader:
            return frame
    raise VideoError(f"There is no frame {index}; {clip.name} has frames 0 to {clip.frame_count - 1}.")
