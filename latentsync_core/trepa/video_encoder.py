"""The video encoder of TREPA: VideoMAE-v2's vision transformer, of any size.

VideoMAE v2 (Wang et al. 2023, https://arxiv.org/abs/2303.16727) cuts a clip into tubes of two frames and a few pixels
square; LatentSync (Li et al. 2024, https://arxiv.org/abs/2412.09262) takes the fine-tuned ViT-g without its classifier.
The names of the state-dict entries are those of that released file. A small encoder pre-trained with transformers'
VideoMAE classes becomes the same network by `from_transformers`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..errors import ModelError
from ..models.checkpoints.network_file import read_config, save_network
from ..models.checkpoints.tensors import fill, read_tensors

if TYPE_CHECKING:
    from transformers.modeling_utils import PreTrainedModel

CARRIED_ENCODER = Path(__file__).parents[1] / "assets" / "evaluation" / "trepa.safetensors"
REMEDY = "give VideoMAE-v2's vit_g_hybrid_pt_1200e_ssv2_ft.pth or a file of save_video_encoder"
MAX_CONFIG_SIZE = 8192  # of anything in a config; ViT-g is 1408 wide
MAX_PERIOD = 10000  # of the slowest position sinusoid, in tubes over 2 pi
# transformers' parts of a block that have the same shape as ours; queries, keys and values are one matrix with us
BLOCK_PARTS = {
    "layernorm_before": "norm1",
    "attention.output.dense": "attn.proj",
    "layernorm_after": "norm2",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}


@dataclass(frozen=True)
class VideoEncoderConfig:
    """The encoder's sizes; the defaults are those of the released VideoMAE-v2 ViT-g."""

    width: int = 1408
    blocks: int = 40
    heads: int = 16
    inner: int = 6144  # width inside the feed-forward layers
    patch: int = 14  # pixels, side of a tube
    tubelet: int = 2  # frames of a tube
    frames: int = 16
    size: int = 224  # pixels, side of the pictures
    norm_eps: float = 1e-6

    @property
    def tokens(self) -> int:
        """Tubes in a clip."""
        return self.frames // self.tubelet * (self.size // self.patch) ** 2


class SelfAttention(nn.Module):
    """Multi-head attention among tokens (n, t, width); queries and values have biases, keys none."""

    def __init__(self, config: VideoEncoderConfig):
        super().__init__()
        self.heads = config.heads
        self.q_bias = nn.Parameter(torch.zeros(config.width))
        self.v_bias = nn.Parameter(torch.zeros(config.width))
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.proj = nn.Linear(config.width, config.width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        split = F.linear(tokens, self.qkv.weight, bias).unflatten(-1, (3, self.heads, -1))
        q, k, v = split.permute(2, 0, 3, 1, 4)  # n t 3 heads d -> 3 n heads t d
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))  # -> n t width


class FeedForward(nn.Module):
    """Two layers on each token by itself."""

    def __init__(self, config: VideoEncoderConfig):
        super().__init__()
        self.fc1 = nn.Linear(config.width, config.inner)
        self.fc2 = nn.Linear(config.inner, config.width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(tokens)))


class Block(nn.Module):
    """Attention among all of a clip's tubes, then the feed-forward layers."""

    def __init__(self, config: VideoEncoderConfig):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.attn = SelfAttention(config)
        self.norm2 = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.mlp = FeedForward(config)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class VideoEncoder(nn.Module):
    """Gives a clip one vector. Its weights begin at random; `load_video_encoder` and `from_transformers` fill them.

    Attributes:
        recompute: forget what happens inside the blocks and compute it again for the gradient: one forward pass more,
            and only one block's inside in memory instead of all.
    """

    positions: torch.Tensor  # (1, tokens, width)

    def __init__(self, config: VideoEncoderConfig, device: torch.device | str | None = None):
        """Raises ModelError for sizes that don't divide. With `device="meta"` weights take no memory."""
        super().__init__()
        _check_sizes(config)
        self.config = config
        self.gradient_checkpointing = False
        tube = (config.tubelet, config.patch, config.patch)
        with torch.device(device or "cpu"):
            self.patch_embed = nn.ModuleDict({"proj": nn.Conv3d(3, config.width, tube, stride=tube)})
            self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
            self.fc_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        with torch.device("cpu"):
            self.register_buffer("positions", position_table(config.tokens, config.width), persistent=False)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """The features (b, width), not of unit length, of clips (b, 3, frames, size, size) in [0, 1].

        They are the normed mean of the last block's tokens. Raises ModelError for another shape.
        """
        config = self.config
        expected = (3, config.frames, config.size, config.size)
        if clips.ndim != 5 or tuple(clips.shape[1:]) != expected:
            raise ModelError(f"The video encoder takes clips of shape (b, *{expected}), not {tuple(clips.shape)}.")
        tokens = self.patch_embed["proj"](clips).flatten(2).transpose(1, 2)  # b w t y x -> b (t y x) w
        tokens = tokens + self.positions.to(tokens)
        for block in self.blocks:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, use_reentrant=False, preserve_rng_state=False)
            else:
                tokens = block(tokens)
        return self.fc_norm(tokens.mean(dim=1))


