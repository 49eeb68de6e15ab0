"""Cuts the compact U-Net goldens out of the full reference folder: `python -m tests.parity.makers.make_unet_data`.

Kept: the five smallest cases whole, a sample of case c's block outputs, and the full-size model's keys and shapes.
The weights are not kept; `rule_weights` draws them again.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tests.shared_reference import SHARED

DATA = Path(__file__).parents[1] / "data"
CASES = "cdfgh"


def thinned(block: torch.Tensor) -> torch.Tensor:
    """Every 4th row and column of a large 5-D output, every 8th token of a 3-D one; small ones whole."""
    if block.ndim == 5 and block.shape[-1] >= 8:
        return block[..., 1::4, 1::4]
    return block[:, 3::8] if block.ndim == 3 else block


def main() -> None:
    reference = SHARED / "reference"
    cases = load_file(reference / "unet_tiny/cases.safetensors")
    kept = {name: tensor for name, tensor in cases.items() if name[0] in CASES}
    for name, block in load_file(reference / "unet_tiny/blocks_case_c.safetensors").items():
        kept[f"block.{name}"] = thinned(block).contiguous()
    config = json.loads((reference / "unet_tiny/unet_tiny.json").read_text())["config"]
    save_file(kept, DATA / "unet_tiny.safetensors", metadata={"config": json.dumps(config)})

    full = json.loads((reference / "keys/latentsync_unet_v15_v16.json").read_text())
    packed = json.dumps({"config": full["config"], "keys": full["keys"]}).encode()
    (DATA / "unet_keys.json.gz").write_bytes(gzip.compress(packed, mtime=0))


if __name__ == "__main__":
    main()
