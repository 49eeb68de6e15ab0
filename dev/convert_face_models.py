"""Turns MediaPipe's face networks (tflite) into the safetensors files that `latentsync_core/assets/faces` carries.

    pip install tflite numpy safetensors
    python dev/convert_face_models.py FACE_DETECTION_PACKAGE FACE_MESH_PACKAGE latentsync_core/assets/faces

The two packages are the unpacked npm packages `@mediapipe/face_detection` 0.4.1657300184 (short and full range) and
`@mediapipe/face_mesh` 0.4.1657299874 (whose packed assets hold the mesh network), both Apache-2.0. Weights keep their
stored precision (half) and go from TensorFlow's layout to torch's; the graph becomes a list of layers, JSON in the
file's metadata under "layers", which `latentsync_core/faces/detection/layer_list.py` runs.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tflite
from safetensors.numpy import save_file

MESH_BYTES = slice(2495952, 3757224)  # of face_mesh_solution_packed_assets.data
PAD_SAME = 0  # tflite's enum; 1 is "valid"
OPERATORS = {value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}


def convert(model_bytes: bytes, origin: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads one tflite model; returns its tensors in torch's layout and the metadata with its list of layers."""
    model = tflite.Model.GetRootAs(model_bytes)
    graph = model.Subgraphs(0)
    constants = _constants(model, graph)
    tensors: dict[str, np.ndarray] = {}
    layers: list[dict] = []
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        name = OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        inputs, output = operator.InputsAsNumpy().tolist(), int(operator.Outputs(0))
        if name == "DEQUANTIZE":  # half weights made single: the runtime does it on loading
            constants[output] = constants[inputs[0]]
            continue
        layer = {"op": name.lower(), "in": [i for i in inputs if i not in constants], "out": output}
        if name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            kind = tflite.Conv2DOptions if name == "CONV_2D" else tflite.DepthwiseConv2DOptions
            options = _options(operator, kind)
            kernel = constants[inputs[1]]
            # conv: (out, kh, kw, in) → (out, in, kh, kw); depthwise: (1, kh, kw, out) → (out, 1, kh, kw)
            kernel = kernel.transpose(0, 3, 1, 2) if name == "CONV_2D" else kernel.transpose(3, 0, 1, 2)
            tensors[f"{output}.weight"] = np.ascontiguousarray(kernel)
            tensors[f"{output}.bias"] = constants[inputs[2]].copy()
            layer |= {"stride": options.StrideH(), "same": options.Padding() == PAD_SAME}
            layer |= {"groups": kernel.shape[0] if name == "DEPTHWISE_CONV_2D" else 1, "op": "conv"}
            _reject_fused_activation(options)
        elif name == "PRELU":
            tensors[f"{output}.weight"] = constants[inputs[1]].reshape(-1).copy()
        elif name == "ADD":
            _reject_fused_activation(_options(operator, tflite.AddOptions))
        elif name == "MAX_POOL_2D":
            options = _options(operator, tflite.Pool2DOptions)
            if (options.FilterHeight(), options.FilterWidth(), options.StrideH()) != (2, 2, 2):
                raise SystemExit(f"{origin}: a pooling other than 2x2 by 2")
            layer |= {"op": "pool"}
        elif name == "PAD":
            pads = constants[inputs[1]]
            if pads[:3].any() or pads[3, 0]:
                raise SystemExit(f"{origin}: a padding of other than channels: {pads.tolist()}")
            layer |= {"op": "pad_channels", "count": int(pads[3, 1])}
        elif name == "RESIZE_BILINEAR":
            options = _options(operator, tflite.ResizeBilinearOptions)
            if options.AlignCorners() or not options.HalfPixelCenters():
                raise SystemExit(f"{origin}: a resize with other than half-pixel centres")
            layer |= {"op": "resize", "size": constants[inputs[1]].tolist()}
        elif name == "RESHAPE":
            layer |= {"op": "rows", "width": int(graph.Tensors(output).ShapeAsNumpy()[-1])}
        elif name == "CONCATENATION":
            layer |= {"op": "concat"}
        elif name != "RELU":
            raise SystemExit(f"{origin}: operator {name} is not known")
        layers.append(layer)
    metadata = {
        "layers": json.dumps(layers, separators=(",", ":")),
        "input": str(int(graph.Inputs(0))),
        "size": str(int(graph.Tensors(graph.Inputs(0)).ShapeAsNumpy()[1])),
        "outputs": json.dumps(graph.OutputsAsNumpy().tolist()),
        "source": origin,
        "license": "Apache-2.0",
    }
    return tensors, metadata


def _constants(model: tflite.Model, graph: tflite.SubGraph) -> dict[int, np.ndarray]:
    dtypes = {tflite.TensorType.FLOAT32: "<f4", tflite.TensorType.FLOAT16: "<f2", tflite.TensorType.INT32: "<i4"}
    constants = {}
    for index in range(graph.TensorsLength()):
        tensor = graph.Tensors(index)
        buffer = model.Buffers(tensor.Buffer())
        if buffer.DataLength():
            data = np.frombuffer(buffer.DataAsNumpy().tobytes(), dtypes[tensor.Type()])
            constants[index] = data.reshape(tensor.ShapeAsNumpy() if tensor.ShapeLength() else ())
    return constants


def _options(operator: tflite.Operator, kind: type):
    options = kind()
    table = operator.BuiltinOptions()
    options.Init(table.Bytes, table.Pos)
    return options


def _reject_fused_activation(options) -> None:
    if options.FusedActivationFunction():
        raise SystemExit("an activation fused into a layer is not known")


def main() -> None:
    detection, mesh, target = (Path(argument) for argument in sys.argv[1:4])
    detector_origin = "npm @mediapipe/face_detection 0.4.1657300184, "
    sources = {
        "blazeface_short": (
            (detection / "face_detection_short_range.tflite").read_bytes(),
            detector_origin + "face_detection_short_range.tflite",
        ),
        "blazeface_full": (
            (detection / "face_detection_full_range.tflite").read_bytes(),
            detector_origin + "face_detection_full_range.tflite",
        ),
        "mesh468": (
            (mesh / "face_mesh_solution_packed_assets.data").read_bytes()[MESH_BYTES],
            "npm @mediapipe/face_mesh 0.4.1657299874, face_landmark.tflite of the packed assets",
        ),
    }
    for name, (model_bytes, origin) in sources.items():
        tensors, metadata = convert(model_bytes, origin)
        save_file(tensors, target / f"{name}.safetensors", metadata=metadata)


if __name__ == "__main__":
    main()
