"""The released models: where their files are published, their sizes and hashes."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import ModelError


@dataclass(frozen=True)
class KnownFile:
    """One published file. `path` is its place in the repository and, below the model's folder, on disk."""

    repository: str
    revision: str  # commit, so that the same bytes come for everyone
    path: str
    size: int  # bytes
    sha256: str  # hex


@dataclass(frozen=True)
class KnownModel:
    """A released LatentSync model. Both have the same shapes; only the pictures that they were trained on differ."""

    name: str
    resolution: int  # pixels, of the square crops
    unet: KnownFile
    whisper: KnownFile


def _latentsync(version: str, resolution: int, revision: str, size: int, sha256: str) -> KnownModel:
    repository = f"ByteDance/LatentSync-{version}"
    return KnownModel(
        name=f"latentsync-{version}",
        resolution=resolution,
        unet=KnownFile(repository, revision, "latentsync_unet.pt", size, sha256),
        whisper=KnownFile(
            repository,
            revision,
            "whisper/tiny.pt",
            75_572_083,
            "65147644a518d12f04e32d6f3b26facc3f8dd46e5390956a9424a650c0ce22b9",
        ),
    )


KNOWN_MODELS = {
    model.name: model
    for model in (
        _latentsync(
            "1.5",
            256,
            "32a20d29aead0498e3e885e90dbbe8027da1b61b",
            5_072_348_184,
            "6440b49a7ccceff56cdc001f5f17605216337f5bbd66fa360139768926e23f51",
        ),
        _latentsync(
            "1.6",
            512,
            "c42c7e6c8e9c213626389fa7d9a3c444b8536353",
            5_072_222_488,
            "0a478e89eb660f82da4c35dbdde8a5adfb27f99d1b4e50edd03729e1e98316d3",
        ),
    )
}

VAE_FOLDER = "sd-vae-ft-mse"
VAE_REPOSITORY = "stabilityai/sd-vae-ft-mse"
VAE_REVISION = "31f26fdeee1355a5c34592e401dd41e45d25a493"
VAE_CONFIG = KnownFile(
    VAE_REPOSITORY,
    VAE_REVISION,
    "config.json",
    547,
    "92d3dfb746fca211a2c9e019e285f8597412211728dce3c5bcf4eda0f2d62e7e",
)
VAE_WEIGHTS = KnownFile(
    VAE_REPOSITORY,
    VAE_REVISION,
    "diffusion_pytorch_model.safetensors",
    334_643_276,
    "a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815",
)


def known_model(name: str) -> KnownModel:
    """The released model of that name; ModelError names the choices."""
    if name not in KNOWN_MODELS:
        raise ModelError(f"There is no released model called {name!r}; choose {' or '.join(KNOWN_MODELS)}.")
    return KNOWN_MODELS[name]
