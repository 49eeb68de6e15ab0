"""A U-Net's config, parsed from the dict of LatentSync's own files; unsupported values are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import ModelError
from ..names import one_line

ATTENTION_BY_BLOCK_TYPE = {
    "CrossAttnDownBlock3D": True,
    "DownBlock3D": False,
    "CrossAttnUpBlock3D": True,
    "UpBlock3D": False,
}

# Keys that upstream's configs carry with one value only; another value would mean another network.
FIXED_SETTINGS = {
    "act_fn": "silu",
    "add_audio_layer": True,
    "center_input_sample": False,
    "mid_block_type": "UNetMidBlock3DCrossAttn",
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "mid_block_scale_factor": 1,
    "resnet_time_scale_shift": "default",
    "motion_module_mid_block": False,
    "motion_module_type": "Vanilla",
}
FIXED_MOTION = {"temporal_attention_dim_div": 1}

VARIABLE_KEYS = (
    "in_channels", "out_channels", "block_out_channels", "layers_per_block", "cross_attention_dim",
    "attention_head_dim", "norm_num_groups", "norm_eps", "down_block_types", "up_block_types",
)  # fmt: skip
MOTION_KEYS = ("use_motion_module", "motion_module_resolutions", "motion_module_decoder_only", "motion_module_kwargs")
VARIABLE_MOTION_KEYS = (
    "num_attention_heads", "num_transformer_block", "attention_block_types", "temporal_position_encoding",
    "temporal_position_encoding_max_len",
)  # fmt: skip
IGNORED_KEYS = ("sample_size",)  # the size trained at; the network takes any
AUDIO_ROWS_KEY = "audio_rows"  # not upstream's; configs without it have all rows
MAX_AUDIO_ROWS = 10  # Whisper states of one video frame, each of all levels
IGNORED_MOTION_KEYS = ("zero_initialize",)  # how training starts


@dataclass(frozen=True)
class MotionConfig:
    """The temporal transformers: how many, how wide, and how long a window they know."""

    heads: int = 8
    blocks: int = 1
    attentions: int = 2  # per block
    positions: int = 24  # frames that the position table covers; 0 for no table


@dataclass(frozen=True)
class UNetConfig:
    """The U-Net's sizes; the defaults are those of LatentSync 1.5 and 1.6."""

    in_channels: int = 13  # noisy latents 4, mask 1, masked picture 4, reference picture 4
    out_channels: int = 4
    block_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    resnets_per_block: int = 2  # one more in the up blocks
    audio_width: int = 384
    heads: int = 8
    norm_groups: int = 32
    norm_eps: float = 1e-5
    down_attention: tuple[bool, ...] = (True, True, True, False)
    up_attention: tuple[bool, ...] = (False, True, True, True)
    motion: MotionConfig | None = MotionConfig()
    motion_levels: tuple[bool, ...] = (True, True, True, True)  # from the largest pictures to the smallest
    motion_in_down_blocks: bool = True
    audio_rows: int = MAX_AUDIO_ROWS  # of a frame's ten, those in the middle that cross-attention sees

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> UNetConfig:
        """Reads the `model` section of an upstream config. `attention_head_dim` there is the number of heads.

        Raises ModelError naming an unknown or missing key, or a value that this network can't follow.
        """
        use_motion = config.get("use_motion_module") is True
        _check(
            config,
            "",
            VARIABLE_KEYS + (MOTION_KEYS if use_motion else ()),
            FIXED_SETTINGS,
            (*MOTION_KEYS, *IGNORED_KEYS, AUDIO_ROWS_KEY),
        )
        levels = len(config["block_out_channels"])
        down = _attention(config, "down_block_types", levels)
        up = _attention(config, "up_block_types", levels)
        motion = _motion(config["motion_module_kwargs"]) if use_motion else None
        motion_levels = (use_motion and 2**level in config["motion_module_resolutions"] for level in range(levels))
        result = cls(
            in_channels=config["in_channels"],
            out_channels=config["out_channels"],
            block_channels=tuple(config["block_out_channels"]),
            resnets_per_block=config["layers_per_block"],
            audio_width=config["cross_attention_dim"],
            heads=config["attention_head_dim"],
            norm_groups=config["norm_num_groups"],
            norm_eps=config["norm_eps"],
            down_attention=down,
            up_attention=up,
            motion=motion,
            motion_levels=tuple(motion_levels),
            motion_in_down_blocks=use_motion and not config["motion_module_decoder_only"],
            audio_rows=config.get(AUDIO_ROWS_KEY, MAX_AUDIO_ROWS),
        )
        result._check_sizes()
        return result

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> UNetConfig | None:
        """The config of a checkpoint that comes without one, from its keys and shapes; None if it is no such U-Net.

        What shapes don't tell (heads, groups) is as released; input and output channels too, so that a U-Net of
        another family fails by them. Raises ModelError for widths that those can't divide.
        """

        def has(part: str) -> bool:
            return any(part in key for key in shapes)

        levels = range(sum(f"down_blocks.{level}.resnets.0.conv1.weight" in shapes for level in range(16)))
        if not levels or "conv_in.weight" not in shapes:
            return None
        attended = [shape[-1] for key, shape in shapes.items() if key.endswith(".attn2.to_k.weight")]
        tables = [shape[1] for key, shape in shapes.items() if key.endswith(".pos_encoder.pe") and len(shape) == 3]
        result = cls(
            block_channels=tuple(shapes[f"down_blocks.{level}.resnets.0.conv1.weight"][0] for level in levels),
            resnets_per_block=sum(f"down_blocks.0.resnets.{index}.conv1.weight" in shapes for index in range(16)),
            audio_width=attended[0] if attended else cls.audio_width,
            down_attention=tuple(has(f"down_blocks.{level}.attentions.") for level in levels),
            up_attention=tuple(has(f"up_blocks.{level}.attentions.") for level in levels),
            motion=MotionConfig(positions=tables[0] if tables else 0) if has(".motion_modules.") else None,
            motion_levels=tuple(has(f"up_blocks.{level}.motion_modules.") for level in reversed(levels)),
            motion_in_down_blocks=has("down_blocks.0.motion_modules."),
        )
        result._check_sizes()
        return result

    def to_dict(self) -> dict[str, Any]:
        """The same config as `from_dict` reads it."""
        config = FIXED_SETTINGS | {
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "block_out_channels": list(self.block_channels),
            "layers_per_block": self.resnets_per_block,
            "cross_attention_dim": self.audio_width,
            "attention_head_dim": self.heads,
            "norm_num_groups": self.norm_groups,
            "norm_eps": self.norm_eps,
            "down_block_types": ["CrossAttnDownBlock3D" if a else "DownBlock3D" for a in self.down_attention],
            "up_block_types": ["CrossAttnUpBlock3D" if a else "UpBlock3D" for a in self.up_attention],
            "use_motion_module": self.motion is not None,
        }
        if self.audio_rows != MAX_AUDIO_ROWS:
            config[AUDIO_ROWS_KEY] = self.audio_rows
        if self.motion is not None:
            config["motion_module_resolutions"] = [2**level for level, on in enumerate(self.motion_levels) if on]
            config["motion_module_decoder_only"] = not self.motion_in_down_blocks
            config["motion_module_kwargs"] = FIXED_MOTION | {
                "num_attention_heads": self.motion.heads,
                "num_transformer_block": self.motion.blocks,
                "attention_block_types": ["Temporal_Self"] * self.motion.attentions,
                "temporal_position_encoding": self.motion.positions > 0,
                "temporal_position_encoding_max_len": self.motion.positions,
            }
        return config

    def _check_sizes(self) -> None:
        sizes = (self.in_channels, self.out_channels, self.resnets_per_block, self.audio_width, self.heads)
        if not all(isinstance(size, int) and size > 0 for size in (*sizes, self.norm_groups, *self.block_channels)):
            raise ModelError("The U-Net's config has a size that is not a whole number above 0.")
        if self.audio_rows not in range(2, MAX_AUDIO_ROWS + 1, 2):
            raise ModelError(
                f"The U-Net's config sets {AUDIO_ROWS_KEY} to {one_line(repr(self.audio_rows))}; "
                f"it must be an even number from 2 to {MAX_AUDIO_ROWS}."
            )
        for channels in self.block_channels:
            for divisor, name in ((self.norm_groups, "norm_num_groups"), (self.heads, "attention_head_dim")):
                if channels % divisor:
                    raise ModelError(
                        f"The U-Net's config can't have {channels} in block_out_channels: "
                        f"it is no multiple of {name}, {divisor}."
                    )


