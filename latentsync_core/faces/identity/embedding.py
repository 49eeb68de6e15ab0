"""Face embeddings: an aligned chip around a face, and the 128 numbers that dlib's network computes from it."""

from __future__ import annotations

import functools

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...video.frame import Frame
from ..detection.layer_list import ASSETS
from ..detection.region import FaceRegion, crop_region

CHIP_SIZE = 150  # pixels, the side of the network's input
EMBEDDING_SIZE = 128
DOWNSAMPLING_BLOCKS = (3, 7, 10, 13)  # of the 14 residual blocks, those that halve the resolution and may add channels
LEVEL_SCALE = 256.0  # what the network divides levels of 255 by
BATCH = 16  # chips per forward pass

# The eye corners and the nose's base in dlib's chips, as fractions of the face without its margin, and the mesh
# vertices there. The eye on the picture's left comes first.
CHIP_LANDMARKS = ((0.12058, 0.21373), (0.33409, 0.22906), (0.64606, 0.22897), (0.85957, 0.21350), (0.49011, 0.62780))
LANDMARK_VERTICES = (33, 133, 362, 263, 2)
MARGIN = 0.25  # on every side, relative to the face's size
MIN_CHIP_SIDE = 1e-3  # pixels of the frame


def face_chip(frame: Frame, mesh: np.ndarray) -> Tensor | None:
    """The network's input: (3, CHIP_SIZE, CHIP_SIZE) float32 RGB in [0, 1]; None if it lies outside the frame.

    Aligned by the eye corners and the nose's base, the frame's edge repeated beyond it. `mesh` is
    (468, 2 or more) in displayed pixels.
    """
    points = np.asarray(mesh, np.float64)[list(LANDMARK_VERTICES), :2] * (frame.sample_aspect, 1.0)
    region = _chip_region(points)
    return None if region is None else crop_region(frame, region, CHIP_SIZE)


@torch.inference_mode()
def embed_faces(chips: Tensor) -> np.ndarray:
    """Chips (n, 3, CHIP_SIZE, CHIP_SIZE) in [0, 1] → (n, 128) float32, as in dlib not of unit length.

    Distances are Euclidean. The network was trained so that pictures of one person lie within a ball of radius 0.6
    and other people outside it (dlib-models, dlib_face_recognition_resnet_model_v1). Measured with
    benchmarks/faces/identity.py: photographs of one person lie 0.38 ± 0.07 apart, of different ones 0.89 ± 0.09; with
    one of the two faces only 24 pixels wide 0.49 and 0.87; look-alikes 0.6. Drawn faces are outside its training data:
    one person's lie 0.25 apart, different ones' 0.46 (anime 0.37), which overlap. It was trained on celebrities
    (FaceScrub, VGG Face): expect more errors with children and with groups of people who are rare in those sets.
    """
    weights, means = _network()
    parts = [_embed((part * 255 - means) / LEVEL_SCALE, weights) for part in chips.float().split(BATCH)]
    return torch.cat(parts).numpy() if parts else np.zeros((0, EMBEDDING_SIZE), np.float32)


def _chip_region(points: np.ndarray) -> FaceRegion | None:
    """The chip's square: a least-squares fit of CHIP_LANDMARKS to (5, 2) points in square pixels.

    None if the points coincide or aren't finite. With complex numbers a similarity is a factor and an offset.
    """
    places = (np.array(CHIP_LANDMARKS) + MARGIN) / (1 + 2 * MARGIN) - 0.5  # from the chip's middle, in its sides
    first, second = places @ (1, 1j), points @ (1, 1j)
    normal = first - first.mean()
    factor = (normal.conj() * (second - second.mean())).sum() / (np.abs(normal) ** 2).sum()
    if not np.abs(factor) > MIN_CHIP_SIDE:  # NaN too
        return None
    centre = second.mean() - factor * first.mean()
    return FaceRegion(np.array([centre.real, centre.imag]), float(np.abs(factor)), float(np.angle(factor)))


@functools.cache
def _network() -> tuple[dict[str, Tensor], Tensor]:
    """The bundled weights as float32, and the mean colour (3, 1, 1) in levels of 255; read once per process."""
    from safetensors import safe_open

    with safe_open(str(ASSETS / "identity.safetensors"), framework="pt") as file:
        means = [float(mean) for mean in file.metadata()["means"].split(",")]
        weights = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 (not a dict)
    for key, weight in weights.items():
        if weight.ndim == 4:
            weights[key] = weight.contiguous(memory_format=torch.channels_last)
    return weights, torch.tensor(means).view(3, 1, 1)


def _embed(x: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """dlib's ResNet with 29 convolutions; the affine layer after each is folded into its weights."""
    x = _convolve(x.contiguous(memory_format=torch.channels_last), "stem", weights, stride=2).relu_()
    x = F.max_pool2d(x, 3, 2)
    for block in range(14):
        halving = block in DOWNSAMPLING_BLOCKS
        y = _convolve(x, f"{block}.0", weights, stride=2 if halving else 1).relu_()
        y = _convolve(y, f"{block}.1", weights)
        x = _add_padded(y, F.avg_pool2d(x, 2) if halving else x).relu_()
    return F.linear(x.mean((2, 3)), weights["out.weight"])


def _convolve(x: Tensor, name: str, weights: dict[str, Tensor], stride: int = 1) -> Tensor:
    weight = weights[f"{name}.weight"]
    return F.conv2d(x, weight, weights[f"{name}.bias"], stride, padding=weight.shape[-1] // 2 if stride == 1 else 0)


def _add_padded(first: Tensor, second: Tensor) -> Tensor:
    """Sum of two (n, c, h, w) of different sizes, the smaller one zero-padded at the end: dlib's add_prev."""
    sizes = [max(pair) for pair in zip(first.shape[1:], second.shape[1:], strict=True)]
    return _zero_padded(first, sizes) + _zero_padded(second, sizes)


def _zero_padded(x: Tensor, sizes: list[int]) -> Tensor:
    missing = [size - has for size, has in zip(sizes, x.shape[1:], strict=True)]
    return F.pad(x, (0, missing[2], 0, missing[1], 0, missing[0])) if any(missing) else x
