"""A compiled U-Net gives what it gives uncompiled, compiles one shape, and runs all the same where compiling fails."""

from __future__ import annotations

import shutil

import pytest
import torch

from latentsync_core.messages import NoteLevel
from latentsync_core.models.unet.compiled import compile_unet, compiled_forward
from latentsync_core.models.unet.config import MotionConfig, UNetConfig
from latentsync_core.models.unet.unet import UNet
from tests.one_thread import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = UNetConfig(
    block_channels=(32,), resnets_per_block=1, audio_width=8, down_attention=(True,), up_attention=(True,),
    motion=MotionConfig(attentions=1), motion_levels=(True,),
)  # fmt: skip
FRAMES = 3


@pytest.fixture(name="unet")
def small_unet() -> UNet:
    torch._dynamo.reset()
    torch.manual_seed(1)
    return UNet.from_config(SMALL).eval()


def windows(batch: int, frames: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(batch * 100 + frames)
    sample = torch.randn(batch, 13, frames, 8, 8, generator=generator)
    return sample, torch.tensor(501), torch.randn(batch * frames, 4, 8, generator=generator)


class Counting:
    """A backend that compiles nothing, and counts what it is given."""

    def __init__(self) -> None:
        self.compiled = 0

    def __call__(self, graph: torch.fx.GraphModule, _inputs: list) -> object:
        self.compiled += 1
        return graph.forward


@torch.inference_mode()
def test_only_whole_windows_in_the_largest_batch_are_compiled_and_all_come_to_the_same(unet):
    shapes = [(2, FRAMES), (2, FRAMES), (2, 2), (1, FRAMES), (2, FRAMES)]
    plain = [unet(*windows(*shape)) for shape in shapes]
    names = list(unet.state_dict())
    backend = Counting()
    compile_unet(unet, backend)
    compiled_forward(unet).begin(FRAMES)
    for shape, expected in zip(shapes, plain, strict=True):
        torch.testing.assert_close(unet(*windows(*shape)), expected, rtol=0, atol=1e-5)
    graphs = backend.compiled
    assert graphs >= 1
    unet(*windows(2, FRAMES))
    unet(*windows(1, 2))
    assert backend.compiled == graphs
    assert list(unet.state_dict()) == names
    assert compiled_forward(unet).notes == ()


@torch.inference_mode()
def test_where_compiling_fails_it_runs_uncompiled_with_a_note(unet):
    def broken(_graph: torch.fx.GraphModule, _inputs: list) -> object:
        raise RuntimeError("no C++ compiler found\nset CXX")

    expected = unet(*windows(2, FRAMES))
    compile_unet(unet, broken)
    compiled_forward(unet).begin(FRAMES)
    for _ in range(2):
        assert torch.equal(unet(*windows(2, FRAMES)), expected)
    (note,) = compiled_forward(unet).notes
    assert note.level is NoteLevel.WARNING
    assert str(note).startswith("torch.compile failed, and the U-Net ran uncompiled (")
    assert "no C++ compiler found" in str(note)


def test_an_uncompiled_network_has_no_compiled_forward(unet):
    assert compiled_forward(unet) is None


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@torch.inference_mode()
def test_a_network_that_is_really_compiled_gives_the_same(unet, tmp_path, monkeypatch):
    """Quick: test_only_whole_windows_in_the_largest_batch_are_compiled_and_all_come_to_the_same"""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    expected = unet(*windows(2, FRAMES))
    compile_unet(unet)
    compiled_forward(unet).begin(FRAMES)
    found = unet(*windows(2, FRAMES))
    assert compiled_forward(unet).notes == ()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert any(tmp_path.rglob("*.so"))
