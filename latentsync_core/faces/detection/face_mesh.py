"""The dense face mesh: 468 points of a face in a rotated square around it, as MediaPipe places that square.

The network looks at every square twice, the second time mirrored, and the mean of both counts: it leans to no side,
and an eighth of the points' trembling is gone. On drawn films the points came nearly a tenth nearer to the truth. How
far the two lie apart tells where the network only guesses: on heads turned further than it knows.
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

FACE_WIDTH_VERTICES = (234, 454)  # vertices before either ear: the width of a face


@dataclass(frozen=True, eq=False)
class MeshDetection:
    """What the mesh network sees in one region."""

    points: np.ndarray  # (468, 3) float64: x y in displayed pixels, z in square pixels, smaller being nearer
    presence: float  # 0 to 1: how surely there is a face
    picture: torch.Tensor | None  # (3, 192, 192) in [0, 1]: what it looked at
    flip_error: float  # face widths that its points and those of the mirror image lie apart, on average


def face_mesh(frame: Frame, region: FaceRegion) -> tuple[np.ndarray, float]:
    """Finds the mesh in `region`: (468, 3) float64 points, and how surely there is a face, 0 to 1.

    x and y are displayed pixels, z (depth) geometrically square ones: 0 at the head's middle, smaller being nearer.
    """
    mesh = face_meshes(frame, [region])[0]
    return mesh.points, mesh.presence


def face_meshes(frame: Frame, regions: Sequence[FaceRegion]) -> list[MeshDetection]:
    """The meshes in several regions of a frame, seen in one go; NaN and 0 for a region outside the frame."""
    network = load_network("mesh468")
    pictures = [crop_region(frame, region, network.size) for region in regions]
    meshes = [MeshDetection(np.full((468, 3), np.nan), 0.0, None, np.nan) for _ in regions]
    there = [number for number, picture in enumerate(pictures) if picture is not None]
    if not there:
        return meshes
    seen = torch.stack([pictures[number] for number in there])
    points, presence = network(torch.cat([seen, seen.flip(-1)]))
    points, mirrored = points.reshape(2, -1, 468, 3).numpy().astype(np.float64) / network.size
    mirrored = mirrored[:, mirror_indices()]
    mirrored[..., 0] = 1 - mirrored[..., 0]
    means = (points + mirrored) / 2
    apart = np.linalg.norm((points - mirrored)[..., :2], axis=-1).mean(-1)
    flip_errors = apart / np.linalg.norm(means[:, FACE_WIDTH_VERTICES[0]] - means[:, FACE_WIDTH_VERTICES[1]], axis=-1)
    presence = presence.reshape(2, -1).sigmoid().mean(0).tolist()
    for number, places, sure, flip_error in zip(there, means, presence, flip_errors.tolist(), strict=True):
        region = regions[number]
        offsets = (places[:, :2] - 0.5) * region.side
        flat = (region.centre + offsets @ rotation(region.angle).T) / (frame.sample_aspect, 1.0)
        meshes[number] = MeshDetection(
            np.column_stack([flat, places[:, 2] * region.side]), sure, pictures[number], flip_error
        )
    return meshes


@functools.cache
def mirror_indices() -> np.ndarray:
    """(468,) which point each is in a mirror; made by ``dev/mirror_mesh.py``."""
    return np.array(json.loads((ASSETS / "mesh468_mirror.json").read_text("utf-8")))
