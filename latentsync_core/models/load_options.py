"""The options of loading a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import OptionError

PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class LoadOptions:
    """Where weights are looked for and how they are held."""

    device: str = "auto"  # or "cpu", "cuda", "cuda:1", "mps", ...
    precision: str = "auto"  # or "fp32", "bf16", "fp16"; of the U-Net and the VAE, Whisper stays in fp32
    resolution: int | None = None  # pixels; only for a checkpoint that isn't known
    models_folder: Path | None = None  # None: the environment's LATENTSYNC_MODELS, else the user's data folder
    vae: Path | None = None  # a diffusers folder or its .safetensors; None: beside the U-Net or in the models folder
    whisper: Path | None = None  # a .pt file; None: likewise
    offload: bool = False  # keep the U-Net's weights in main memory and bring them in layer by layer: slower, smaller
    compile: bool = False  # the U-Net by torch.compile: minutes at its first run, quicker steps afterwards
    window_frames: int = 16  # frames sampled at once, and windows: what room is planned for where memory is scarce
    window_batch: int = 1
    operations: Any = None  # a namespace with the classes of the U-Net's layers; None: torch.nn

    def __post_init__(self) -> None:
        if self.precision not in ("auto", *PRECISIONS):
            raise OptionError(f"precision is {self.precision!r}; use auto, {', '.join(PRECISIONS)}.")
        if self.resolution is not None and (self.resolution < 64 or self.resolution % 64):
            raise OptionError(
                f"resolution is {self.resolution}; use a multiple of 64, 256 and 512 being the usual ones."
            )
