"""The dense face mesh: 468 points of a face in a rotated square around it, which is placed as MediaPipe does.

The network sees every square twice, the second time mirrored, and the two results are averaged: that removes its bias
to one side and an eighth of the points' jitter. In animated films it reduced the points' error by nearly a tenth. The
distance of the two results, the flip error, is large where the mesh is unreliable: on heads turned beyond its range.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...video.frame import Frame
from .layer_list import ASSETS, load_network
from .region import FaceRegion, crop_region, rotation

FACE_WIDTH_VERTICES = (234, 454)  # vertices in front of the ears: their distance is the face's width


@dataclass(frozen=True, eq=False)
class MeshDetection:
    """The mesh network's result for one region."""

    points: np.ndarray  # (468, 3) float64: x y in displayed pixels, z in square pixels, smaller being nearer
    presence: float  # 0 to 1: confidence that there is a face
    picture: torch.Tensor  # (3, 192, 192) in [0, 1]: the network's input; (3, 0, 0) outside of the frame
    flip_error: float  # face widths: mean distance between its points and those of the mirror image


def face_mesh(frame: Frame, region: FaceRegion) -> tuple[np.ndarray, float]:
    """The mesh in `region`: (468, 3) float64 points, and the confidence that there is a face, 0 to 1.

    x and y are in displayed pixels, z (depth) in geometrically square ones: 0 at the head's centre, smaller is nearer.
    """
    mesh = face_meshes(frame, [region])[0]
    return mesh.points, mesh.presence


def face_meshes(frame: Frame, regions: Sequence[FaceRegion]) -> list[MeshDetection]:
    """The meshes in several regions of a frame, in one batch; NaN points and presence 0 outside of it."""
    network = load_network("mesh468")
    pictures = [crop_region(frame, region, network.size) for region in regions]
    meshes = [MeshDetection(np.full((468, 3), np.nan), 0.0, torch.empty(3, 0, 0), np.nan) for _ in regions]
    inside = {number: picture for number, picture in enumerate(pictures) if picture is not None}
    if not inside:
        return meshes
    batch = torch.stack(list(inside.values()))
    points, presence = network(torch.cat([batch, batch.flip(-1)]))
    points, mirrored = points.reshape(2, -1, 468, 3).numpy().astype(np.float64) / network.size
    mirrored = mirrored[:, mirror_indices()]
    mirrored[..., 0] = 1 - mirrored[..., 0]
    means = (points + mirrored) / 2
    distances = np.linalg.norm((points - mirrored)[..., :2], axis=-1).mean(-1)
    flip_errors = distances / np.linalg.norm(
        means[:, FACE_WIDTH_VERTICES[0]] - means[:, FACE_WIDTH_VERTICES[1]], axis=-1
    )
    presence = presence.reshape(2, -1).sigmoid().mean(0).tolist()
    for number, places, confidence, flip_error in zip(inside, means, presence, flip_errors.tolist(), strict=True):
        region = regions[number]
        offsets = (places[:, :2] - 0.5) * region.side
        flat = (region.centre + offsets @ rotation(region.angle).T) / (frame.sample_aspect, 1.0)
        meshes[number] = MeshDetection(
            np.column_stack([flat, places[:, 2] * region.side]), confidence, inside[number], flip_error
        )
    return meshes


@functools.cache
def mirror_indices() -> np.ndarray:
    """(468,) the index of each vertex's mirror image; made by ``dev/mirror_mesh.py``."""
    return np.array(json.loads((ASSETS / "mesh468_mirror.json").read_text("utf-8")))
