"""The precision that "auto" comes to, and what half precision keeps in float32."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
import torch

from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.models.model import multiplies_bfloat16, resolve_dtype
from latentsync_core.models.unet.blocks import norm_over_window
from latentsync_core.sampling.denoising.denoise import denoise_windows
from latentsync_core.sampling.sampler_options import SamplerOptions
from tests.shared_reference import ROOT

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("kernels", "bf16_units", "amx", "expected"),
    [
        (True, True, False, torch.bfloat16),
        (True, False, True, torch.bfloat16),
        (True, False, False, torch.float32),  # AVX-512 without units
        (False, True, True, torch.float32),
    ],
)
def test_a_processor_with_units_for_bf16_uses_them_unless_told_otherwise(
    monkeypatch, kernels, bf16_units, amx, expected
):
    """The processor's answers are stood in for, since one machine has one processor."""
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: kernels, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16_units, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    assert resolve_dtype("auto", CPU) is expected
    assert resolve_dtype("fp32", CPU) is torch.float32


@pytest.mark.skipif(platform.system() != "Linux", reason="reads the processor's flags from Linux")
def test_this_processor_is_told_by_its_flags():
    """In a process that isn't kept from them, as the tests are."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        flags = next((line for line in file if line.startswith("flags")), "").split()
    code = "from latentsync_core.models.model import multiplies_bfloat16 as found; print(found())"
    free = {name: value for name, value in os.environ.items() if name != "ONEDNN_MAX_CPU_ISA"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=free, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(not {"avx512_bf16", "amx_tile"}.isdisjoint(flags))]
    assert not multiplies_bfloat16()


def test_group_norms_of_half_precision_keep_their_statistics_in_float32():
    """Far from zero, where statistics in half precision would be useless."""
    values = 200 + torch.randn(2 * 3, 32, 8, 8, generator=torch.Generator().manual_seed(1))
    norm = torch.nn.GroupNorm(8, 32)
    half = values.bfloat16()
    exact = norm_over_window(norm.float(), half.float(), 3)
    with torch.inference_mode():
        found = norm_over_window(norm.bfloat16(), half, 3)
    assert (found.float() - exact).abs().max() < 0.02


def test_the_sampler_steps_in_float32_whatever_the_networks_precision():
    unet = untrained_model(resolution=64, device="cpu", precision="bf16").unet
    seen = []
    noise = torch.randn(1, 2, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    options = SamplerOptions(steps=3, cfg=1.0)
    with torch.inference_mode():
        denoise_windows(
            unet, noise, torch.ones(8, 8), noise, noise, torch.zeros(1, 2, 30, 64), options,
            on_step=lambda _step, *states: seen.extend(state.dtype for state in states),
        )  # fmt: skip
    assert set(seen) == {torch.float32}
