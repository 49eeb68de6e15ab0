"""Whisper's audio encoder: weights in either layout, and the hidden state of every layer as LatentSync wants them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ...errors import ModelError
from ...required_packages import importing
from ..checkpoints.claims import build_or_raise, check_whisper
from ..checkpoints.settings_file import read_json_object
from ..checkpoints.tensors import is_dense_tensor_entry, read_tensors
from ..checkpoints.weights_file import read_content
from ..names import one_line
from .log_mel import measure_peak, normalised_mel

if TYPE_CHECKING:
    from transformers.models.whisper.modeling_whisper import WhisperEncoder as Encoder

REMEDY = "give OpenAI's own tiny.pt or small.pt"
ROWS_PER_SECOND = 50  # of the features: the second convolution halves the 100 mel frames a second
DIMS = ("n_mels", "n_audio_ctx", "n_audio_state", "n_audio_head", "n_audio_layer")  # OpenAI's names
HUGGING_FACE_DIMS = {  # of config.json, in the order of DIMS
    "num_mel_bins": "n_mels",
    "max_source_positions": "n_audio_ctx",
    "d_model": "n_audio_state",
    "encoder_attention_heads": "n_audio_head",
    "encoder_layers": "n_audio_layer",
}
HUGGING_FACE_PREFIXES = ("model.encoder.", "encoder.")  # with and without the language-model head around it
BLOCK_PARTS = {  # OpenAI's name of a part of a block: Hugging Face's
    "attn.query": "self_attn.q_proj",
    "attn.key": "self_attn.k_proj",
    "attn.value": "self_attn.v_proj",
    "attn.out": "self_attn.out_proj",
    "attn_ln": "self_attn_layer_norm",
    "mlp.0": "fc1",
    "mlp.2": "fc2",
    "mlp_ln": "final_layer_norm",
}


class WhisperEncoder(torch.nn.Module):
    """The encoder half of Whisper. `forward` and `features` give the state after convolutions and positions and after
    each block, all before the final norm (which LatentSync does not use).

    Attributes:
        levels: blocks + 1 (5 for tiny). width: channels of a state (384 for tiny). n_mels: mel bands it reads.
        context: rows of one segment (1500, 30 s). digest: hex SHA-256 of the weights as loaded.
    """

    def __init__(self, encoder: Encoder, digest: str) -> None:
        """`encoder` is a transformers WhisperEncoder that holds its weights; use the class methods to make one."""
        super().__init__()
        self.encoder = encoder.eval().requires_grad_(False)
        self.digest = digest
        self.levels = encoder.config.encoder_layers + 1
        self.width = encoder.config.d_model
        self.n_mels = encoder.config.num_mel_bins
        self.context = encoder.config.max_source_positions

    @classmethod
    def from_openai(cls, checkpoint: Mapping) -> WhisperEncoder:
        """Builds the encoder from OpenAI's checkpoint layout, ``{"dims": ..., "model_state_dict": ...}``.

        Only the encoder's tensors are read; they are copied to float32, so the checkpoint may be dropped.

        Raises:
            ModelError: a part is missing, unexpected or of another shape than `dims` say.
        """
        missing = [part for part in ("dims", "model_state_dict") if not isinstance(checkpoint.get(part), Mapping)]
        if missing:
            held = ", ".join(repr(one_line(key)) for key in list(checkpoint)[:5] if isinstance(key, str)) or "nothing"
            raise ModelError(
                f"The Whisper checkpoint has no {' and no '.join(map(repr, missing))} (it holds {held}); {REMEDY}."
            )
        if not all(map(is_dense_tensor_entry, checkpoint["model_state_dict"].items())):
            raise ModelError(f"The Whisper checkpoint holds other things than named arrays of numbers; {REMEDY}.")
        state = {
            _hugging_face_key(key.removeprefix("encoder.")): tensor
            for key, tensor in checkpoint["model_state_dict"].items()
            if key.startswith("encoder.")
        }
        return cls._build(checkpoint["dims"], state, "The Whisper checkpoint")

    @classmethod
    def from_pretrained(cls, path: str | Path) -> WhisperEncoder:
        """Loads a folder in Hugging Face layout (config.json, model.safetensors) or a file in OpenAI's (tiny.pt).

        Raises:
            ModelError: there is no such file, it isn't one of the two, or its weights don't fit its own description.
        """
        path = Path(path)
        if path.is_dir():
            dims, state = _read_hugging_face(path)
            return cls._build(dims, state, f"The Whisper model in {path}")
        return cls.from_openai(_read_openai(path))

    @property
    def device(self) -> torch.device:
        return self.encoder.conv1.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.encoder.conv1.weight.dtype

    @torch.no_grad()
    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """The hidden states (b, context, levels, width), of the encoder's dtype, of mel (b, n_mels, 2 * context)."""
        states = []

        # What enters a layer is what the one before it gave; what enters the final norm is the last block's output.
        # This holds in every transformers version, unlike what `output_hidden_states` calls the last state.
        def record_state(_module: torch.nn.Module, args: tuple, kwargs: dict) -> None:
            states.append(args[0] if args else kwargs["hidden_states"])

        hooks = [
            layer.register_forward_pre_hook(record_state, with_kwargs=True)
            for layer in (*self.encoder.layers, self.encoder.layer_norm)
        ]
        try:
            self.encoder(mel.to(self.device, self.dtype))
        finally:
            for hook in hooks:
                hook.remove()
        return torch.stack(states, dim=2)

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """The features of a whole recording, as the reference makes them.

        Args:
            waveform: (S,) float32 in about [-1, 1] at 16 kHz.

        Returns:
            (T, levels, width) at 50 rows a second, of the encoder's dtype and device. T is S // 320 for a recording
            under 30 s; every 30 s segment loses half a row if its number of mel frames is odd.

        Raises:
            AudioError: fewer than 201 samples.
        """
        peak, _ = measure_peak([waveform], self.n_mels)
        pieces = list(self.segments([waveform], peak))
        return torch.cat(pieces) if pieces else torch.empty(0, self.levels, self.width, dtype=self.dtype)

    def segments(self, blocks: Iterable[torch.Tensor], peak: float) -> Iterator[torch.Tensor]:
        """Yields the features (rows, levels, width) of one 30 s segment after the other, in constant memory.

        Args:
            blocks: the recording in (n,) float32 pieces at 16 kHz.
            peak: its loudest log10 mel power, from `log_mel.measure_peak`.
        """
        for mel in _rechunk(normalised_mel(blocks, peak, self.n_mels), 2 * self.context):
            frames = mel.shape[1]
            # The reference pads the normalised spectrogram with 0.0, which is not what silence would give.
            padded = torch.nn.functional.pad(mel, (0, 2 * self.context - frames))
            if frames >= 2:
                yield self(padded[None])[0, : frames // 2]

    def rows(self, frames: int) -> int:
        """How many feature rows a recording of that many mel frames gives."""
        whole, rest = divmod(frames, 2 * self.context)
        return whole * self.context + rest // 2

    @classmethod
    def _build(cls, dims: Mapping, state: dict[str, torch.Tensor], what: str) -> WhisperEncoder:
        with importing("transformers"):
            from transformers.models.whisper.configuration_whisper import WhisperConfig
            from transformers.models.whisper.modeling_whisper import WhisperEncoder as Encoder

        mels, context, width, heads, layers = (_dimension(dims, name, what) for name in DIMS)
        if width % heads:
            raise ModelError(f"{what} has {width} channels, which {heads} attention heads can't share; it is damaged.")
        config = WhisperConfig(
            num_mel_bins=mels,
            max_source_positions=context,
            d_model=width,
            encoder_attention_heads=heads,
            encoder_layers=layers,
            encoder_ffn_dim=4 * width,
            dropout=0.0,
            attn_implementation="sdpa",
        )
        check_whisper((mels, context, width), layers, state, what)

        def build() -> Encoder:
            with torch.device("meta"):  # no second copy of the weights, and no time spent drawing random ones
                return Encoder(config)

        encoder = build_or_raise(build, what, REMEDY)
        _check_state_dict(encoder.state_dict(), state, what)
        state = {key: tensor.detach().to("cpu", torch.float32, copy=True).contiguous() for key, tensor in state.items()}
        encoder.load_state_dict(state, strict=True, assign=True)
        return cls(encoder, _digest(state))


def _read_openai(path: Path) -> Mapping:
    """The dictionary in a .pt file; its tensors stay in the file until they are used."""
    checkpoint = read_content(path, REMEDY)
    if not isinstance(checkpoint, Mapping):
        raise ModelError(f"{path} holds a {type(checkpoint).__name__}, not a Whisper checkpoint; {REMEDY}.")
    return checkpoint


def _read_hugging_face(folder: Path) -> tuple[dict, dict[str, torch.Tensor]]:
    """The dimensions under OpenAI's names and the encoder's tensors of a folder."""
    config_file, weights_file = folder / "config.json", folder / "model.safetensors"
    for file in (config_file, weights_file):
        if not file.is_file():
            raise ModelError(f"The folder {folder} has no {file.name}: give one in Hugging Face's Whisper layout.")
    config = read_json_object(config_file, "download it again")
    tensors = read_tensors(weights_file, "download it again")
    prefix = next((p for p in HUGGING_FACE_PREFIXES if f"{p}conv1.weight" in tensors), "")
    state = {
        key.removeprefix(prefix): tensor
        for key, tensor in tensors.items()
        if key.startswith(prefix) and not key.startswith("decoder.")
    }
    return {
        openai_key: config.get(hugging_face_key) for hugging_face_key, openai_key in HUGGING_FACE_DIMS.items()
    }, state


def _hugging_face_key(key: str) -> str:
    """Hugging Face's name of an encoder tensor, from OpenAI's; an unknown one stays, to be reported as unexpected."""
    if key == "positional_embedding":
        return "embed_positions.weight"
    if key.startswith("ln_post."):
        return key.replace("ln_post.", "layer_norm.")
    block = re.fullmatch(r"blocks\.(\d+)\.(.+)\.(weight|bias)", key)
    if block and block[2] in BLOCK_PARTS:
        return f"layers.{block[1]}.{BLOCK_PARTS[block[2]]}.{block[3]}"
    return key


def _dimension(dims: Mapping, name: str, what: str) -> int:
    value = dims.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ModelError(
            f"{what} gives {one_line(repr(value))} for {name}, not a whole number above 0: it is no Whisper model."
        )
    return value


def _check_state_dict(expected: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor], what: str) -> None:
    """Raises ModelError, naming the first few tensors that are missing, unexpected or of another shape."""
    mismatches = [f"{key} is missing" for key in expected if key not in state]
    mismatches += [f"{key} is not known" for key in state if key not in expected]
    mismatches += [
        f"{key} has shape {tuple(state[key].shape)} instead of {tuple(tensor.shape)}"
        for key, tensor in expected.items()
        if key in state and state[key].shape != tensor.shape
    ]
    mismatches += [f"{key} is of {tensor.dtype}" for key, tensor in state.items() if not tensor.is_floating_point()]
    if mismatches:
        named = "; ".join(map(one_line, mismatches[:3])) + (
            f"; and {len(mismatches) - 3} more" if len(mismatches) > 3 else ""
        )
        raise ModelError(f"{what} does not fit a Whisper encoder ({named}): give an unchanged tiny or small model.")


def _digest(state: Mapping[str, torch.Tensor]) -> str:
    total = hashlib.sha256()
    for key in sorted(state):
        total.update(f"{key}{tuple(state[key].shape)}".encode())
        total.update(state[key].numpy().data)
    return total.hexdigest()


def _rechunk(pieces: Iterable[torch.Tensor], size: int) -> Iterator[torch.Tensor]:
    """Regroups (n_mels, n) pieces into (n_mels, size) ones; the last holds the rest."""
    held = None
    for piece in pieces:
        held = piece if held is None else torch.cat([held, piece], dim=1)
        while held.shape[1] >= size:
            yield held[:, :size]
            held = held[:, size:]
    if held is not None and held.shape[1]:
        yield held
