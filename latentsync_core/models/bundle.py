"""A bundle: one folder with everything that a model is, in safetensors; how small and converted models are kept.

``model.json`` says what it is and how its networks are built, ``unet.safetensors``, ``vae.safetensors`` and
``whisper.safetensors`` (OpenAI's names, encoder only) hold the weights.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import ModelError, OutputError
from .model import LatentSyncModel
from .models_folder import BUNDLE_FILE
from .vae import DiffusersCodec

FORMAT = "latentsync-dub-bundle"
FIELDS = {"name": str, "resolution": int, "demonstration": bool, "unet": dict, "vae": dict, "whisper": dict}
PARTS = ("unet", "vae", "whisper")


@dataclass(frozen=True)
class Bundle:
    """What a bundle's model.json says; the weights stay on disk."""

    folder: Path
    name: str
    resolution: int  # pixels
    demonstration: bool
    unet: Mapping[str, Any]  # config as UNetConfig.from_dict reads it
    vae: Mapping[str, Any]  # config as DiffusersCodec.from_config reads it
    whisper: Mapping[str, int]  # OpenAI's dims

    def weights(self, part: str) -> Path:
        """The file of one of PARTS."""
        return self.folder / f"{part}.safetensors"


def read_bundle(folder: Path) -> Bundle:
    """Reads a bundle's model.json. Raises ModelError naming what is missing or of the wrong kind."""
    path = folder / BUNDLE_FILE
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(f"The folder {folder} holds no model: it has no {BUNDLE_FILE}.") from None
    except (OSError, ValueError) as problem:
        raise ModelError(f"{path} can't be read ({problem}); write the bundle again.") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ModelError(f"{path} is no description of a model bundle: its format is not {FORMAT!r}.")
    for field, kind in FIELDS.items():
        if not isinstance(content.get(field), kind):
            raise ModelError(f"{path} gives {content.get(field)!r} for {field}, not a {kind.__name__}; write it again.")
    bundle = Bundle(folder, **{field: content[field] for field in FIELDS})
    for part in PARTS:
        if not bundle.weights(part).is_file():
            raise ModelError(f"The bundle {folder} lacks {part}.safetensors; copy the whole folder again.")
    return bundle


def save_bundle(model: LatentSyncModel, folder: Path) -> Path:
    """Writes a loaded model as a bundle, in the precision that it has; returns `folder`.

    `folder` must not exist or be empty (OutputError). The model.json comes last, so that half a bundle is none.
    ModelError for a model whose VAE isn't diffusers', or whose weights are offloaded.
    """
    from safetensors.torch import save_file

    if not isinstance(model.codec, DiffusersCodec):
        raise ModelError(
            f"The VAE of {model.name} is a {type(model.codec).__name__}, which can't be saved in a bundle."
        )
    if any(parameter.is_meta for parameter in model.unet.parameters()):
        raise ModelError(f"The weights of {model.name} are offloaded; load it without offload to save it.")
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder} is already there; give a new folder for the bundle.")
    description = {
        "format": FORMAT,
        "name": model.name,
        "resolution": model.resolution,
        "demonstration": model.demonstration,
        "unet": model.unet.config.to_dict(),
        "vae": model.codec.config,
        "whisper": whisper_dims(model.whisper),
    }
    states = {
        "unet": model.unet.state_dict(),
        "vae": model.codec.vae.state_dict(),
        "whisper": whisper_state(model.whisper),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for part, state in states.items():
            target = folder / f"{part}.safetensors"
            save_file({key: tensor.contiguous() for key, tensor in state.items()}, target.with_suffix(".part"))
            os.replace(target.with_suffix(".part"), target)
        (folder / BUNDLE_FILE).write_text(json.dumps(description, indent=1) + "\n", "utf-8")
        for part in PARTS:  # safetensors writes files that nobody else may read
            shutil.copymode(folder / BUNDLE_FILE, folder / f"{part}.safetensors")
    except OSError as problem:
        raise OutputError(f"The bundle {folder} can't be written ({problem.strerror}); free some room.") from None
    return folder


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
    from .whisper import BLOCK_PARTS

    theirs = {"embed_positions.weight": "positional_embedding"}
    state = {}
    for key, tensor in whisper.encoder.state_dict().items():
        name = theirs.get(key, key.replace("layer_norm.", "ln_post.") if key.startswith("layer_norm.") else key)
        if key.startswith("layers."):
            _, index, rest = key.split(".", 2)
            part, kind = rest.rsplit(".", 1)
            ours = next(openai for openai, hugging_face in BLOCK_PARTS.items() if hugging_face == part)
            name = f"blocks.{index}.{ours}.{kind}"
        state[f"encoder.{name}"] = tensor
    return state
