"""Cuts the compact golden of the sampler out of the full reference: python -m tests.parity.makers.make_pipeline_data

Latents and audio windows only, no picture of a person. Weights come from their rule.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tests.shared_reference import SHARED

TARGET = Path(__file__).parents[1] / "data" / "pipeline.safetensors"
RUNS = ("steps4_g1.0", "steps4_g1.5", "steps4_g2.5", "steps20_g1.0", "steps20_g1.5", "steps20_g2.5")


def main() -> None:
    """Writes the golden: both windows' inputs and the final latents of every run."""
    source = SHARED / "reference" / "pipeline"
    inputs = load_file(source / "inputs.safetensors")
    kept = {name: inputs[name] for name in ("initial_noise", "whisper_chunks")}
    for window in ("w0", "w1"):
        for name in ("mask_latents", "masked_image_latents", "ref_latents"):
            kept[f"{window}.{name}"] = inputs[f"{window}.{name}"]
    for run in RUNS:
        kept[f"{run}.final_latents"] = load_file(source / f"run_{run}.safetensors")["final_latents"]
    save_file({name: tensor.to(torch.float32).contiguous() for name, tensor in kept.items()}, TARGET)


if __name__ == "__main__":
    main()
