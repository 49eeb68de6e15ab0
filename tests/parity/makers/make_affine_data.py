"""Cuts data/affine.npz, data/affine_frame.png and data/mask.npz from the full reference data.

    python tests/parity/makers/make_affine_data.py

Kept: every transform of the landmark sequence; of the picture cases every sixteenth row of the crops, and at 256 the
pasted picture with its restored box. The picture is a NASA portrait, public domain.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.shared_reference import SHARED

DATA = Path(__file__).parents[1] / "data"
CASES = ("p640x480.r256", "p640x480.r512", "p640x480.edge.r256", "p640x480.tiny.r256")
ROW_STEP = 16


def main() -> None:
    source = SHARED / "reference" / "affine"
    facts = json.loads((source / "affine.json").read_text())["images"]
    kept = {f"sequence.{key}": value for key, value in np.load(source / "sequence.npz").items()}
    for case in CASES:
        numbers = np.load(source / f"{case}.npz")
        kept[f"{case}.M"] = numbers["M"]
        kept[f"{case}.landmarks"] = numbers["landmarks_rounded"]
        kept[f"{case}.crop"] = _picture(source / f"{case}.crop.png")[::ROW_STEP]
        kept[f"{case}.crop_lanczos"] = _picture(source / f"{case}.crop_lanczos.png")[::ROW_STEP]
        if facts[case]["resolution"] == 256:
            kept[f"{case}.box"] = numbers["box_yxyx"]
            kept[f"{case}.patched"] = _picture(source / f"{case}.patched.png")
            kept[f"{case}.restored_box"] = _picture(source / f"{case}.restored_box.png")
            kept[f"{case}.soft_mask_box"] = numbers["soft_mask_box"].astype(np.float16)
    np.savez_compressed(DATA / "affine.npz", **kept)
    Image.open(source / "p640x480.png").convert("RGB").save(DATA / "affine_frame.png", optimize=True)

    masks = {}
    for resolution in (128, 256, 512):
        mask = np.load(SHARED / "reference" / "mask" / f"mask_{resolution}.npy")
        masks[f"mask_{resolution}"] = np.round(mask * 255).astype(np.uint8)
    np.savez_compressed(DATA / "mask.npz", **masks)


def _picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


if __name__ == "__main__":
    main()
