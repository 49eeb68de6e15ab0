"""Yaw, pitch and roll are those of the rendered heads, and sharpness falls with blur, whatever the face's size."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from latentsync_core.faces.detection.blazeface import detect_faces
from latentsync_core.faces.detection.face_mesh import face_meshes
from latentsync_core.faces.detection.head_pose import head_pose
from latentsync_core.faces.detection.region import FaceRegion
from latentsync_core.faces.detection.sharpness import face_sharpness
from latentsync_core.faces.face_options import FaceOptions
from latentsync_core.faces.limits import MAX_RELIABLE_FLIP_ERROR
from latentsync_core.faces.tracking.redetect import converged_meshes, meshes_of_detections
from tests import astronaut
from training.synthetic.crops import engine_frame
from training.synthetic.head.identity import sample_identity
from training.synthetic.head.light import sample_light
from training.synthetic.head.mouth import MouthShape
from training.synthetic.head.painter import HeadState, Painter
from training.synthetic.head.surface import Pose
from training.synthetic.scenes.scene import FIRST_TEST_SEED

SIZE = 160


def _look(painter, angles, mouth=None, presence=0.5):
    """What the mesh network sees of a head that is drawn turned by yaw, pitch and roll in degrees."""
    picture = np.full((SIZE, SIZE, 3), 120, np.uint8)
    pose = Pose(SIZE / 2, SIZE / 2, SIZE * 0.28, *np.radians(angles))
    box = painter.paint(picture, HeadState(pose, mouth or MouthShape())).box
    region = FaceRegion((box[:2] + box[2:]) / 2, 1.5 * (box[2:] - box[:2]).max(), np.radians(angles[2]))
    return converged_meshes(engine_frame(picture), [region], presence)[0]


@pytest.fixture(scope="module")
def turned():
    """Measured and true angles of 16 rendered heads, (16, 3) degrees each."""
    rng = np.random.default_rng(5)
    measured, true = [], []
    for seed in range(4):
        painter = Painter(sample_identity(FIRST_TEST_SEED + 40 + seed, "real"), sample_light(seed))
        for _ in range(4):
            angles = rng.uniform(-25, 25, 3)
            measured.append(head_pose(_look(painter, angles, MouthShape(0.1, 0.09)).points))
            true.append(angles)
    return np.array(measured), np.array(true)


def test_poses_within_25_degrees_are_measured_to_a_few(turned):
    away = np.abs(turned[0] - turned[1])
    assert (away.mean(0) < (3, 5, 5)).all()
    assert away[:, 0].max() < 12


def test_angles_rise_as_the_head_turns_right_down_and_clockwise(turned):
    measured, true = turned
    for axis in range(3):
        assert np.corrcoef(measured[:, axis], true[:, axis])[0, 1] > 0.93
        assert 0.7 < np.polyfit(true[:, axis], measured[:, axis], 1)[0] < 1.3


def test_a_profile_is_not_taken_for_a_face_from_the_front():
    seen = []
    for seed, yaw in ((3, 66), (6, -70), (8, 75), (11, -80), (12, 70), (3, -40), (6, 40)):
        picture = np.full((SIZE, SIZE, 3), 120, np.uint8)
        painter = Painter(sample_identity(FIRST_TEST_SEED + seed, "real"), sample_light(seed))
        painter.paint(picture, HeadState(Pose(SIZE / 2, SIZE / 2, SIZE * 0.28, np.radians(yaw)), MouthShape()))
        frame = engine_frame(picture)
        meshes = meshes_of_detections(frame, detect_faces(frame, 0.5, 40), FaceOptions())
        seen += [(yaw, head_pose(mesh.points)[0]) for mesh in meshes if mesh is not None]
    assert all(abs(yaw - measured) < 35 for yaw, measured in seen)
    assert {yaw for yaw, _ in seen} >= {-40, 40}


def test_the_further_a_head_is_turned_the_more_the_mesh_and_its_mirror_image_differ():
    flip_errors = {}
    for yaw in (0, 30, 66):
        painters = [Painter(sample_identity(FIRST_TEST_SEED + n, "real"), sample_light(n)) for n in range(6)]
        meshes = [_look(painter, (yaw, 0, 0), presence=0.2) for painter in painters]
        flip_errors[yaw] = [mesh.flip_error for mesh in meshes if mesh is not None]
    assert max(flip_errors[0] + flip_errors[30]) < MAX_RELIABLE_FLIP_ERROR / 1.5
    assert np.median(flip_errors[0]) < np.median(flip_errors[30]) < 0.7 * np.median(flip_errors[66])


def _mesh(angles, scale=50.0):
    """A made-up face turned by known angles: points of a bowl in front, the vertices that count where they belong."""
    from latentsync_core.faces.detection import head_pose

    rng = np.random.default_rng(1)
    points = np.zeros((468, 3))
    for left, right in head_pose.LEVEL_VERTEX_PAIRS:
        x, y, z = rng.uniform((0.2, -1, 0), (1, 1, 1))
        points[left], points[right] = (-x, y, z), (x, y, z)
    pitch_offset = np.radians(-head_pose.PITCH_OFFSET)
    for number, vertex in enumerate(head_pose.TOP + head_pose.BOTTOM):
        y = -1.0 if number < len(head_pose.TOP) else 1.0
        points[vertex] = (0, y * np.cos(pitch_offset), y * np.sin(pitch_offset))
    turned = points @ Pose(0, 0, 1, *np.radians(angles)).rotation.T
    return turned * (scale, scale, -scale) + (300, 200, 0)


@pytest.mark.parametrize("angles", [(30, 0, 0), (0, 20, 0), (0, 0, 170), (-40, 15, -100)])
def test_the_angles_are_those_of_the_renderers_rotation(angles):
    np.testing.assert_allclose(head_pose(_mesh(angles)), angles, atol=1e-6)
    squeezed = _mesh(angles) / (2, 1, 1)
    np.testing.assert_allclose(head_pose(squeezed, aspect=2.0), head_pose(_mesh(angles)), atol=1e-6)


def test_a_mesh_that_is_nowhere_has_no_pose():
    assert np.isnan(head_pose(np.full((468, 3), np.nan))).all()
    assert np.isnan(head_pose(np.zeros((468, 3)))).all()


def _sharpness(size, blur=0.0, across_only=False):
    """Of the portrait with its face `size` pixels high, blurred by a share of that."""
    picture = astronaut.picture().permute(2, 0, 1)[None]
    picture = F.interpolate(picture, scale_factor=size / 120, mode="bilinear", antialias=True)
    radius = max(round(3 * blur * size), 1)
    kernel = torch.exp(-(torch.arange(-radius, radius + 1) ** 2) / max(2 * (blur * size) ** 2, 1e-6))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    picture = F.conv2d(picture, kernel, groups=3, padding=(0, radius))
    if not across_only:
        picture = F.conv2d(picture, kernel.transpose(2, 3), groups=3, padding=(radius, 0))
    frame = astronaut.frame_of(picture[0].permute(1, 2, 0).contiguous())
    region = FaceRegion(np.array([215.0, 110.0]) * size / 120, 1.5 * size, 0.0)
    return face_sharpness(face_meshes(frame, [region])[0].picture)


def test_the_more_blur_the_less_sharp_also_if_it_is_in_one_direction_only():
    both = [_sharpness(110, blur) for blur in (0, 0.02, 0.04, 0.1)]
    across = [_sharpness(110, blur, across_only=True) for blur in (0.02, 0.04, 0.1)]
    assert (np.diff(both) < -0.05).all()
    assert (np.diff([both[0], *across]) < -0.05).all()
    assert both[0] > 0.5
    assert both[-1] < 0.1


def test_sharpness_hardly_depends_on_the_faces_size():
    for blur in (0.0, 0.03):
        values = [_sharpness(size, blur) for size in (50, 80, 120)]
        assert np.ptp(values) < 0.15


def test_a_flat_picture_is_not_sharp():
    assert face_sharpness(torch.full((3, 192, 192), 0.4)) == 0
