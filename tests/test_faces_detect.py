"""Faces are found where they are: large, small, at the border, turned, in wide samples; and nowhere else."""

import numpy as np
import pytest
import torch

from latentsync_core.faces.detect import Detection, detection_passes, overlap
from latentsync_core.faces.mesh import FaceRegion, face_mesh
from tests import astronaut

SCORE = 0.5


def _first(frame, aspect=1.0):
    """The faces of the first pass that finds any, and that pass's number."""
    for number, faces in enumerate(detection_passes(frame, SCORE, aspect)):
        if faces:
            return faces, number
    return [], None


def test_a_portrait_is_found_at_the_first_look():
    faces, number = _first(astronaut.frame_of(astronaut.picture()))
    assert (len(faces), number) == (1, 0)
    np.testing.assert_allclose(faces[0].eyes, astronaut.EYES, atol=5)
    x0, y0, x1, y1 = faces[0].box
    assert x0 < astronaut.NOSE[0] < x1
    assert y0 < astronaut.NOSE[1] < y1


def test_a_small_face_in_a_large_picture_is_found_by_a_later_pass():
    small = astronaut.resized(astronaut.picture(), 320, 320)  # the face some 60 pixels wide
    frame = astronaut.frame_of(astronaut.on_canvas(small, 1280, 720, 820, 300))
    eyes = astronaut.EYES * (320 / 512) + [820, 300]
    found = [any(np.abs(face.eyes - eyes).max() < 6 for face in faces) for faces in detection_passes(frame, SCORE)]
    assert found[0] is False
    assert any(found)


def test_of_two_faces_the_larger_comes_first():
    large = astronaut.picture()[:300]
    canvas = astronaut.on_canvas(large, 1024, 512, 470, 100)
    canvas[100:310, 20:378] = astronaut.resized(large, 358, 210)
    faces, _ = _first(astronaut.frame_of(canvas))
    assert len(faces) == 2
    assert faces[0].box[0] > 512 > faces[1].box[2]


def test_wide_samples_are_seen_at_their_true_width():
    squeezed = astronaut.resized(astronaut.picture(), 256, 512)
    faces, number = _first(astronaut.frame_of(squeezed), aspect=2.0)
    assert number == 0
    np.testing.assert_allclose(faces[0].eyes, astronaut.EYES / (2, 1), atol=5)
    points, presence = face_mesh(astronaut.frame_of(squeezed), FaceRegion.of_detection(faces[0], 2.0), 2.0)
    assert presence > 0.9
    np.testing.assert_allclose(points[4], astronaut.NOSE / (2, 1), atol=4)


@pytest.mark.parametrize("turns", [0, 1, 3])
def test_mesh_follows_a_turned_head(turns):
    image = torch.rot90(astronaut.picture(), turns).contiguous()  # counterclockwise
    x, y = astronaut.NOSE
    place = {0: (x, y), 1: (y, 511 - x), 3: (511 - y, x)}
    region = FaceRegion(np.array(place[turns]), 190.0, -np.pi / 2 * turns)
    points, presence = face_mesh(astronaut.frame_of(image), region)
    assert presence > 0.9
    np.testing.assert_allclose(points[4], place[turns], atol=5)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 3), (90, 160)])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_flat_pictures_of_any_size_have_no_face(size, level):
    assert all(not faces for faces in detection_passes(astronaut.frame_of(torch.full((*size, 3), level)), SCORE))


def test_a_region_beyond_the_frame_has_no_face():
    frame = astronaut.frame_of(astronaut.picture())
    for centre in ((-900.0, 100.0), (np.nan, 0.0)):
        points, presence = face_mesh(frame, FaceRegion(np.array(centre), 100.0, 0.0))
        assert presence == 0
        assert np.isnan(points).all()


def test_overlap_is_the_common_share():
    assert overlap(np.array([0, 0, 2, 2.0]), np.array([1, 0, 3, 2.0])) == pytest.approx(1 / 3)
    assert overlap(np.array([0, 0, 1, 1.0]), np.array([5, 5, 6, 6.0])) == 0
    assert Detection(np.array([1, 1, 4, 3.0]), np.zeros((2, 2)), 1.0).area == 6
