"""Bundles: one folder with all networks of a model, in safetensors; the format of small and converted models.

``model.json`` says what it is, how its networks are built, which settings of sampling it recommends and what the U-Net
sees of the mouth in its reference frames, ``scheduler_config.json`` (diffusers' format) which noise schedule it was
trained on; ``unet.safetensors``, ``vae.safetensors`` and ``whisper.safetensors`` (OpenAI's names, encoder only) hold
the weights. A bundle without a schedule, a recommendation or a reference mouth has those of LatentSync's releases.
"""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...errors import ModelError, OutputError
from ...files.scratch import ScratchFolder, remove_stale_scratch
from ..checkpoints.settings_file import read_json_object
from ..model import LatentSyncModel
from ..names import check_path, first_line, one_line
from ..noise_schedule import REFERENCE_SCHEDULE, NoiseSchedule
from ..recommended_settings import REFERENCE_SETTINGS, RecommendedSettings
from ..reference_mouth import ReferenceMouth
from ..vae import DiffusersCodec
from .models_folder import BUNDLE_FILE

FORMAT = "latentsync-dub-bundle"
SCHEDULE_FILE = "scheduler_config.json"
SCHEDULER_CLASS = "DDIMScheduler"  # which other tools take for the schedule
FIELDS = {"name": str, "resolution": int, "demonstration": bool, "unet": dict, "vae": dict, "whisper": dict}
NETWORKS = ("unet", "vae", "whisper")
RESOLUTIONS = range(64, 4096 + 1, 64)  # pixels, of crops
MAX_NAME_LENGTH = 200  # characters


@dataclass(frozen=True)
class Bundle:
    """What a bundle's descriptions say; the weights stay on disk."""

    folder: Path
    name: str
    resolution: int  # pixels
    demonstration: bool
    unet: Mapping[str, Any]  # config as UNetConfig.from_dict reads it
    vae: Mapping[str, Any]  # config as DiffusersCodec.from_config reads it
    whisper: Mapping[str, int]  # OpenAI's dims
    schedule: NoiseSchedule = REFERENCE_SCHEDULE
    reference_mouth: ReferenceMouth = ReferenceMouth.FILMED
    recommended: RecommendedSettings = REFERENCE_SETTINGS

    def weights(self, part: str) -> Path:
        """The file of one of PARTS."""
        return self.folder / f"{part}.safetensors"


def read_bundle(folder: Path) -> Bundle:
    """Reads a bundle's model.json and scheduler_config.json.

    Raises ModelError naming what is missing, of the wrong kind or can't be followed.
    """
    path = folder / BUNDLE_FILE
    if not path.is_file():
        raise ModelError(f"The folder {folder} holds no model: it has no {BUNDLE_FILE}.")
    content = read_json_object(path, "write the bundle again")
    if content.get("format") != FORMAT:
        raise ModelError(f"{path} is no description of a model bundle: its format is not {FORMAT!r}.")
    for field, kind in FIELDS.items():
        value = content.get(field)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ModelError(
                f"{path} gives {one_line(repr(value))} for {field}, not a {kind.__name__}; write it again."
            )
    if content["resolution"] not in RESOLUTIONS:
        raise ModelError(
            f"{path} gives {one_line(content['resolution'])} for resolution, not a multiple of {RESOLUTIONS.step} from "
            f"{RESOLUTIONS[0]} to {RESOLUTIONS[-1]} pixels; write it again."
        )
    if not content["name"].isprintable() or len(content["name"]) > MAX_NAME_LENGTH:
        raise ModelError(f"{path} gives {one_line(repr(content['name']))} for name; write one short line.")
    schedule = _read_schedule(folder / SCHEDULE_FILE)
    recommended = RecommendedSettings.from_dict(content.get("recommended", {}), str(path))
    if recommended.steps > schedule.num_train_timesteps:
        raise ModelError(
            f"{path} recommends {recommended.steps} steps, more than the {schedule.num_train_timesteps} of its noise "
            "schedule; write it again."
        )
    fields = {field: content[field] for field in FIELDS}
    reference_mouth = _read_reference_mouth(content, path)
    bundle = Bundle(folder, **fields, schedule=schedule, reference_mouth=reference_mouth, recommended=recommended)
    for part in NETWORKS:
        if not bundle.weights(part).is_file():
            raise ModelError(f"The bundle {folder} lacks {part}.safetensors; copy the whole folder again.")
    return bundle