def clip_features(encoder: VideoEncoder, clips: torch.Tensor, clips_per_batch: int = 1) -> torch.Tensor:
    """The features of face clips as they come from the decoder, prepared as the reference prepares them.

    Args:
        clips: (b, 3, frames, h, w), nominally in [-1, 1], of any size and floating dtype.
        clips_per_batch: how many pass through the encoder together.

    Returns:
        (b, width) float32, not of unit length, on the encoder's device. Gradients reach `clips` where they are asked
        for; where a prepared value leaves [0, 1] it is cut off, and no gradient comes back.

    Raises:
        ModelError: another number of frames than the encoder's, or another shape.
    """
    if clips.ndim != 5 or clips.shape[1] != 3 or clips.shape[2] != encoder.config.frames or not len(clips):
        raise ModelError(
            f"The video encoder takes clips of shape (b, 3, {encoder.config.frames}, h, w), not {tuple(clips.shape)}."
        )
    weight = encoder.fc_norm.weight
    pieces = (preprocess_clips(piece.to(weight.device), encoder.config.size) for piece in clips.split(clips_per_batch))
    return torch.cat([encoder(piece.to(weight.dtype)).float() for piece in pieces])


def preprocess_clips(clips: torch.Tensor, size: int) -> torch.Tensor:
    """Clips (b, 3, f, h, w) about [-1, 1] as the encoder wants them: (b, 3, f, size, size) float32 in [0, 1].

    Bicubic without antialiasing, even when shrinking, and no normalising by mean and deviation, as the reference does.
    """
    batch, _, frames, *_ = clips.shape
    pictures = clips.float().transpose(1, 2).flatten(0, 1)  # b c f h w -> (b f) c h w
    if pictures.shape[-2:] != (size, size):
        pictures = F.interpolate(pictures, size=(size, size), mode="bicubic", align_corners=False)
    pictures = (pictures / 2 + 0.5).clamp(0, 1)
    return pictures.unflatten(0, (batch, frames)).transpose(1, 2)  # (b f) c h w -> b c f h w


def position_table(tokens: int, width: int) -> torch.Tensor:
    """(1, tokens, width) float32: sines in the even places, cosines in the odd ones, slower towards the end."""
    pair = torch.arange(width, dtype=torch.float64).div(2, rounding_mode="floor")
    angles = torch.arange(tokens, dtype=torch.float64)[:, None] / MAX_PERIOD ** (2 * pair / width)
    return torch.where(torch.arange(width) % 2 == 0, angles.sin(), angles.cos())[None].float()


