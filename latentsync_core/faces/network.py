"""Runs a small convolutional network whose list of layers travels beside its weights, in one safetensors file."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

ASSETS = Path(__file__).resolve().parents[1] / "assets" / "faces"
STRIDE = 32  # pixels of a detector's coarsest cell


class LayerList:
    """A network as a list of layers, made by ``dev/convert_face_models.py`` from MediaPipe's graph of the same name.

    Called with (n, 3, size, size) float32 images it returns its outputs, each (n, rows, width) or (n, channels, h, w),
    in the source's order. A detector takes images of any height and width that `STRIDE` divides, and then has a row of
    outputs for every cell of the larger grid. Computes in float32 on the CPU: a face costs milliseconds there.
    """

    def __init__(self, path: Path):
        from safetensors import safe_open

        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata()
            self._weights = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 (not a dict)
        self.size = int(metadata["size"])
        self._input = int(metadata["input"])
        self._outputs: list[int] = json.loads(metadata["outputs"])
        self._layers: list[dict] = json.loads(metadata["layers"])
        last_use = {source: index for index, layer in enumerate(self._layers) for source in layer["in"]}
        self._done_after = [[s for s in set(layer["in"]) if last_use[s] == i] for i, layer in enumerate(self._layers)]
        for key, weight in self._weights.items():
            if weight.ndim == 4:
                self._weights[key] = weight.contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> list[Tensor]:
        values = {self._input: images.float().contiguous(memory_format=torch.channels_last)}
        for layer, done in zip(self._layers, self._done_after, strict=True):
            sources = [values[source] for source in layer["in"]]
            values[layer["out"]] = _OPERATIONS[layer["op"]](layer, self._weights, *sources)
            for source in done:
                del values[source]
        return [values[output] for output in self._outputs]


@functools.cache
def load_network(name: str) -> LayerList:
    """The carried network `name` ("blazeface_short", "blazeface_full", "mesh468"), read once per process."""
    return LayerList(ASSETS / f"{name}.safetensors")


def _conv(layer: dict, weights: dict[str, Tensor], x: Tensor) -> Tensor:
    weight, bias = weights[f"{layer['out']}.weight"], weights[f"{layer['out']}.bias"]
    stride, groups = layer["stride"], layer["groups"]
    if layer["same"] and stride > 1:  # TensorFlow puts the odd sample of padding behind, torch can't
        x = F.pad(x, (*_same_padding(x.shape[-1], weight.shape[-1], stride),
                      *_same_padding(x.shape[-2], weight.shape[-2], stride)))  # fmt: skip
    padding = weight.shape[-1] // 2 if layer["same"] and stride == 1 else 0
    return F.conv2d(x, weight, bias, stride=stride, padding=padding, groups=groups)


def _same_padding(length: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


def _prelu(layer: dict, weights: dict[str, Tensor], x: Tensor) -> Tensor:
    return F.prelu(x, weights[f"{layer['out']}.weight"])


def _pad_channels(layer: dict, weights: dict[str, Tensor], x: Tensor) -> Tensor:
    return F.pad(x, (0, 0, 0, 0, 0, layer["count"]))


def _resize(layer: dict, weights: dict[str, Tensor], x: Tensor) -> Tensor:
    # every one of these doubles; the layer's own "size" holds for images of `LayerList.size` only
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _rows(layer: dict, weights: dict[str, Tensor], x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, layer["width"])  # NCHW -> N(HW a)C of the a anchors per cell


_OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "conv": _conv,
    "prelu": _prelu,
    "relu": lambda layer, weights, x: F.relu(x),
    "add": lambda layer, weights, a, b: a + b,
    "pool": lambda layer, weights, x: F.max_pool2d(x, 2),
    "pad_channels": _pad_channels,
    "resize": _resize,
    "rows": _rows,
    "concat": lambda layer, weights, *parts: torch.cat(parts, dim=1),
}
