"""Runs a small convolutional network whose layer list is stored with its weights in one safetensors file."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

ASSETS = Path(__file__).resolve().parents[2] / "assets" / "faces"
STRIDE = 32  # pixels: a detector's coarsest cell, which divides its input's sides
EARLY_LAYER_STRIDE = 2  # input pixels per value, up to which layers run in bands
BAND_ROWS = 96  # input rows per band, so that the early layers' values stay in the processor's cache


class LayerList:
    """A network as a list of layers, made by ``dev/convert_face_models.py`` from MediaPipe's graph of the same name.

    Called with (n, 3, size, size) float32 images it returns its outputs, each (n, rows, width) or (n, channels, h, w),
    in the source's order. A detector takes images of any height and width that `STRIDE` divides and returns a row of
    outputs for every anchor of the grid. Computes in float32 on the CPU, milliseconds per face.
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
        self._last_reads = [[s for s in set(layer["in"]) if last_use[s] == i] for i, layer in enumerate(self._layers)]
        for layer in self._layers:
            key = f"{layer['out']}.weight"
            if layer["op"] == "conv" and layer["same"] and layer["stride"] == 2 and self._weights[key].shape[-1] > 1:
                self._weights[key] = _same_padding_kernel(self._weights[key])
        for key, weight in self._weights.items():
            if weight.ndim == 4:
                self._weights[key] = weight.contiguous(memory_format=torch.channels_last)
        strides, receptive_radii = self._strides_and_receptive_radii()
        self._early_count = 1 + max(
            i for i, layer in enumerate(self._layers) if strides[layer["in"][0]] <= EARLY_LAYER_STRIDE
        )
        boundary = [
            layer["out"]
            for layer in self._layers[: self._early_count]
            if last_use.get(layer["out"], 0) >= self._early_count
        ]
        self._boundary_strides = {value: strides[value] for value in boundary}
        self._halo_rows = (
            -(-max(receptive_radii[value] for value in boundary) // STRIDE) * STRIDE
        )  # input rows above and below a band that its values depend on

    @torch.no_grad()
    def __call__(self, images: Tensor) -> list[Tensor]:
        images = images.float().contiguous(memory_format=torch.channels_last)
        if images.shape[-2] < 4 * BAND_ROWS:
            values = self._run({self._input: images}, 0)
        else:
            values = self._run(self._run_in_bands(images), self._early_count)
        return [values[output] for output in self._outputs]

    def _run_in_bands(self, images: Tensor) -> dict[int, Tensor]:
        """The early layers' outputs that later layers read, computed band by band: bit-identical and faster.

        The values of a whole large picture would leave the processor's cache between any two of these layers.
        """
        height = images.shape[-2]
        parts: dict[int, list[Tensor]] = {value: [] for value in self._boundary_strides}
        for top in range(0, height, BAND_ROWS):
            above, bottom = max(top - self._halo_rows, 0), min(top + BAND_ROWS, height)
            band = images[:, :, above : bottom + self._halo_rows].contiguous(memory_format=torch.channels_last)
            values = self._run({self._input: band}, 0, self._early_count)
            for value, stride in self._boundary_strides.items():
                parts[value].append(values[value][:, :, (top - above) // stride : (bottom - above) // stride])
        return {value: torch.cat(bands, dim=2) for value, bands in parts.items()}

    def _run(self, values: dict[int, Tensor], first: int, stop: int | None = None) -> dict[int, Tensor]:
        """Runs the layers first..stop-1 on `values`, freeing each value after its last use."""
        for layer, done in zip(self._layers[first:stop], self._last_reads[first:stop], strict=True):
            sources = [values[source] for source in layer["in"]]
            operation = _OPERATIONS[layer["op"]]
            if layer["in"][0] in done and layer["in"][0] != self._input:
                operation = _IN_PLACE.get(layer["op"], operation)
            values[layer["out"]] = operation(layer, self._weights, *sources)
            for source in done:
                del values[source]
        return values

    def _strides_and_receptive_radii(self) -> tuple[dict[int, int], dict[int, int]]:
        """Each value's stride and receptive radius in input pixels."""
        strides, receptive_radii = {self._input: 1}, {self._input: 0}
        for layer in self._layers:
            stride, receptive_radius = strides[layer["in"][0]], max(receptive_radii[source] for source in layer["in"])
            if layer["op"] == "conv":
                receptive_radius += stride * (self._weights[f"{layer['out']}.weight"].shape[-1] - 1)
                stride *= layer["stride"]
            elif layer["op"] == "pool":
                receptive_radius, stride = receptive_radius + stride, 2 * stride
            elif layer["op"] == "resize":
                receptive_radius, stride = receptive_radius + stride, stride // 2
            strides[layer["out"]], receptive_radii[layer["out"]] = stride, receptive_radius
        return strides, receptive_radii


@functools.cache
def load_network(name: str) -> LayerList:
    """The bundled network `name` ("blazeface_short", "blazeface_full", "mesh468"), read once per process."""
    return LayerList(ASSETS / f"{name}.safetensors")


def _conv(layer: dict, weights: dict[str, Tensor], x: Tensor) -> Tensor:
    weight, bias = weights[f"{layer['out']}.weight"], weights[f"{layer['out']}.bias"]
    padding = (weight.shape[-1] - 1) // 2 if layer["same"] else 0
    return F.conv2d(x, weight, bias, stride=layer["stride"], padding=padding, groups=layer["groups"])


def _same_padding_kernel(weight: Tensor) -> Tensor:
    """The kernel for torch of a TensorFlow convolution with stride 2 and "same" padding.

    TensorFlow puts the odd row of padding after the picture, torch pads both sides alike. Zeros in front of a kernel of
    odd size have the same effect, without a padded copy of the picture.
    """
    return F.pad(weight, (1, 0, 1, 0)) if weight.shape[-1] % 2 else weight


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
# The same, overwriting the first source where no later layer reads it: allocating memory takes half of a large layer's
# time.
_IN_PLACE: dict[str, Callable[..., Tensor]] = {
    "relu": lambda layer, weights, x: x.relu_(),
    "add": lambda layer, weights, a, b: a.add_(b),
}
