"""Faces are found where they are: large, small, at the border, turned, in wide samples; and nowhere else."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from latentsync_core.faces.detection.blazeface import Detection, detect_faces, detection_passes, iou
from latentsync_core.faces.detection.face_mesh import face_mesh
from latentsync_core.faces.detection.region import FaceRegion, crop_region
from latentsync_core.imaging.roi import Roi
from latentsync_core.video.frame import Frame
from latentsync_core.video.pixel_format import Layout, PixelFormat
from latentsync_core.video.reading.halving import halved, reduced_part
from tests import astronaut

SCORE = 0.5


def _first(frame):
    """The faces of the first pass that finds any, and that pass's number."""
    for number, faces in enumerate(detection_passes(frame, SCORE)):
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
    faces = [face for face in _first(astronaut.frame_of(canvas))[0] if face.score > 0.6]  # the mesh weeds out others
    assert len(faces) == 2
    assert faces[0].box[0] > 512 > faces[1].box[2]


def test_wide_samples_are_seen_at_their_true_width():
    frame = astronaut.frame_of(astronaut.resized(astronaut.picture(), 256, 512), Fraction(2))
    faces, number = _first(frame)
    assert number == 0
    np.testing.assert_allclose(faces[0].eyes, astronaut.EYES / (2, 1), atol=5)
    points, presence = face_mesh(frame, FaceRegion.from_detection(faces[0], 2.0))
    assert presence > 0.9
    np.testing.assert_allclose(points[4, :2], astronaut.NOSE / (2, 1), atol=4)


@pytest.mark.parametrize("turns", [0, 1, 3])
def test_mesh_follows_a_turned_head(turns):
    image = torch.rot90(astronaut.picture(), turns).contiguous()  # counterclockwise
    x, y = astronaut.NOSE
    place = {0: (x, y), 1: (y, 511 - x), 3: (511 - y, x)}
    region = FaceRegion(np.array(place[turns]), 190.0, -np.pi / 2 * turns)
    points, presence = face_mesh(astronaut.frame_of(image), region)
    assert presence > 0.9
    np.testing.assert_allclose(points[4, :2], place[turns], atol=5)


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