def load_video_encoder(
    path: str | Path = CARRIED_ENCODER, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> VideoEncoder:
    """Loads an encoder that `save_video_encoder` wrote, or VideoMAE-v2's released ViT-g (the classifier is left out).

    By default it is the carried one. Its weights are fixed: gradients pass through them to the clip. Raises ModelError
    for any other file.
    """
    path = Path(path)
    config = read_config(path) or {}
    try:
        encoder = VideoEncoder(VideoEncoderConfig(**config), device="meta")
    except TypeError as problem:
        raise ModelError(f"{path} carries another network's config ({problem}); {REMEDY}.") from None
    what = f"{path} does not fit the video encoder"
    fill(encoder, lambda: read_tensors(path, REMEDY), what, torch.device(device), dtype, remedy=REMEDY)
    return encoder.to(device)  # the table of positions


def save_video_encoder(encoder: VideoEncoder, path: str | Path) -> Path:
    """Writes weights and config as one safetensors file; returns its path. Raises OutputError."""
    return save_network(encoder, dataclasses.asdict(encoder.config), path)


def from_transformers(model: PreTrainedModel) -> VideoEncoder:
    """The encoder inside a VideoMAE model of transformers, pre-trained or fine-tuned, as a copy in float32.

    The model must have been made with `use_mean_pooling=True`: it then has no norm on single tokens. Where it has no
    norm on their mean either (pre-training needs none), ours only centres and scales. ModelError for another kind.
    """
    settings = model.config
    if getattr(settings, "model_type", None) != "videomae" or not settings.use_mean_pooling or not settings.qv_bias:
        raise ModelError(
            f"A {type(model).__name__} can't be a video encoder; give a VideoMAE model of transformers made with "
            "use_mean_pooling=True and qv_bias=True."
        )
    if settings.hidden_act != "gelu" or settings.num_channels != 3:
        raise ModelError(
            f"The VideoMAE model has {settings.num_channels} channels and the activation {settings.hidden_act!r}; "
            "the video encoder has 3 and 'gelu'."
        )
    encoder = VideoEncoder(
        VideoEncoderConfig(
            width=settings.hidden_size,
            blocks=settings.num_hidden_layers,
            heads=settings.num_attention_heads,
            inner=settings.intermediate_size,
            patch=settings.patch_size,
            tubelet=settings.tubelet_size,
            frames=settings.num_frames,
            size=settings.image_size,
            norm_eps=settings.layer_norm_eps,
        )
    )
    source_state = {
        key.removeprefix("videomae."): tensor.detach().float() for key, tensor in model.state_dict().items()
    }
    converted = encoder.fc_norm.state_dict(prefix="fc_norm.")
    converted |= {key: tensor for key, tensor in source_state.items() if key.startswith("fc_norm.")}
    for kind in ("weight", "bias"):
        converted[f"patch_embed.proj.{kind}"] = source_state[f"embeddings.patch_embeddings.projection.{kind}"]
    for index in range(encoder.config.blocks):
        converted |= _block_state(source_state, index)
    encoder.load_state_dict({key: tensor.clone() for key, tensor in converted.items()})
    return encoder.requires_grad_(False).eval()


def _block_state(source_state: Mapping[str, torch.Tensor], index: int) -> dict[str, torch.Tensor]:
    """One block's entries under our names."""
    source, target = f"encoder.layer.{index}.", f"blocks.{index}."
    attention = f"{source}attention.attention."
    state = {
        f"{target}{target_part}.{kind}": source_state[f"{source}{source_part}.{kind}"]
        for source_part, target_part in BLOCK_PARTS.items()
        for kind in ("weight", "bias")
    }
    parts = [source_state[f"{attention}{part}.weight"] for part in ("query", "key", "value")]
    state[f"{target}attn.qkv.weight"] = torch.cat(parts)
    for short, name in (("q_bias", "query.bias"), ("v_bias", "value.bias")):  # transformers 4 and 5 name it so
        key = f"{attention}{short}"
        state[f"{target}attn.{short}"] = source_state[key if key in source_state else f"{attention}{name}"]
    return state


def _check_sizes(config: VideoEncoderConfig) -> None:
    for field in ("width", "blocks", "heads", "inner", "patch", "tubelet", "frames", "size"):
        value = getattr(config, field)
        if not isinstance(value, int) or not 1 <= value <= MAX_CONFIG_SIZE:
            raise ModelError(
                f"The video encoder's config has {field} {value!r}; use a whole number up to {MAX_CONFIG_SIZE}."
            )
    for whole, part in (("width", "heads"), ("frames", "tubelet"), ("size", "patch")):
        if getattr(config, whole) % getattr(config, part):
            raise ModelError(
                f"The video encoder's config has {whole} {getattr(config, whole)}, no multiple of {part}, "
                f"{getattr(config, part)}."
            )