def _motion(kwargs: Mapping[str, Any]) -> MotionConfig:
    _check(kwargs, "motion_module_kwargs.", VARIABLE_MOTION_KEYS, FIXED_MOTION, IGNORED_MOTION_KEYS)
    kinds = kwargs["attention_block_types"]
    for kind in kinds:
        if kind != "Temporal_Self":
            raise ModelError(
                f"The U-Net's config has {kind!r} in motion_module_kwargs.attention_block_types; "
                "only 'Temporal_Self' is supported."
            )
    positions = kwargs["temporal_position_encoding_max_len"] if kwargs["temporal_position_encoding"] else 0
    return MotionConfig(kwargs["num_attention_heads"], kwargs["num_transformer_block"], len(kinds), positions)


def _attention(config: Mapping[str, Any], key: str, levels: int) -> tuple[bool, ...]:
    names = config[key]
    suffix = "DownBlock3D" if key.startswith("down") else "UpBlock3D"
    for name in names:
        if name not in ATTENTION_BY_BLOCK_TYPE or not name.endswith(suffix):
            raise ModelError(
                f"The U-Net's config has {name!r} in {key}; only 'CrossAttn{suffix}' and {suffix!r} are supported."
            )
    if len(names) != levels:
        raise ModelError(f"The U-Net's config has {len(names)} {key} for {levels} block_out_channels; give as many.")
    return tuple(ATTENTION_BY_BLOCK_TYPE[name] for name in names)


def _check(config: Mapping, path: str, needed: tuple[str, ...], fixed: Mapping, optional: tuple[str, ...]) -> None:
    for key in config:
        if key not in needed and key not in fixed and key not in optional:
            raise ModelError(
                f"The U-Net's config has an unknown key, {path}{one_line(key)}; remove it or use a newer version."
            )
    for key in needed:
        if key not in config:
            raise ModelError(f"The U-Net's config lacks {path}{key}; take the model section of LatentSync's config.")
    for key, value in fixed.items():
        if config.get(key, value) != value:
            raise ModelError(
                f"The U-Net's config sets {path}{key} to {one_line(repr(config[key]))}; only {value!r} is supported."
            )