def check_bundle_target(folder: Path) -> None:
    """OutputError unless a bundle could become `folder`: a good name, and nothing there but an empty folder."""
    try:
        check_path(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputError(f"{folder} is already there; give a new folder for the bundle.")
    except ModelError as problem:
        raise OutputError(str(problem)) from None
    except OSError as problem:
        raise _write_error(folder, problem) from None


def save_bundle(model: LatentSyncModel, folder: Path) -> Path:
    """Writes a loaded model as a bundle, in the precision that it has; returns `folder`.

    `folder` must not exist or be empty (OutputError). It appears when all of the bundle is written: until then the
    files lie in a folder of their own beside it, which goes when anything fails or the work is cancelled. ModelError
    for a model whose VAE isn't diffusers', or whose weights are offloaded.
    """
    if not isinstance(model.codec, DiffusersCodec):
        raise ModelError(
            f"The VAE of {model.name} is a {type(model.codec).__name__}, which can't be saved in a bundle."
        )
    if any(parameter.is_meta for parameter in model.unet.parameters()):
        raise ModelError(f"The weights of {model.name} are offloaded; load it without offload to save it.")
    folder = Path(folder)
    check_bundle_target(folder)
    target = folder.resolve()
    description = {
        "format": FORMAT,
        "name": model.name,
        "resolution": model.resolution,
        "demonstration": model.demonstration,
        "unet": model.unet.config.to_dict(),
        "vae": model.codec.config,
        "whisper": whisper_dims(model.whisper),
        "reference_mouth": model.reference_mouth.value,
        "recommended": model.recommended.to_dict(),
    }
    schedule = {"_class_name": SCHEDULER_CLASS, **model.schedule.to_dict()}
    states = {
        "unet": model.unet.state_dict(),
        "vae": model.codec.vae.state_dict(),
        "whisper": whisper_state(model.whisper),
    }
    parents = [parent for parent in target.parents if not parent.exists()]  # the innermost first
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_stale_scratch(target.parent)
        with ScratchFolder(target.parent) as scratch:
            partial = scratch / "bundle"
            partial.mkdir()
            for part, state in states.items():
                _write_tensors(state, partial / f"{part}.safetensors")
            for name, content in ((BUNDLE_FILE, description), (SCHEDULE_FILE, schedule)):
                (partial / name).write_text(json.dumps(content, indent=1) + "\n", "utf-8")
            for part in NETWORKS:  # safetensors writes files that nobody else may read
                shutil.copymode(partial / BUNDLE_FILE, partial / f"{part}.safetensors")
            if target.exists():
                target.rmdir()  # empty; Windows renames over nothing
            partial.rename(target)
    except BaseException as problem:
        for parent in parents:
            with contextlib.suppress(OSError):
                parent.rmdir()
        if isinstance(problem, OSError):
            raise _write_error(folder, problem) from None
        raise
    return folder


def _read_schedule(path: Path) -> NoiseSchedule:
    if not path.exists():
        return REFERENCE_SCHEDULE
    return NoiseSchedule.from_dict(read_json_object(path, "write the bundle again"), str(path))


def _read_reference_mouth(content: Mapping[str, Any], path: Path) -> ReferenceMouth:
    value = content.get("reference_mouth", ReferenceMouth.FILMED.value)
    try:
        return ReferenceMouth(value)
    except ValueError:
        raise ModelError(
            f"{path} gives {one_line(repr(value))} for reference_mouth, not one of "
            f"{', '.join(one.value for one in ReferenceMouth)}; write it again, or update LatentSync Dub."
        ) from None


def _write_tensors(state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Writes a file of weights. OSError where there is no room, too, which the library says in its own way."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {key: tensor.contiguous() for key, tensor in state.items()}
    needed = sum(tensor.nbytes for tensor in tensors.values())
    if shutil.disk_usage(path.parent).free < needed:
        raise OSError(errno.ENOSPC, f"{needed >> 20} MiB are needed")
    try:
        save_file(tensors, path)
    except SafetensorError as problem:
        raise OSError(first_line(problem)) from None


def _write_error(folder: Path, problem: OSError) -> OutputError:
    return OutputError(
        f"The bundle {folder} can't be written ({problem.strerror or first_line(problem)}), and nothing of it is kept; "
        "free some room or give another folder."
    )


def whisper_dims(whisper: Any) -> dict[str, int]:
    """OpenAI's dims of a WhisperEncoder, as far as an encoder has them."""
    config = whisper.encoder.config
    return {
        "n_mels": config.num_mel_bins,
        "n_audio_ctx": config.max_source_positions,
        "n_audio_state": config.d_model,
        "n_audio_head": config.encoder_attention_heads,
        "n_audio_layer": config.encoder_layers,
    }


def whisper_state(whisper: Any) -> dict[str, torch.Tensor]:
    """The weights of a WhisperEncoder under OpenAI's names, as WhisperEncoder.from_openai reads them."""
    from ..whisper.encoder import BLOCK_PARTS

    renamed_keys = {"embed_positions.weight": "positional_embedding"}
    state = {}
    for key, tensor in whisper.encoder.state_dict().items():
        name = renamed_keys.get(key, key.replace("layer_norm.", "ln_post.") if key.startswith("layer_norm.") else key)
        if key.startswith("layers."):
            _, index, rest = key.split(".", 2)
            part, kind = rest.rsplit(".", 1)
            openai_part = next(openai for openai, hugging_face in BLOCK_PARTS.items() if hugging_face == part)
            name = f"blocks.{index}.{openai_part}.{kind}"
        state[f"encoder.{name}"] = tensor
    return state
