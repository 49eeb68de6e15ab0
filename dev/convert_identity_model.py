"""Turns dlib's face recognition network into the safetensors file that `latentsync_core/assets/faces` carries.

    pip install numpy safetensors
    python dev/convert_identity_model.py dlib_face_recognition_resnet_model_v1.dat latentsync_core/assets/faces

The file is in the package face_recognition_models 0.3.0, its SHA-256 below. What follows of dlib's own way of writing
networks is all that this file needs: a whole number is a byte (how many bytes follow, plus 128 if negative) and those
bytes, lowest first; a float is two of them, mantissa and exponent of 2; a tensor is its format's version, four sizes
and raw float32; a layer begins with its kind as a string, and layers follow one another from the input to the output.
Every affine layer is folded into the convolution before it; weights become half precision.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
SOURCE = "PyPI face_recognition_models 0.3.0, dlib_face_recognition_resnet_model_v1.dat, by Davis E. King"
WIDTHS = (32,) * 3 + (64,) * 4 + (128,) * 3 + (256,) * 4  # channels of the residual blocks
DOWNSAMPLING_BLOCKS = (3, 7, 10, 13)  # blocks that halve the picture
EMBEDDING_SIZE = 128
SIGN_BIT = 0x80


class Reader:
    """A place in a file that dlib wrote."""

    def __init__(self, data: bytes):
        self._data = data
        self._position = 0

    def read_int(self) -> int:
        head = self._take(1)[0]
        size = head & 0x0F
        if not 1 <= size <= 8 or head & 0x70:
            raise SystemExit(f"no whole number at byte {self._position - 1}: {head}")
        value = int.from_bytes(self._take(size), "little")
        return -value if head & SIGN_BIT else value

    def read_float(self) -> float:
        mantissa, exponent = self.read_int(), self.read_int()
        return mantissa * 2.0**exponent

    def tensor(self) -> np.ndarray:
        if (version := self.read_int()) != 2:
            raise SystemExit(f"tensors of version {version} are not known")
        sizes = [self.read_int() for _ in range(4)]
        return np.frombuffer(self._take(4 * int(np.prod(sizes))), "<f4").reshape(sizes)

    def seek_layer(self, kind: str) -> None:
        """Goes on behind the next layer's name of this kind."""
        name = bytes([1, len(kind)]) + kind.encode()
        position = self._data.find(name, self._position)
        if position < 0:
            raise SystemExit(f"no further layer {kind} behind byte {self._position}")
        self._position = position + len(name)

    def _take(self, count: int) -> bytes:
        part = self._data[self._position : self._position + count]
        if len(part) < count:
            raise SystemExit("the file ends too early")
        self._position += count
        return part


def convert(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The network's tensors (half precision) and metadata; "stem", "<block>.0", "<block>.1" each .weight and .bias."""
    reader = Reader(data)
    reader.seek_layer("input_rgb_image_sized")
    means = [reader.read_float() for _ in range(3)]
    size = (reader.read_int(), reader.read_int())
    tensors: dict[str, np.ndarray] = {}
    _add_convolution(tensors, "stem", reader, channels=3, filters=32, kernel=7, stride=2)
    channels = 32
    for block, width in enumerate(WIDTHS):
        stride = 2 if block in DOWNSAMPLING_BLOCKS else 1
        _add_convolution(tensors, f"{block}.0", reader, channels=channels, filters=width, kernel=3, stride=stride)
        _add_convolution(tensors, f"{block}.1", reader, channels=width, filters=width, kernel=3, stride=1)
        channels = width
    reader.seek_layer("fc_2")
    shape = (reader.read_int(), reader.read_int())
    if shape != (EMBEDDING_SIZE, channels):
        raise SystemExit(f"the last layer is {shape}")
    # (in, out) → torch's.
    tensors["out.weight"] = np.ascontiguousarray(reader.tensor().reshape(channels, EMBEDDING_SIZE).T)
    metadata = {
        "size": str(size[0]),
        "means": ",".join(f"{mean:.4f}" for mean in means),  # levels of 255: red, green, blue
        "source": SOURCE,
        "license": "CC0-1.0",
    }
    return {key: _half(key, tensor) for key, tensor in tensors.items()}, metadata


def _add_convolution(
    tensors: dict[str, np.ndarray], name: str, reader: Reader, *, channels: int, filters: int, kernel: int, stride: int
) -> None:
    """Reads a convolution and the affine layer behind it, as one convolution with a bias."""
    reader.seek_layer("con_4")
    numbers = reader.tensor().ravel()
    facts = [reader.read_int() for _ in range(7)]
    padding = kernel // 2 if stride == 1 else 0
    if facts != [filters, kernel, kernel, stride, stride, padding, padding]:
        raise SystemExit(f"convolution {name} is another one than expected: {facts}")
    weight, bias = np.split(numbers, [filters * channels * kernel * kernel])
    reader.seek_layer("affine_")
    gain, offset = np.split(reader.tensor().ravel(), 2)
    if not len(bias) == len(gain) == len(offset) == filters:
        raise SystemExit(f"convolution {name} has other sizes than expected")
    tensors[f"{name}.weight"] = weight.reshape(filters, channels, kernel, kernel) * gain[:, None, None, None]
    tensors[f"{name}.bias"] = gain * bias + offset


def _half(name: str, tensor: np.ndarray) -> np.ndarray:
    if not np.abs(tensor).max() < np.finfo(np.float16).max:
        raise SystemExit(f"{name} does not fit into half precision")
    return tensor.astype(np.float16)


def main() -> None:
    source, target = (Path(argument) for argument in sys.argv[1:3])
    data = source.read_bytes()
    if (digest := hashlib.sha256(data).hexdigest()) != SHA256:
        raise SystemExit(f"{source} has the SHA-256 {digest}, not {SHA256}")
    tensors, metadata = convert(data)
    save_file(tensors, target / "identity.safetensors", metadata=metadata)


if __name__ == "__main__":
    main()
