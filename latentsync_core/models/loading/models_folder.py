"""The models folder: our layout in it and upstream's, and the files beside a checkpoint."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ...errors import ModelError
from ...messages import Remedy
from ..names import check_path
from .registry import KNOWN_MODELS, VAE_CONFIG, VAE_FOLDER, VAE_WEIGHTS

MODELS_FOLDER_VARIABLE = "LATENTSYNC_MODELS"
UNET_FILE = "latentsync_unet.pt"
BUNDLE_FILE = "model.json"
WHISPER_FILE_BY_WIDTH = {384: "tiny.pt", 768: "small.pt"}
UPSTREAM_FOLDER = "checkpoints"  # what upstream's own instructions fill
CHECKPOINT_SUFFIXES = (".pt", ".safetensors")
VAE_FOLDERS = (VAE_FOLDER, f"stabilityai/{VAE_FOLDER}", "vae")


def models_folder(chosen: Path | None = None) -> Path:
    """The folder given, else the environment's LATENTSYNC_MODELS, else one of the user's own; it need not exist."""
    if chosen is not None:
        return Path(chosen)
    if os.environ.get(MODELS_FOLDER_VARIABLE):
        return Path(os.environ[MODELS_FOLDER_VARIABLE])
    home = Path.home()
    if sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA") or home / "AppData/Local")
    elif sys.platform == "darwin":
        data = home / "Library/Application Support"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    return data / "latentsync-dub" / "models"


def installed_model_paths(name: str, folder: Path) -> list[Path]:
    """Bundle folders and U-Net files that may be the released model `name`, the surest first.

    Only what lies in a folder of that name is sure to be it; upstream's layout doesn't say which version it holds.
    """
    own = folder / name
    places = [own] if (own / BUNDLE_FILE).is_file() else []
    places += [place / UNET_FILE for place in (own, own / UPSTREAM_FOLDER, folder, folder / UPSTREAM_FOLDER)]
    return [place for place in places if place.exists()]


def find_vae(unet: Path, folder: Path, chosen: Path | None = None) -> tuple[Path | None, Path]:
    """The VAE's config and weights: those chosen, else those beside the U-Net, else those in the models folder.

    The config is None for a bare .safetensors file. Raises ModelError saying where the VAE goes.
    """
    if chosen is not None:
        chosen = Path(chosen)
        check_path(chosen)
        if chosen.is_file():
            return None, chosen
        places = [chosen]
    else:
        around = (unet.parent, unet.parent.parent, folder, folder / UPSTREAM_FOLDER)
        places = [base / name for base in around for name in VAE_FOLDERS]
    for place in places:
        config, weights = place / VAE_CONFIG.path, place / VAE_WEIGHTS.path
        if weights.is_file():
            return config if config.is_file() else None, weights
    if chosen is not None:
        raise ModelError(f"There is no VAE at {chosen}; give a folder with {VAE_CONFIG.path} and {VAE_WEIGHTS.path}.")
    raise ModelError(
        f"The VAE that belongs to {unet} is missing.",
        f"put {VAE_CONFIG.path} and {VAE_WEIGHTS.path} into {folder / VAE_FOLDER}",
        Remedy.INSTALL_COMPANIONS,
    )


def find_whisper(unet: Path, folder: Path, width: int, chosen: Path | None = None) -> Path:
    """The Whisper checkpoint of that width: the one chosen, else beside the U-Net, else in the models folder.

    Raises ModelError saying where it goes.
    """
    if chosen is not None:
        check_path(Path(chosen))
        if not Path(chosen).exists():
            raise ModelError(f"There is no Whisper model at {chosen}; give OpenAI's tiny.pt.")
        return Path(chosen)
    name = WHISPER_FILE_BY_WIDTH.get(width)
    if name is None:
        raise ModelError(
            f"{unet} expects Whisper features of width {width}, neither tiny's nor small's.", Remedy.STATE_WHISPER
        )
    bases = [unet.parent, folder, folder / UPSTREAM_FOLDER, *(folder / known for known in KNOWN_MODELS)]
    for place in [base / part for base in bases for part in (f"whisper/{name}", name)]:
        if place.is_file():
            return place
    raise ModelError(
        f"The Whisper model that belongs to {unet} is missing.",
        f"put {name} into {unet.parent / 'whisper'}",
        Remedy.INSTALL_COMPANIONS,
    )


def installed_models(folder: Path) -> list[str]:
    """What `load_model` could load from `folder` and its sub-folders, as paths below it with forward slashes, sorted.

    Bundle folders, and checkpoint files that may be a U-Net: which of them are is known only when one is loaded. Links
    to files and folders elsewhere count, as large models often lie on another disk.
    """
    bundles, checkpoints, seen = [], [], set()
    for place, folders, files in os.walk(folder, followlinks=True):
        here = Path(place)
        real = os.path.realpath(place)
        if real in seen or BUNDLE_FILE in files:  # a link in a circle, or a bundle, whose parts are no models
            folders.clear()
        if real in seen:
            continue
        seen.add(real)
        if BUNDLE_FILE in files:
            bundles.append(here)
        else:
            paths = (here / name for name in files if name.endswith(CHECKPOINT_SUFFIXES))
            checkpoints += [path for path in paths if path.is_file() and not _is_companion(path)]
    names = (path.relative_to(folder).as_posix() for path in (*bundles, *checkpoints) if path != folder)
    return sorted(name for name in names if name.isprintable())


def _is_companion(path: Path) -> bool:
    """Whether a checkpoint is, by its place, a VAE, a Whisper model or a SyncNet, as they lie beside a U-Net."""
    return (
        path.name in (*WHISPER_FILE_BY_WIDTH.values(), VAE_WEIGHTS.path)
        or "syncnet" in path.name
        or any(place in (VAE_FOLDER, "vae", "whisper") for place in path.parent.parts)
    )
