"""Makes data/face_models.npz: what a tflite runtime computes with the face networks on the astronaut.

    pip install ai-edge-litert numpy pillow
    python tests/parity/makers/make_face_model_data.py FACE_DETECTION_PACKAGE FACE_MESH_PACKAGE

The packages are those of dev/convert_face_models.py. Inputs are cut from tests/data/astronaut.png by whole-block
averages (`network_inputs`), so that a test makes the same ones; of the detectors' outputs every eighth row is kept.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

TESTS = Path(__file__).resolve().parents[2]
MESH_BYTES = slice(2495952, 3757224)  # of face_mesh_solution_packed_assets.data
KEPT = slice(None, None, 8)  # rows of the detectors' outputs


def network_inputs() -> dict[str, np.ndarray]:
    """(size, size, 3) float32 inputs by network: in [-1, 1] for the detectors, in [0, 1] for the mesh."""
    picture = np.asarray(Image.open(TESTS / "data" / "astronaut.png").convert("RGB")).astype(np.float32) / 255
    short = picture.reshape(128, 4, 128, 4, 3).mean((1, 3), dtype=np.float32)
    full = picture[:384, 32:416].reshape(192, 2, 192, 2, 3).mean((1, 3), dtype=np.float32)
    return {"blazeface_short": short * 2 - 1, "blazeface_full": full * 2 - 1, "mesh468": picture[20:212, 130:322]}


def main() -> None:
    from ai_edge_litert.interpreter import Interpreter

    detection, mesh = (Path(argument) for argument in sys.argv[1:3])
    models = {
        "blazeface_short": (detection / "face_detection_short_range.tflite").read_bytes(),
        "blazeface_full": (detection / "face_detection_full_range.tflite").read_bytes(),
        "mesh468": (mesh / "face_mesh_solution_packed_assets.data").read_bytes()[MESH_BYTES],
    }
    outputs = {}
    for name, picture in network_inputs().items():
        interpreter = Interpreter(model_content=models[name])
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None])
        interpreter.invoke()
        for number, detail in enumerate(interpreter.get_output_details()):
            output = interpreter.get_tensor(detail["index"])
            outputs[f"{name}.{number}"] = output[:, KEPT] if name != "mesh468" else output
    np.savez_compressed(TESTS / "parity" / "data" / "face_models.npz", **outputs)


if __name__ == "__main__":
    main()
