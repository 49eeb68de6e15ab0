"""Puts the trained parts together: ``python -m training.make_nano`` writes the bundle that the pack carries.

All in half precision, labelled a demonstration, with the model card of `nano/card.md` and Whisper's licence beside it.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import shutil
from pathlib import Path

import torch

from latentsync_core.errors import OutputError
from latentsync_core.models.loading.bundle import save_bundle
from latentsync_core.models.loading.demonstration import NANO, NANO_FOLDER
from latentsync_core.models.model import LatentSyncModel
from latentsync_core.models.reference_mouth import ReferenceMouth

from .synthetic.crops import RESOLUTION
from .unet.diffusion import NANO_SCHEDULE, NANO_SETTINGS
from .unet.train import WEIGHTS as UNET_WEIGHTS
from .unet.train import load as load_unet
from .vae.train import WEIGHTS as VAE_WEIGHTS
from .vae.train import load as load_vae
from .whisper.tiny import WEIGHTS as WHISPER_WEIGHTS
from .whisper.tiny import load_whisper

CARD = Path(__file__).parent / "nano" / "card.md"
WHISPER_LICENSE = Path(__file__).parent / "nano" / "license_whisper"
MAX_BUNDLE_BYTES = 32_000_000  # of the whole bundle


def nano_model(unet: Path = UNET_WEIGHTS, vae: Path = VAE_WEIGHTS, whisper: Path = WHISPER_WEIGHTS) -> LatentSyncModel:
    """The three networks of these files, on the CPU in half precision."""
    codec = load_vae(vae)
    codec.vae.half()
    digest = hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in (unet, vae, whisper)))
    return LatentSyncModel(
        name=NANO,
        unet=load_unet(unet).half(),
        codec=codec,
        whisper=copy.deepcopy(load_whisper(whisper)).half(),  # the kept one stays in float32
        resolution=RESOLUTION,
        device=torch.device("cpu"),
        dtype=torch.float16,
        digest=digest.hexdigest(),
        demonstration=True,
        schedule=NANO_SCHEDULE,
        reference_mouth=ReferenceMouth.CLOSED,
        recommended=NANO_SETTINGS,
    )


def make_bundle(
    folder: Path, unet: Path = UNET_WEIGHTS, vae: Path = VAE_WEIGHTS, whisper: Path = WHISPER_WEIGHTS
) -> int:
    """Writes the bundle into `folder`, which must not exist or be empty; returns its size in bytes.

    Raises OutputError where it is larger than the pack may carry; it is removed then.
    """
    save_bundle(nano_model(unet, vae, whisper), folder)
    shutil.copyfile(CARD, folder / "README.md")
    shutil.copyfile(WHISPER_LICENSE, folder / "LICENSE.whisper")
    size = sum(file.stat().st_size for file in folder.iterdir())
    if size > MAX_BUNDLE_BYTES:
        shutil.rmtree(folder)
        raise OutputError(f"The bundle has {size} bytes, more than the {MAX_BUNDLE_BYTES} that it may have.")
    return size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unet", type=Path, default=UNET_WEIGHTS)
    parser.add_argument("--vae", type=Path, default=VAE_WEIGHTS)
    parser.add_argument("--whisper", type=Path, default=WHISPER_WEIGHTS)
    parser.add_argument("--out", type=Path, default=NANO_FOLDER)
    options = parser.parse_args()
    print(f"{make_bundle(options.out, options.unet, options.vae, options.whisper) / 1e6:.1f} MB in {options.out}")


if __name__ == "__main__":
    main()
