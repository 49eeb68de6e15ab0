"""Cuts the compact VAE golden out of the full reference folder: `python -m tests.parity.makers.make_vae_data`.

Kept: one frame's latents and what the reference decodes them to (which looks like noise). What it encodes are pictures
of a person, so the encoder is compared with the reference only where the full folder is at hand.
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load_file, save_file

from tests.shared_reference import SHARED

DATA = Path(__file__).parents[1] / "data"
NOT_CONFIG = ("keys", "n_parameters")


def main() -> None:
    pipeline = SHARED / "reference/pipeline"
    run = load_file(pipeline / "run_steps4_g1.0.safetensors")
    kept = {"latents": run["final_latents"][0, :, :1].transpose(0, 1).contiguous(), "decoded": run["decoded"][:1]}
    description = json.loads((pipeline / "vae_tiny.json").read_text())
    config = {key: value for key, value in description.items() if key not in NOT_CONFIG}
    save_file(kept, DATA / "vae_tiny.safetensors", metadata={"config": json.dumps(config)})


if __name__ == "__main__":
    main()
