"""Still frames for a picker, and the faces in them that can be marked."""

import io
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from latentsync_core.errors import ClipChangedError, VideoError
from latentsync_core.faces.detection.blazeface import iou
from latentsync_core.faces.keyframes.marks import read_marks
from latentsync_core.faces.picking.stills import MAX_SIDE, faint_faces, still_jpeg
from latentsync_core.faces.tracking.find_tracks import track_faces
from latentsync_core.sample_scene import PORTRAIT
from latentsync_core.video.reading.probing import clip_from_images, probe
from tests.clips import make_clip
from tests.made_faces import made_faces


def picture_of(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"), int)


def test_a_still_is_the_frame_that_is_asked_for():
    levels = torch.linspace(0, 1, 7)
    clip = clip_from_images(levels[:, None, None, None].expand(7, 40, 60, 3), Fraction(25))
    for index in (0, 6, 3):
        assert abs(picture_of(still_jpeg(clip, index)).mean() - 255 * float(levels[index])) < 2


def test_a_still_of_a_file_is_found_anywhere_in_it(tmp_path):
    clip = probe(make_clip(tmp_path / "clip.mp4", frames=60))
    stills = [picture_of(still_jpeg(clip, index)) for index in (59, 0, 30)]
    assert all(still.shape == (48, 64, 3) for still in stills)
    assert np.abs(stills[0] - stills[1]).max() > 30


def test_a_still_is_small_and_in_square_pixels(tmp_path):
    wide = clip_from_images(torch.zeros(1, 1000, 2 * MAX_SIDE, 3), Fraction(25))
    assert picture_of(still_jpeg(wide, 0)).shape == (500, MAX_SIDE, 3)
    squeezed = probe(make_clip(tmp_path / "clip.mp4", size=(64, 48), sample_aspect="2/1", frames=1))
    assert picture_of(still_jpeg(squeezed, 0)).shape == (48, 128, 3)


def test_a_frame_that_is_not_there_and_a_changed_clip_are_refused(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", frames=5)
    clip = probe(path)
    with pytest.raises(VideoError):
        still_jpeg(clip, 5)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(ClipChangedError):
        still_jpeg(clip, 0)


def test_a_face_that_is_not_tracked_can_be_marked_and_a_tracked_one_is_not_offered():
    clip = probe(PORTRAIT)
    tracked = track_faces(clip)
    box, *others = faint_faces(made_faces(clip, [], chosen=()), 0)
    assert iou(np.array(box, float), tracked.tracks[0].boxes[0].astype(float)) > 0.4
    assert read_marks(f'[{{"frame": 0, "box": {box}}}]', clip)
    assert faint_faces(tracked, 0) == others
