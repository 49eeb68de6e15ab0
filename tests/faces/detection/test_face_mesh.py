"""The face mesh leans to no side: a mirrored picture has the mirrored mesh, and no point trembles more for it."""

import numpy as np
import pytest
import torch

from latentsync_core.faces.detection.face_mesh import face_mesh, face_meshes, mirror_indices
from latentsync_core.faces.detection.head_pose import LEVEL_VERTEX_PAIRS
from latentsync_core.faces.detection.layer_list import load_network
from latentsync_core.faces.detection.region import FaceRegion, crop_region
from tests import astronaut
from training.synthetic.crops import engine_frame

CENTRE, SIDE = (222.0, 110.0), 200.0  # of the astronaut's face


@pytest.fixture(scope="module")
def picture():
    """(512, 512, 3) uint8"""
    return (astronaut.picture() * 255).round().byte().numpy()


def region(width=None):
    centre = np.array(CENTRE if width is None else (width - 1 - CENTRE[0], CENTRE[1]))
    return FaceRegion(centre, SIDE, 0.1 if width is None else -0.1)


def test_points_are_each_others_mirror_images_in_pairs():
    image = mirror_indices()
    assert (image[image] == np.arange(468)).all()
    assert all(image[left] == right for left, right in LEVEL_VERTEX_PAIRS)
    assert (image == np.arange(468)).sum() == 28


def test_a_mirrored_face_has_the_mirrored_mesh(picture):
    mirrored = np.ascontiguousarray(picture[:, ::-1])
    points, presence = face_mesh(engine_frame(picture), region())
    again, sure = face_mesh(engine_frame(mirrored), region(picture.shape[1]))
    assert presence == pytest.approx(sure, abs=1e-3)
    assert presence > 0.9
    back = again[mirror_indices()]
    back[:, 0] = picture.shape[1] - 1 - back[:, 0]
    assert np.abs(points - back)[:, :2].max() < 0.02 * SIDE / 192


def test_the_mean_trembles_less_than_one_look(picture):
    rng = np.random.default_rng(0)
    network = load_network("mesh468")
    once, twice = [], []
    for _ in range(24):
        noisy = np.clip(picture + rng.normal(0, 12, picture.shape), 0, 255).astype(np.uint8)
        frame = engine_frame(noisy)
        plain = network(crop_region(frame, region(), network.size)[None])[0].reshape(468, 3)[:, :2]
        once.append(plain.numpy() * SIDE / network.size)
        twice.append(face_meshes(frame, [region()])[0].points[:, :2])
    trembling = [np.std(found, axis=0).mean() for found in (once, twice)]
    assert trembling[1] < 0.9 * trembling[0]


def test_a_region_outside_the_frame_has_no_mesh_and_the_others_keep_theirs(picture):
    frame = engine_frame(picture)
    outside = FaceRegion(np.array([-900.0, 100.0]), SIDE, 0.0)
    meshes = face_meshes(frame, [outside, region()])
    assert np.isnan(meshes[0].points).all()
    assert meshes[0].presence == 0
    assert np.allclose(meshes[1].points, face_mesh(frame, region())[0], atol=1e-3)
    assert torch.is_tensor(meshes[1].picture)
