"""The memory plan counts what the networks really allocate, and lowers what is asked for until it fits."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from latentsync_core.messages import NoteLevel
from latentsync_core.models.load_options import LoadOptions
from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.models.loading.weights import load_model
from latentsync_core.models.memory.estimate import decoding_values, denoising_values, peak_bytes
from latentsync_core.models.memory.plan import MemoryPlan, Networks, plan_memory, required_bytes
from latentsync_core.models.unet.config import UNetConfig
from latentsync_core.models.unet.unet import UNet
from latentsync_core.models.vae import SD_VAE_CONFIG
from tests.one_thread import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")

WHISPER_TINY_BYTES = 33_000_000
GB = 1_000_000_000


@pytest.fixture(name="model")
def small_model():
    return untrained_model(resolution=64)


def released(resolution: int, **changes) -> Networks:
    """LatentSync 1.5's networks at 256 pixels, 1.6's at 512."""
    return Networks(UNetConfig(), SD_VAE_CONFIG, resolution, other_bytes=WHISPER_TINY_BYTES, **changes)


def wanted(resolution: int, dtype: torch.dtype = torch.float16, **changes) -> MemoryPlan:
    return MemoryPlan.unlimited(resolution, dtype, **changes)


@torch.no_grad()
@pytest.mark.parametrize(("windows", "dtype"), [(1, torch.float32), (3, torch.float32), (2, torch.bfloat16)], ids=str)
def test_the_estimate_is_what_a_real_step_allocates(model, windows, dtype):
    estimated = windows * denoising_values(model.unet.config, 64, 4) * dtype.itemsize
    assert step_bytes(model.unet.to(dtype), windows, dtype) == pytest.approx(estimated, rel=0.05)


def step_bytes(unet: UNet, windows: int, dtype: torch.dtype) -> int:
    """The most bytes that a step of windows of four frames holds."""

    def step() -> torch.Tensor:
        audio = torch.zeros(windows * 4, 130, unet.config.audio_width, dtype=dtype)
        return unet(torch.zeros(windows, 13, 4, 8, 8, dtype=dtype), 0.0, audio)

    return peak_bytes(step, unet)


def test_a_step_allocates_no_more_in_a_process_that_has_compiled(model):
    from torch._C._dynamo.eval_frame import set_eval_frame

    unet = model.unet.float()
    expected = step_bytes(unet, 1, torch.float32)
    before = set_eval_frame(False)  # calls are evaluated as they are from the first use of torch.compile on
    try:
        assert step_bytes(unet, 1, torch.float32) == expected
    finally:
        set_eval_frame(before)


@torch.no_grad()
def test_so_it_is_of_decoding(model):
    decoded = peak_bytes(lambda: model.codec.vae.decode(torch.zeros(1, 4, 8, 8)), model.codec.vae)
    assert decoding_values(model.codec.config, 64) * 4 == pytest.approx(decoded, rel=0.05)


def test_activations_grow_with_frames_and_resolution(model):
    config = model.unet.config
    base = denoising_values(config, 64, 8)
    assert denoising_values(config, 64, 16) == pytest.approx(2 * base, rel=0.01)
    assert 3 * base < denoising_values(config, 128, 8) < 4.1 * base


@pytest.mark.parametrize(("resolution", "gigabytes"), [(512, 8), (256, 5)], ids=["1.6 in 8 GB", "1.5 in 5 GB"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
def test_the_releases_fit_by_plan_without_offloading(resolution, gigabytes, dtype):
    networks, asked = released(resolution), wanted(resolution, dtype, window_batch=4)
    plan, notes = plan_memory(networks, asked, gigabytes * GB)
    assert required_bytes(networks, plan) <= gigabytes * GB
    assert (plan.dtype, plan.offload, plan.halves_in_turn) == (torch.float16, False, False)
    if dtype is torch.float32:
        assert "half precision (fp16)" in str(notes[0])
        assert notes[0].level is NoteLevel.INFO


def test_a_precision_that_was_chosen_is_kept_and_the_weights_wait_in_main_memory():
    networks, asked = released(256), wanted(256, torch.float32)
    plan, (note,) = plan_memory(networks, asked, 5 * GB, may_lower_precision=False)
    assert (plan.dtype, plan.offload) == (torch.float32, True)
    assert required_bytes(networks, plan) <= 5 * GB
    assert str(note).startswith("5.0 GB of memory are free on the device, and ")
    assert str(note).endswith("the U-Net's weights wait in main memory")


def test_with_less_and_less_memory_more_and_more_is_lowered():
    networks, asked = released(512), wanted(512, torch.float32, window_batch=4)
    order = [
        ("window_batch", "at once instead of 4"),
        ("halves_in_turn", "one after the other"),
        ("dtype", "half precision"),
        ("offload", "main memory"),
    ]
    reached = []
    for free in range(int(required_bytes(networks, asked)), GB, -GB // 4):
        plan, notes = plan_memory(networks, asked, free)
        changed = [name for name, _ in order if getattr(plan, name) != getattr(asked, name)]
        assert all(words in str(notes[0]) for name, words in order if name in changed)
        reached += [name for name in changed if name not in reached]
        assert required_bytes(networks, plan) <= free or notes[0].level is NoteLevel.WARNING
    assert reached == [name for name, _ in order]


def test_without_enough_for_anything_the_least_is_planned_with_a_warning():
    networks = dataclasses.replace(released(512), frames=24)
    plan, (note,) = plan_memory(networks, wanted(512), GB // 2)
    assert (plan.offload, plan.window_batch, plan.decode_slice, plan.halves_in_turn) == (True, 1, 1, True)
    assert note.level is NoteLevel.WARNING
    assert "still are" in str(note)


def test_enough_memory_changes_nothing():
    assert plan_memory(released(512), wanted(512, window_batch=2), 80 * GB) == (wanted(512, window_batch=2), ())


def test_a_model_is_loaded_by_the_plan_for_what_its_device_has_free(monkeypatch):
    free = "latentsync_core.models.memory.device_fit.free_bytes"
    monkeypatch.setattr(free, lambda device: 80 * GB)
    rich = load_model("nano", LoadOptions(device="cpu"))
    assert (rich.dtype, rich.notes) == (torch.float32, ())
    needed = required_bytes(networks_of(rich), rich.memory_plan)
    monkeypatch.setattr(free, lambda device: needed - 1)
    poor = load_model("nano", LoadOptions(device="cpu"))
    assert poor.memory_plan.decode_slice < rich.memory_plan.decode_slice
    assert poor.codec.chunk_pixels == poor.memory_plan.decode_slice * poor.resolution**2
    assert "at once in the autoencoder" in str(poor.notes[0])
    monkeypatch.setattr(free, lambda device: 0)
    poorest = load_model("nano", LoadOptions(device="cpu"))
    assert poorest.dtype is poorest.unet.conv_in.weight.dtype is poorest.codec.dtype is torch.float16
    assert poorest.digest != rich.digest
    monkeypatch.setattr(free, lambda device: None)
    assert load_model("nano", LoadOptions(device="cpu")).memory_plan is None


def networks_of(model) -> Networks:
    other = sum(weight.numel() * weight.element_size() for weight in model.whisper.parameters())
    return Networks(model.unet.config, model.codec.config, model.resolution, other_bytes=other)
