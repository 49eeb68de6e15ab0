"""The U-Net gives what the reference gives, block by block; tolerances are those that the reference data recommends."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from latentsync_core.models.unet.unet import UNet, timestep_embedding
from tests.parity.makers.make_unet_data import CASES, thinned
from tests.parity.rule_weights import fill_by_rule, rule_tensor
from tests.shared_reference import SHARED, needs_shared

DATA = Path(__file__).parent / "data"
TINY = SHARED / "reference/unet_tiny"
SMALL_LATENTS = "dehi"  # 8 rows of latents are 1 row at the bottom, where rounding weighs more


def tolerance(case: str) -> float:
    return 3e-4 if case in SMALL_LATENTS else 3e-5


def bound_of(expected: torch.Tensor) -> float:
    """The recommended bound is for outputs of rms 0.6; float32 rounds larger values in proportion."""
    return 3e-5 * max(1.0, expected.pow(2).mean().sqrt().item() / 0.6)


@pytest.fixture(scope="module")
def goldens() -> dict[str, torch.Tensor]:
    return load_file(DATA / "unet_tiny.safetensors")


@pytest.fixture(scope="module")
def tiny() -> UNet:
    with safe_open(DATA / "unet_tiny.safetensors", "pt") as file:
        config = json.loads(file.metadata()["config"])
    return fill_by_rule(UNet.from_config(config)).eval()


@pytest.fixture(scope="module")
def full_keys() -> dict:
    return json.loads(gzip.decompress((DATA / "unet_keys.json.gz").read_bytes()))


def error(unet: UNet, cases: dict[str, torch.Tensor], case: str) -> float:
    """The largest distance of one case's output from the reference."""
    with torch.inference_mode():
        out = unet(cases[f"{case}.sample"], cases[f"{case}.timestep"], cases[f"{case}.encoder_hidden_states"])
    expected = cases[f"{case}.output"]
    assert out.shape == expected.shape
    return (out - expected).abs().max().item()


@pytest.mark.parametrize("case", CASES)
def test_it_predicts_the_references_noise(tiny, goldens, case):
    assert error(tiny, goldens, case) < tolerance(case)


@needs_shared
@pytest.mark.parametrize("case", "abcdefghi")
def test_it_predicts_the_references_noise_in_every_case(tiny, case):
    assert error(tiny, load_file(TINY / "cases.safetensors"), case) < tolerance(case)


@needs_shared
def test_the_rule_draws_the_references_weights_and_tables(tiny):
    expected = load_file(TINY / "unet_tiny.safetensors")
    assert expected.keys() == tiny.state_dict().keys()
    for key, tensor in tiny.state_dict().items():
        torch.testing.assert_close(tensor, expected[key], atol=2e-6, rtol=0)


def block_outputs(unet: UNet, cases: dict[str, torch.Tensor], frames: int = 5) -> dict[str, torch.Tensor]:
    """What every module gives during case c, in the reference's layout (b, c, f, h, w) and under its names."""
    seen, hooks = {}, []

    def as_video(x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(0, (-1, frames)).transpose(1, 2)

    def keep(name: str):
        def hook(_module, _inputs, out):
            if isinstance(out, list):
                seen.update({f"{name}.res{index}": as_video(x) for index, x in enumerate(out)})
                seen[f"{name}.hidden"] = as_video(out[-1])
            elif out.ndim == 4 and len(out) % frames:
                seen[name] = out.unflatten(2, (frames, -1)).clone()  # a tall picture, to be activated in place
            else:
                seen[name] = as_video(out) if out.ndim == 4 else out

        return hook

    for name, module in unet.named_modules():
        if name:
            hooks.append(module.register_forward_hook(keep(name)))
    try:
        error(unet, cases, "c")
    finally:
        for hook in hooks:
            hook.remove()
    seen["time_proj"] = timestep_embedding(1, unet.config.block_channels[0], torch.zeros(1))
    return seen


def test_every_block_gives_what_the_references_block_gives(tiny, goldens):
    seen = block_outputs(tiny, goldens)
    blocks = {name.removeprefix("block."): block for name, block in goldens.items() if name.startswith("block.")}
    assert len(blocks) == 40
    for name, expected in blocks.items():
        torch.testing.assert_close(
            thinned(seen[name]), expected, atol=bound_of(expected), rtol=0, msg=lambda m, n=name: f"{n}: {m}"
        )


@needs_shared
def test_every_blocks_every_value_is_the_references(tiny, goldens):
    seen = block_outputs(tiny, goldens)
    for name, expected in load_file(TINY / "blocks_case_c.safetensors").items():
        torch.testing.assert_close(
            seen[name], expected, atol=bound_of(expected), rtol=0, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_the_full_model_has_the_released_checkpoints_keys_and_shapes(full_keys):
    unet = UNet.from_config(full_keys["config"], device="meta")
    assert {key: list(tensor.shape) for key, tensor in unet.state_dict().items()} == full_keys["keys"]
    assert sum(parameter.numel() for parameter in unet.parameters()) == 1_267_099_844


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("case", "ab")
def test_the_full_model_predicts_the_references_noise(full_model, case):
    """Quick: test_it_predicts_the_references_noise, of the small network."""
    assert error(full_model, load_file(SHARED / "reference/unet_full_rule/cases.safetensors"), case) < 1e-4


@pytest.fixture(scope="module")
def full_model(full_keys) -> UNet:
    """Five gigabytes of rule weights in a network that was built without any."""
    unet = UNet.from_config(full_keys["config"], device="meta").eval()
    drawn = {key: rule_tensor(key, parameter.shape) for key, parameter in unet.named_parameters()}
    unet.load_state_dict(drawn, strict=False, assign=True)  # all but the position tables
    return unet
