"""Faces become dlib's 128 numbers: the same ones, wherever the face lies, and nearer for the same person."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from latentsync_core.faces.detection.face_mesh import face_mesh
from latentsync_core.faces.detection.layer_list import ASSETS
from latentsync_core.faces.detection.region import FaceRegion
from latentsync_core.faces.identity.embedding import (
    CHIP_LANDMARKS,
    CHIP_SIZE,
    EMBEDDING_SIZE,
    LANDMARK_VERTICES,
    MARGIN,
    embed_faces,
    face_chip,
)
from tests import astronaut
from tests.parity.makers.make_identity_data import TESTS, golden_chips
from training.synthetic.head.identity import sample_identity
from training.synthetic.head.light import sample_light
from training.synthetic.head.painter import HeadState, Painter
from training.synthetic.head.surface import Pose

HALF_PRECISION = 0.01  # what weights of half precision may cost; measured: 0.0003, and 0.003 on a flat chip
SIZE = 200


@pytest.fixture(scope="module")
def mesh():
    """The astronaut's (468, 2) mesh."""
    return _mesh(astronaut.picture(), FaceRegion(astronaut.NOSE, 190.0, 0.0))


def test_the_network_computes_what_dlib_does():
    chips = torch.from_numpy(golden_chips()).permute(0, 3, 1, 2).float() / 255  # NHWC -> NCHW
    with np.load(TESTS / "parity" / "data" / "identity.npz") as golden:
        expected = golden["embeddings"]
    embeddings = embed_faces(chips)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, expected, atol=HALF_PRECISION)
    assert np.abs(expected[0] - expected[3]).max() > 10 * HALF_PRECISION  # so the tolerance tells faces apart


def test_a_batch_gives_what_its_chips_give_one_by_one():
    chips = torch.from_numpy(golden_chips()).permute(0, 3, 1, 2).float() / 255
    many = chips.repeat(3, 1, 1, 1)  # more than go through the network together
    together = embed_faces(many)
    assert together.shape == (18, EMBEDDING_SIZE)
    for number in (0, 17):
        np.testing.assert_allclose(together[number], embed_faces(many[number : number + 1])[0], atol=1e-4)
    assert embed_faces(chips[:0]).shape == (0, EMBEDDING_SIZE)


def test_a_chip_has_the_eye_corners_and_nose_where_the_network_expects_them(mesh):
    picture = astronaut.picture()
    for number, vertex in enumerate(LANDMARK_VERTICES):
        x, y = mesh[vertex].round().astype(int)
        marked = torch.zeros_like(picture)
        marked[y - 1 : y + 2, x - 1 : x + 2] = 1.0
        chip = face_chip(astronaut.frame_of(marked), mesh)[0]
        weights = chip / chip.sum()
        seen = [float((weights.sum(axis) * torch.arange(CHIP_SIZE)).sum()) for axis in (0, 1)]
        expected = (np.array(CHIP_LANDMARKS[number]) + MARGIN) / (1 + 2 * MARGIN) * CHIP_SIZE - 0.5
        np.testing.assert_allclose(seen, expected, atol=5)  # nobody's face is the average one


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_picture_gives_the_same_chip(mesh, turns):
    picture = astronaut.picture()
    upright = face_chip(astronaut.frame_of(picture), mesh)
    x, y = mesh.T
    points = {1: (y, 511 - x), 2: (511 - x, 511 - y), 3: (511 - y, x)}[turns]
    turned = torch.rot90(picture, turns).contiguous()
    chip = face_chip(astronaut.frame_of(turned), np.column_stack(points))
    torch.testing.assert_close(chip, upright, atol=2e-3, rtol=0)


def test_size_place_and_sample_shape_hardly_move_the_embedding(mesh):
    picture = astronaut.picture()
    frames = {
        "as it is": (picture, mesh, Fraction(1)),
        "twice as large": (astronaut.resized(picture, 1024, 1024), mesh * 2 + 0.5, Fraction(1)),
        "elsewhere": (astronaut.on_canvas(picture, 900, 700, 300, 150), np.add(mesh, (300, 150)), Fraction(1)),
        "narrow samples": (astronaut.resized(picture, 1024, 512), mesh * (2, 1) + (0.5, 0), Fraction(1, 2)),
    }
    chips = [face_chip(astronaut.frame_of(image, aspect), points) for image, points, aspect in frames.values()]
    embeddings = embed_faces(torch.stack(chips))
    assert np.linalg.norm(embeddings[1:] - embeddings[0], axis=1).max() < 0.1  # one person's pictures: some 0.37


def test_a_face_at_the_border_has_a_chip_and_one_outside_has_none(mesh):
    picture = astronaut.picture()
    cut = picture[:, 220:].contiguous()
    chip = face_chip(astronaut.frame_of(cut), mesh - (220, 0))
    assert chip.shape == (3, CHIP_SIZE, CHIP_SIZE)
    assert torch.isfinite(chip).all()
    assert face_chip(astronaut.frame_of(picture), mesh + 9000) is None
    assert face_chip(astronaut.frame_of(picture), np.full((468, 3), np.nan)) is None
    assert face_chip(astronaut.frame_of(picture), np.full((468, 3), 7.0)) is None


def test_drawn_people_in_another_light_and_pose_stay_nearest_to_themselves():
    first, second = [], []
    for seed in (1_000_000, 1_000_001, 1_000_004):
        first.append(_drawn_chip(seed, 11, Pose(100.0, 95.0, 60.0, -0.1)))
        second.append(_drawn_chip(seed, 12, Pose(110.0, 90.0, 48.0, 0.3, 0.05, 0.1)))
    first, second = embed_faces(torch.stack(first)), embed_faces(torch.stack(second))
    distances = np.linalg.norm(first[:, None] - second[None], axis=-1)
    assert (distances.argmin(1) == [0, 1, 2]).all()
    assert (distances.argmin(0) == [0, 1, 2]).all()


def test_the_weights_come_with_their_licence_and_are_small():
    assert (ASSETS / "identity.safetensors").stat().st_size < 12_000_000
    assert "CC0 1.0 Universal" in (ASSETS / "LICENSE.identity").read_text()
    assert "identity.safetensors" in (ASSETS / "NOTICE").read_text()


def _drawn_chip(seed: int, light: int, pose: Pose) -> torch.Tensor:
    frame = np.full((SIZE, SIZE, 3), 110, np.uint8)
    truth = Painter(sample_identity(seed, "real"), sample_light(light)).paint(frame, HeadState(pose))
    picture = torch.from_numpy(frame).float() / 255
    low, high = truth.box[:2], truth.box[2:]
    region = FaceRegion((low + high) / 2, 1.5 * float((high - low).max()), pose.roll)
    return face_chip(astronaut.frame_of(picture), _mesh(picture, region))


@torch.inference_mode()
def _mesh(picture: torch.Tensor, region: FaceRegion) -> np.ndarray:
    for _ in range(3):
        points, presence = face_mesh(astronaut.frame_of(picture), region)
        assert presence > 0.5
        region = FaceRegion.from_mesh(points)
    return points[:, :2]