@pytest.mark.parametrize(("width", "face"), [(1920, 40), (1280, 44), (320, 60)])
def test_faces_of_forty_pixels_are_found_in_one_search(width, face):
    small = astronaut.resized(astronaut.picture()[20:220, 130:330], round(200 * face / 120), round(200 * face / 120))
    canvas = astronaut.on_canvas(small, width, width * 9 // 16, width // 2, width // 4)
    found = detect_faces(astronaut.frame_of(canvas), SCORE, 40)
    eyes = (astronaut.EYES - (130, 20)) * face / 120 + (width // 2, width // 4)
    assert len(found) == 1
    assert np.abs(found[0].eyes - eyes).max() < 0.12 * face


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_a_turned_search_tells_where_the_eyes_of_a_lying_face_are(turn):
    picture = astronaut.picture()[:360, 40:440]
    found = detect_faces(astronaut.frame_of(torch.rot90(picture, -turn).contiguous()), SCORE, 40, turns=(4 - turn,))
    height, width = picture.shape[:2]
    x, y = (astronaut.EYES - (40, 0)).T
    turned = {1: (height - 1 - y, x), 2: (width - 1 - x, height - 1 - y), 3: (y, width - 1 - x)}[turn]
    np.testing.assert_allclose(found[0].eyes, np.stack(turned, 1), atol=6)


FORMATS = (PixelFormat("yuv420p", 8, 1, 1), PixelFormat("yuv422p10le", 10, 1, 0), PixelFormat("gbrp", 8, 0, 0, True))


def _smooth_frame(shape, rotation, mirrored, width=70, height=47):
    """A frame of slopes in every plane."""
    weights = None if shape.is_rgb else (0.2126, 0.0722)
    layout = Layout(shape, width, height, rotation, weights, True, (0.5, 0.5), mirrored=mirrored)
    planes = []
    for rows, columns in shape.plane_shapes(width, height):
        y, x = np.mgrid[0:rows, 0:columns]
        level = (0.2 + 0.4 * x / columns + 0.3 * y / rows) * (2**shape.bits - 1)
        planes.append(level.round().astype(shape.dtype))
    return Frame(tuple(planes), 0, 0, layout)


@pytest.mark.parametrize("shape", FORMATS, ids=lambda shape: shape.name)
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_part_reduced_by_halving_shows_what_is_there_in_the_frame(shape, rotation, mirrored):
    frame = _smooth_frame(shape, rotation, mirrored)
    whole = frame.rgb()
    for roi, halvings in ((Roi(5, 9, 33, 30), 0), (Roi(5, 9, 33, 30), 1), (Roi(0, 0, frame.width, frame.height), 2)):
        part, (left, top) = reduced_part(frame, roi, halvings)
        step = 2**halvings
        assert left <= roi.x0
        assert top <= roi.y0
        for row in range(0, part.shape[1], 3):
            for column in range(0, part.shape[2], 3):
                y0, x0 = max(top + row * step, 0), max(left + column * step, 0)
                y1, x1 = min(top + (row + 1) * step, frame.height), min(left + (column + 1) * step, frame.width)
                expected = whole[:, y0:y1, x0:x1].mean((1, 2))
                assert (part[:, row, column] - expected).abs().max() < 0.02


def test_halving_takes_the_mean_of_whole_blocks():
    picture = torch.rand(6, 10, 3, generator=torch.Generator().manual_seed(3))
    mean = picture.reshape(3, 2, 5, 2, 3).mean((1, 3)).permute(2, 0, 1)
    torch.testing.assert_close(halved(astronaut.frame_of(picture)).rgb(), mean)


def test_a_halved_frame_has_samples_of_the_same_shape():
    frame = astronaut.frame_of(astronaut.picture()[:301, :205], Fraction(16, 11))
    assert halved(halved(frame)).layout.sample_aspect == frame.layout.sample_aspect == Fraction(16, 11)


def test_a_level_picture_of_a_large_region_is_the_same_as_of_a_small_one():
    picture = astronaut.picture()
    double = astronaut.resized(picture, 2048, 2048)
    small = crop_region(astronaut.frame_of(picture), FaceRegion(np.array([225.0, 120.0]), 190.0, 0.2), 96)
    large = crop_region(astronaut.frame_of(double), FaceRegion(np.array([901.5, 481.5]), 760.0, 0.2), 96)
    assert (small - large).abs().mean() < 0.02


@pytest.mark.parametrize("angle", [0.0, 0.4])
@pytest.mark.parametrize("side", [60.0, 150.0, 400.0])
def test_every_pixel_of_a_region_shows_its_own_place_in_the_frame(side, angle):
    """A ramp stays a ramp however often it is halved, so colours are positions: red across, green down. The outermost
    pixels of a halved region repeat its edge, a tenth of a pixel from their place."""
    y, x = np.mgrid[:640, :640] / 640
    frame = astronaut.frame_of(torch.from_numpy(np.stack([x, y, 0 * x], -1).astype(np.float32)))
    size, centre = 48, np.array([321.25, 310.5])
    crop = crop_region(frame, FaceRegion(centre, side, angle), size).numpy()
    steps = (np.arange(size) - (size - 1) / 2) * side / size
    across, down = np.meshgrid(steps, steps)
    x = centre[0] + across * np.cos(angle) - down * np.sin(angle)
    y = centre[1] + across * np.sin(angle) + down * np.cos(angle)
    for colour, position in ((crop[0], x), (crop[1], y)):
        np.testing.assert_allclose(colour[1:-1, 1:-1] * 640, position[1:-1, 1:-1], atol=0.05)


def test_overlap_is_the_common_share():
    assert iou(np.array([0, 0, 2, 2.0]), np.array([1, 0, 3, 2.0])) == pytest.approx(1 / 3)
    assert iou(np.array([0, 0, 1, 1.0]), np.array([5, 5, 6, 6.0])) == 0
    assert Detection(np.array([1, 1, 4, 3.0]), np.zeros((2, 2)), 1.0).area == 6
