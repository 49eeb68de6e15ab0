"""One network in one file: its weights as safetensors with the config that it is built from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...errors import ModelError, OutputError
from .settings_file import MAX_CONFIG_BYTES
from .weights_file import read_metadata

CONFIG_KEY = "config"  # of the file's metadata


def save_network(module: torch.nn.Module, config: Mapping[str, Any], path: str | Path) -> Path:
    """Writes `module`'s weights, in the precision that they have, and `config`; returns `path`. Raises OutputError."""
    from safetensors.torch import save_file

    path = Path(path)
    state = {key: tensor.detach().contiguous() for key, tensor in module.state_dict().items()}
    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(state, partial, metadata={CONFIG_KEY: json.dumps(config)})
        os.replace(partial, path)
    except OSError as problem:
        partial.unlink(missing_ok=True)
        raise OutputError(f"The weights can't be written to {path} ({problem.strerror or problem}).") from None
    return path


def read_config(path: Path) -> dict[str, Any] | None:
    """The config that a file of weights carries; None where it carries none. Raises ModelError for one that is none."""
    # A .pt file, a damaged one or none has nothing: reading its tensors will tell.
    text = read_metadata(path).get(CONFIG_KEY)
    if text is None:
        return None
    try:
        config = json.loads(text) if len(text) <= MAX_CONFIG_BYTES else None
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise ModelError(f"{path} carries a config that can't be read, {text[:40]!r}; save it again.")
    return config
