"""The files of a released model: where each goes, where its U-Net lies, and which are missing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from ...progress import Progress
from .digests import file_sha256, store_sha256, stored_sha256
from .models_folder import installed_model_paths, vae_files, whisper_file
from .registry import KNOWN_MODELS, VAE_CONFIG, VAE_FOLDER, VAE_WEIGHTS, KnownFile, KnownModel

log = logging.getLogger(__name__)


def release_files(known: KnownModel, folder: Path) -> list[tuple[KnownFile, Path]]:
    """All files of a released model, and where a download puts them in the models folder."""
    return [
        (VAE_CONFIG, folder / VAE_FOLDER / VAE_CONFIG.path),
        (VAE_WEIGHTS, folder / VAE_FOLDER / VAE_WEIGHTS.path),
        (known.whisper, folder / known.name / known.whisper.path),
        (known.unet, folder / known.name / known.unet.path),
    ]


def missing_release_files(
    known: KnownModel, folder: Path, on_progress: Progress | None = None
) -> list[tuple[KnownFile, Path]]:
    """Those of `release_files` without which `load_model` can't load the model from that folder.

    Whatever lies at another place where `load_model` looks isn't missing. `on_progress` as in `find_release`.
    """
    unet = find_release(known, folder, on_progress)
    if unet is not None and unet.is_dir():
        return []
    files = release_files(known, folder)
    base = unet or folder / known.name / known.unet.path
    has_vae, has_whisper = vae_files(base, folder) is not None, whisper_file(base, folder, known.whisper.path)
    present = {VAE_CONFIG: has_vae, VAE_WEIGHTS: has_vae, known.whisper: has_whisper, known.unet: unet}
    return [(file, place) for file, place in files if not present[file]]


def find_release(known: KnownModel, folder: Path, on_progress: Progress | None = None) -> Path | None:
    """The bundle folder or U-Net file in the models folder that is the released model; None where there is none.

    In a folder of its name it is taken for what it should be. Upstream's layout doesn't say which version it holds: its
    file is hashed, once, and `on_progress` counts bytes then.
    """
    for place in installed_model_paths(known.name, folder):
        if place.is_dir() or known.name in place.parts[-3:] or identify_release(place, on_progress) == known:
            return place
    return None


def identify_release(path: Path, on_progress: Progress | None = None) -> KnownModel | None:
    """The released model whose U-Net this very file is. Only a file of the right length is hashed, and only once."""
    size = path.stat().st_size
    candidates = [model for model in KNOWN_MODELS.values() if model.unet.size == size]
    if not candidates:
        return None
    sha256 = stored_sha256(path)
    if sha256 is None:
        sha256 = file_sha256(path, on_progress)
        store_sha256(path, sha256)
    for model in candidates:
        if model.unet.sha256 == sha256:
            return model
    log.warning("%s has the size of %s but another hash: changed, or damaged", path, candidates[0].name)
    return None


def put_files(files: Sequence[tuple[KnownFile, Path]]) -> str:
    """The way out where nothing can be downloaded: every file, where it is published, and the folder that it goes to.

    Files of one repository and folder are named together: "put a and b (from someone/model) into /folder".
    """
    together: dict[tuple[str, Path], list[str]] = {}
    for file, place in files:
        together.setdefault((file.repository, place.parent), []).append(place.name)
    parts = [f"{' and '.join(names)} (from {source}) into {folder}" for (source, folder), names in together.items()]
    return f"put {', '.join(parts)}"
