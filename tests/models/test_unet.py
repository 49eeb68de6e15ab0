"""The U-Net takes what its docstring says, refuses the rest by name, and can be built from anyone's layer classes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from latentsync_core.errors import ModelError
from latentsync_core.models.unet.config import UNetConfig
from latentsync_core.models.unet.unet import UNet
from tests.parity.rule_weights import fill_by_rule

CONFIG = {
    "act_fn": "silu",
    "add_audio_layer": True,
    "attention_head_dim": 8,
    "block_out_channels": [32, 64],
    "center_input_sample": False,
    "cross_attention_dim": 24,
    "down_block_types": ["CrossAttnDownBlock3D", "DownBlock3D"],
    "mid_block_type": "UNetMidBlock3DCrossAttn",
    "up_block_types": ["UpBlock3D", "CrossAttnUpBlock3D"],
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 13,
    "layers_per_block": 1,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-5,
    "norm_num_groups": 32,
    "out_channels": 4,
    "sample_size": 8,
    "resnet_time_scale_shift": "default",
    "use_motion_module": True,
    "motion_module_resolutions": [1, 2, 4, 8],
    "motion_module_mid_block": False,
    "motion_module_decoder_only": False,
    "motion_module_type": "Vanilla",
    "motion_module_kwargs": {
        "num_attention_heads": 8,
        "num_transformer_block": 1,
        "attention_block_types": ["Temporal_Self", "Temporal_Self"],
        "temporal_position_encoding": True,
        "temporal_position_encoding_max_len": 24,
        "temporal_attention_dim_div": 1,
        "zero_initialize": True,
    },
}


@pytest.fixture(scope="module")
def unet() -> UNet:
    return fill_by_rule(UNet.from_config(CONFIG)).eval()


def window(frames: int = 3, batch: int = 2, size: tuple[int, int] = (8, 8)) -> tuple[torch.Tensor, torch.Tensor]:
    """A sample and its audio, (b, 13, f, h, w) and (b*f, 10, 24)."""
    generator = torch.Generator().manual_seed(frames + batch)
    sample = torch.randn(batch, 13, frames, *size, generator=generator)
    return sample, torch.randn(batch * frames, 10, 24, generator=generator)


def changed(**values) -> dict:
    return CONFIG | values


def changed_motion(**values) -> dict:
    return CONFIG | {"motion_module_kwargs": CONFIG["motion_module_kwargs"] | values}


@torch.inference_mode()
def test_a_timestep_may_be_a_number_a_tensor_or_one_a_window(unet):
    sample, audio = window()
    expected = unet(sample, 501, audio)
    for step in (501.0, torch.tensor(501), torch.tensor([501]), torch.tensor([501, 501])):
        assert torch.equal(unet(sample, step, audio), expected)


@torch.inference_mode()
def test_audio_may_come_by_window_and_frame(unet):
    sample, audio = window()
    assert torch.equal(unet(sample, 1, audio.unflatten(0, (2, 3))), unet(sample, 1, audio))


@torch.inference_mode()
def test_audio_keys_are_as_good_as_the_audio_and_zeros_in_front_may_be_left_out(unet):
    sample, audio = torch.randn(2, 13, 3, 8, 8), torch.randn(3, 4, 24)
    with torch.inference_mode():
        keys = unet.audio_keys(audio)
        guided = unet(sample, 501, torch.cat([torch.zeros_like(audio), audio]))
        torch.testing.assert_close(unet(sample, 501, keys), guided, rtol=0, atol=1e-6)
        torch.testing.assert_close(unet(sample[1:], 501, keys), unet(sample[1:], 501, audio), rtol=0, atol=1e-6)
        assert (guided - unet(sample, 501, torch.cat([audio, audio]))).abs().max() > 1e-3


def test_audio_keys_of_another_width_or_count_are_refused(unet):
    with pytest.raises(ModelError, match=r"audio of shape \(n, tokens, 24\)"):
        unet.audio_keys(torch.zeros(3, 4, 25))
    with pytest.raises(ModelError, match="the audio of 4 pictures for windows of 3 frames"):
        unet(torch.zeros(2, 13, 3, 8, 8), 501, unet.audio_keys(torch.zeros(4, 4, 24)))


@torch.inference_mode()
def test_only_the_middle_rows_of_the_audio_count_where_the_config_says_so(unet):
    two_rows = UNet.from_config(changed(audio_rows=2)).eval()
    two_rows.load_state_dict(unet.state_dict())
    sample, _ = window()
    levels = 3
    audio = torch.randn(6, 10 * levels, 24, generator=torch.Generator().manual_seed(4))
    seen = audio[:, 4 * levels : 6 * levels]
    expected = unet(sample, 501, seen)
    assert torch.equal(two_rows(sample, 501, audio), expected)
    torch.testing.assert_close(two_rows(sample, 501, two_rows.audio_keys(audio)), expected, rtol=0, atol=1e-6)
    other = torch.randn_like(audio)
    other[:, 4 * levels : 6 * levels] = seen
    assert torch.equal(two_rows(sample, 501, other), expected)
    with pytest.raises(ModelError, match="got 24 audio tokens a frame, not those of 10 rows"):
        two_rows(sample, 501, audio[:, :24])


@pytest.mark.parametrize("rows", [0, 1, 3, 12, "2", 2.5, None, True])
def test_an_impossible_number_of_audio_rows_is_refused(rows):
    with pytest.raises(ModelError, match=r"audio_rows to .*; it must be an even number from 2 to 10"):
        UNetConfig.from_dict(changed(audio_rows=rows))


def test_the_number_of_audio_rows_is_written_only_where_it_is_not_upstreams():
    assert "audio_rows" not in UNetConfig.from_dict(CONFIG).to_dict()
    fewer = UNetConfig.from_dict(changed(audio_rows=4))
    assert fewer.to_dict()["audio_rows"] == 4
    assert UNetConfig.from_dict(fewer.to_dict()) == fewer


def test_windows_of_a_batch_do_not_see_each_other(unet):
    sample, audio = window()
    together = unet(sample, torch.tensor([7, 901]), audio)
    alone = torch.cat([unet(sample[:1], 7, audio[:3]), unet(sample[1:], 901, audio[3:])])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_any_size_comes_back_as_it_went_in(unet):
    for size in ((8, 8), (9, 7), (1, 5)):
        sample, audio = window(size=size)
        assert unet(sample, 1, audio).shape == (2, 4, 3, *size)


@torch.inference_mode()
def test_the_sample_decides_the_precision_of_the_output(unet):
    sample, audio = window()
    half = UNet.from_config(CONFIG, dtype=torch.bfloat16)
    half.load_state_dict(unet.state_dict())
    out = half(sample.bfloat16(), 501, audio)
    assert out.dtype == torch.bfloat16
    assert (out.float() - unet(sample, 501, audio)).abs().mean() < 0.02


def test_gradients_reach_the_sample(unet):
    sample, audio = window(frames=2, batch=1)
    sample.requires_grad_()
    unet(sample, 501, audio).square().mean().backward()
    assert sample.grad.abs().min() > 0


def test_every_layer_with_weights_is_made_by_the_operations_given():
    made = []

    def recording(layer_class):
        def make(*args, **kwargs):
            made.append(layer_class(*args, **kwargs))
            return made[-1]

        return make

    class Operations:
        Linear, Conv2d = recording(nn.Linear), recording(nn.Conv2d)
        GroupNorm, LayerNorm = recording(nn.GroupNorm), recording(nn.LayerNorm)

    unet = UNet.from_config(CONFIG, Operations, dtype=torch.float16, device="meta")
    assert {id(p) for p in unet.parameters()} == {id(p) for layer in made for p in layer.parameters()}
    assert all(p.dtype == torch.float16 and p.is_meta for p in unet.parameters())


def test_on_the_meta_device_the_position_tables_are_real():
    assert all(not table.is_meta for table in UNet.from_config(CONFIG, device="meta").buffers())


@pytest.mark.parametrize(
    ("config", "places"),
    [
        (changed(use_motion_module=False), set()),
        (changed(motion_module_decoder_only=True), {"up_blocks.0", "up_blocks.1"}),
        (changed(motion_module_resolutions=[1]), {"down_blocks.0", "up_blocks.1"}),
    ],
)
def test_motion_modules_stand_where_the_config_puts_them(config, places):
    unet = UNet.from_config(config)
    keys = unet.state_dict()
    assert {".".join(key.split(".")[:2]) for key in keys if "motion_modules" in key} == places
    with torch.inference_mode():
        assert unet(window()[0], 1, window()[1]).shape == (2, 4, 3, 8, 8)


@pytest.mark.parametrize("values", [{}, {"use_motion_module": False}, {"motion_module_decoder_only": True}])
def test_a_config_survives_being_written_and_read(values):
    config = UNetConfig.from_dict(changed(**values))
    assert UNetConfig.from_dict(config.to_dict()) == config


def test_without_motion_its_keys_may_be_left_out():
    bare = {key: value for key, value in CONFIG.items() if not key.startswith("motion_module")}
    assert UNet.from_config(bare | {"use_motion_module": False}, device="meta").config.motion is None


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (changed(upcast="yes"), ["unknown key", "upcast"]),
        (changed(act_fn="relu"), ["act_fn", "'relu'", "'silu'"]),
        (changed(add_audio_layer=False), ["add_audio_layer", "False"]),
        (changed(down_block_types=["DownBlock2D", "DownBlock3D"]), ["DownBlock2D", "down_block_types"]),
        (changed(up_block_types=["UpBlock3D"]), ["1 up_block_types", "2"]),
        (changed(block_out_channels=[32, 50]), ["50", "norm_num_groups"]),
        (changed(layers_per_block=0), ["above 0"]),
        (changed_motion(attention_block_types=["Spatial_Self"]), ["Spatial_Self", "attention_block_types"]),
        (changed_motion(temporal_attention_dim_div=2), ["motion_module_kwargs.temporal_attention_dim_div", "2"]),
        (changed_motion(rope=True), ["motion_module_kwargs.rope"]),
        ({key: value for key, value in CONFIG.items() if key != "norm_eps"}, ["lacks", "norm_eps"]),
    ],
)
def test_a_config_that_it_cannot_follow_is_refused_by_name(config, words):
    with pytest.raises(ModelError) as refusal:
        UNet.from_config(config, device="meta")
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize(
    ("sample", "audio", "steps", "words"),
    [
        ((1, 4, 3, 8, 8), (3, 10, 24), 1, ["(b, 13, f, h, w)", "(1, 4, 3, 8, 8)"]),
        ((1, 13, 3, 8, 8), (2, 10, 24), 1, ["(3, tokens, 24)", "(2, 10, 24)"]),
        ((1, 13, 3, 8, 8), (3, 10, 384), 1, ["(3, 10, 384)", "Whisper"]),
        ((1, 13, 25, 8, 8), (25, 10, 24), 1, ["25 frames", "24"]),
        ((2, 13, 1, 8, 8), (2, 10, 24), 3, ["3 timesteps", "2 windows"]),
    ],
)
def test_shapes_that_do_not_fit_are_refused_with_the_numbers(unet, sample, audio, steps, words):
    with pytest.raises(ModelError) as refusal:
        unet(torch.zeros(sample), torch.zeros(steps), torch.zeros(audio))
    for word in words:
        assert word in str(refusal.value)
