"""Cuts parity/data/whisper.npz from the shared reference folder: ``python -m tests.parity.makers.make_whisper_data``.

Kept of the synthetic wave w3 (3 s): its samples, log-mel, features, the encoder's normal output every tenth row, and
for each frame rate the whole windows and every window's sums. Of w30 and w37 only what follows from their length:
the checksum of all window indices. Of every recording length in the reference's table the counts.
"""

from __future__ import annotations

import json
import wave
import zlib
from pathlib import Path

import numpy as np

from tests.shared_reference import SHARED

TARGET = Path(__file__).parents[1] / "data" / "whisper.npz"
SOURCE = SHARED / "reference" / "whisper_tiny_cfg"
RATES = ("25", "24", "23.976", "30")


def main() -> None:
    facts = json.loads((SOURCE / "whisper_tiny_cfg.json").read_text())
    w3 = np.load(SOURCE / "w3.npz")
    with wave.open(str(SOURCE / "w3.wav")) as file:
        kept = {"samples": np.frombuffer(file.readframes(file.getnframes()), "<i2")}
    kept |= {"mel": w3["mel"], "features": w3["audio2feat"], "ln_post": w3["encoder_ln_post_seg0"][0, ::10]}
    for rate in RATES:
        kept[f"fps{rate}.full_ids"] = w3[f"fps{rate}.full_ids"]
        kept[f"fps{rate}.full"] = w3[f"fps{rate}.full"]
        kept[f"fps{rate}.checksums"] = w3[f"fps{rate}.checksums"]
    indices = []
    for name in ("w3", "w30", "w37"):
        arrays = np.load(SOURCE / f"{name}.npz")
        rows = facts["waves"][name]["feature_shape"][0]
        for rate in RATES:
            index = arrays[f"fps{rate}.indices"].astype("<i4")
            indices.append((rows, float(rate), len(index), zlib.crc32(index.tobytes())))
    kept["indices"] = np.array(indices, dtype=np.float64)  # rows, fps, windows, CRC-32 of the (windows, 10) int32 rows
    # samples, mel frames, rows, windows at 25, 24, 23.976 and 30 fps; -1 where the reference raises
    kept["lengths"] = np.array([_length_row(entry) for entry in facts["length_table"]], dtype=np.int64)
    np.savez_compressed(TARGET, **kept)
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


def _length_row(entry: dict) -> list[int]:
    columns = ("mel_frames", "feature_rows", *(f"chunks_fps{rate}" for rate in RATES))
    values = [entry.get(column, -1) for column in columns]
    return [entry["n_samples"], *(value if isinstance(value, int) else -1 for value in values)]


if __name__ == "__main__":
    main()
