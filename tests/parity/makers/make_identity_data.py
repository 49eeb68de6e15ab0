"""Makes data/identity.npz: what dlib computes with its face recognition network on a few chips.

    pip install dlib-bin numpy pillow torch
    python -m tests.parity.makers.make_identity_data dlib_face_recognition_resnet_model_v1.dat

The file is that of dev/convert_identity_model.py. Chips (`golden_chips`) are made of whole levels, so that a test makes
the same ones: three of the astronaut, one of a drawn person, noise, and a flat grey.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from training.synthetic.head.identity import sample_identity
from training.synthetic.head.light import sample_light
from training.synthetic.head.painter import HeadState, Painter
from training.synthetic.head.surface import Pose

TESTS = Path(__file__).resolve().parents[2]
SIZE = 150


def golden_chips() -> np.ndarray:
    """(n, 150, 150, 3) uint8 RGB."""
    picture = np.asarray(Image.open(TESTS / "data" / "astronaut.png").convert("RGB"))
    drawn = np.full((SIZE, SIZE, 3), 90, np.uint8)
    Painter(sample_identity(1_000_003, "real"), sample_light(3)).paint(drawn, HeadState(Pose(75.0, 70.0, 62.0, 0.2)))
    return np.stack(
        [
            picture[40:190, 150:300],
            picture[40:190, 299:149:-1],
            picture[20:320:2, 80:380:2],
            drawn,
            np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8),
            np.full((SIZE, SIZE, 3), 90, np.uint8),
        ]
    )


def main() -> None:
    import dlib

    model = dlib.face_recognition_model_v1(sys.argv[1])
    embeddings = [np.array(model.compute_face_descriptor(chip)) for chip in golden_chips()]
    np.savez_compressed(TESTS / "parity" / "data" / "identity.npz", embeddings=np.array(embeddings, np.float32))


if __name__ == "__main__":
    main()
