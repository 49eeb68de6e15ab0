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


def find_companions(
    unet: Path, folder: Path, width: int, vae: Path | None = None, whisper: Path | None = None
) -> tuple[Path | None, Path, Path]:
    """The VAE's config and weights and the Whisper checkpoint of that width that belong to a U-Net file.

    Each is the one chosen (`vae`, `whisper`), else it lies beside the U-Net or in the models folder. The config is None
    for a bare .safetensors file. Raises one ModelError that names all that is missing, and where each goes.
    """
    found_vae = vae_files(unet, folder) if vae is None else _chosen_vae(Path(vae))
    found_whisper = _chosen_whisper(Path(whisper)) if whisper is not None else None
    name = "" if found_whisper else _whisper_name(unet, width)
    found_whisper = found_whisper or whisper_file(unet, folder, name)
    if found_vae and found_whisper:
        return *found_vae, found_whisper
    vae_place = f"{VAE_CONFIG.path} and {VAE_WEIGHTS.path} into {folder / VAE_FOLDER}"
    whisper_place = f"{name} into {unet.parent / 'whisper'}"
    missing = [
        *([] if found_vae else [("VAE", vae_place)]),
        *([] if found_whisper else [("Whisper model", whisper_place)]),
    ]
    what, places = (" and ".join(parts) for parts in zip(*missing, strict=True))
    verb = "belong" if len(missing) > 1 else "belongs"
    raise ModelError(
        f"The {what} that {verb} to {unet} {'are' if len(missing) > 1 else 'is'} missing.",
        f"put {places}",
        Remedy.INSTALL_COMPANIONS,
    )


def vae_files(unet: Path, folder: Path) -> tuple[Path | None, Path] | None:
    """Config and weights of the VAE beside the U-Net or in the models folder; None where there is none."""
    around = (unet.parent, unet.parent.parent, folder, folder / UPSTREAM_FOLDER)
    return _vae_at([base / name for base in around for name in VAE_FOLDERS])


def whisper_file(unet: Path, folder: Path, name: str) -> Path | None:
    """The Whisper checkpoint called `name` beside the U-Net or in the models folder; None where there is none."""
    name = Path(name).name
    bases = [unet.parent, folder, folder / UPSTREAM_FOLDER, *(folder / known for known in KNOWN_MODELS)]
    places = (base / part for base in bases for part in (f"whisper/{name}", name))
    return next((place for place in places if place.is_file()), None)


def _vae_at(places: list[Path]) -> tuple[Path | None, Path] | None:
    for place in places:
        config, weights = place / VAE_CONFIG.path, place / VAE_WEIGHTS.path
        if weights.is_file():
            return config if config.is_file() else None, weights
    return None


def _chosen_vae(chosen: Path) -> tuple[Path | None, Path]:
    check_path(chosen)
    found = (None, chosen) if chosen.is_file() else _vae_at([chosen])
    if found is None:
        raise ModelError(f"There is no VAE at {chosen}; give a folder with {VAE_CONFIG.path} and {VAE_WEIGHTS.path}.")
    return found


def _chosen_whisper(chosen: Path) -> Path:
    check_path(chosen)
    if not chosen.exists():
        raise ModelError(f"There is no Whisper model at {chosen}; give OpenAI's tiny.pt.")
    return chosen


def _whisper_name(unet: Path, width: int) -> str:
    if width not in WHISPER_FILE_BY_WIDTH:
        raise ModelError(
            f"{unet} expects Whisper features of width {width}, neither tiny's nor small's.", Remedy.STATE_WHISPER
        )
    return WHISPER_FILE_BY_WIDTH[width]


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
