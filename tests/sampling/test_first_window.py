"""Garbage stops a job at its first window and names the likely cause; dark, masked and demonstration faces don't."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch

from latentsync_core.audio.features import AudioEmbedding, embed_audio
from latentsync_core.audio.source import load_audio
from latentsync_core.errors import ModelError
from latentsync_core.faces.alignment.mouth_mask import mouth_mask
from latentsync_core.messages import Remedy
from latentsync_core.models.load_options import LoadOptions
from latentsync_core.models.loading import untrained
from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.models.loading.weights import load_model
from latentsync_core.models.model import LatentSyncModel
from latentsync_core.models.vae import DiffusersCodec
from latentsync_core.pipeline import sample
from latentsync_core.sample_scene import SCENE
from latentsync_core.sampling.first_window import UNTRAINED, _flaw
from latentsync_core.sampling.sampler_options import SamplerOptions
from latentsync_core.video.reading.probing import clip_from_images, probe
from latentsync_core.video.reading.reader import FrameReader
from tests.made_faces import made_faces, make_track
from tests.one_thread import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")  # quicker beside other processes

BOX = (430, 100, 660, 400)  # her face in the scene's first frames
OPTIONS = SamplerOptions(steps=1, cfg=1.0)


@pytest.fixture(scope="module")
def nano() -> LatentSyncModel:
    return load_model("nano", LoadOptions(device="cpu"))


@pytest.fixture(scope="module")
def voice(nano) -> AudioEmbedding:
    tone = torch.sin(torch.arange(4000) / 10)[None, None]
    return embed_audio(load_audio({"waveform": tone, "sample_rate": 16000}), nano.whisper)


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    """(2, h, w, 3): the scene's first two frames."""
    with FrameReader(probe(SCENE), 0, 2) as frames:
        return torch.stack([frame.rgb().movedim(0, -1) for frame in frames])


def draw(model: LatentSyncModel, voice: AudioEmbedding, pictures: torch.Tensor, **options) -> torch.Tensor:
    """The latents of the pictures' face."""
    clip = clip_from_images(pictures, Fraction(25))
    faces = made_faces(clip, [make_track(0, 0, len(pictures), box=BOX)])
    with sample(model, faces, voice, dataclasses.replace(OPTIONS, **options)).patches as patches:
        return patches.get(list(range(len(pictures))))


def with_weights(model: LatentSyncModel, part: str, change: Callable[[str, torch.Tensor], object]) -> LatentSyncModel:
    """The model, its U-Net's or VAE's weights changed in place by `change`."""
    network = copy.deepcopy(model.unet if part == "unet" else model.codec.vae)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            change(name, weight)
    return dataclasses.replace(model, **({"unet": network} if part == "unet" else {"codec": DiffusersCodec(network)}))


def scaled(layer: str, factor: float) -> Callable[[str, torch.Tensor], object]:
    return lambda name, weight: weight.mul_(factor) if layer in name else None


def poisoned(layer: str) -> Callable[[str, torch.Tensor], object]:
    return lambda name, weight: weight[(slice(1),) * weight.ndim].fill_(float("nan")) if name == layer else None


def shuffled(_name: str, weight: torch.Tensor) -> None:
    """Every weight in another place: the sizes of a trained network, and nothing that it learnt."""
    order = torch.randperm(weight.numel(), generator=torch.Generator().manual_seed(weight.numel()))
    weight.copy_(weight.flatten()[order].view_as(weight))


def drawn_at_random(_name: str, weight: torch.Tensor) -> None:
    """Normal numbers of the trained weights' own spread."""
    if weight.ndim > 1:
        drawn = torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel()))
        weight.copy_(drawn * weight.std())


BROKEN = {
    "a U-Net with a value that is not a number": ("unet", poisoned("conv_out.weight"), "the U-Net of nano computed"),
    "a VAE that encodes no numbers": ("vae", poisoned("encoder.conv_in.weight"), "the VAE's encoder of nano computed"),
    "a VAE that decodes no numbers": ("vae", poisoned("decoder.conv_out.bias"), "the VAE's decoder of nano computed"),
    "a black VAE": ("vae", lambda name, w: w.fill_(-2.0 * ("bias" in name)) if "decoder.conv_out" in name else None,
                    "100% of the mouth region is black or white where the clip is not; its VAE alone"),
    "a grey VAE": ("vae", scaled("decoder.conv_out", 0.0), "one flat colour of brightness 0.50.*; its VAE alone"),
    "a saturated VAE": ("vae", scaled("decoder.conv_out", 30.0), "is black or white where the clip is not; its VAE"),
    "another VAE": ("vae", shuffled, "; its VAE alone doesn't render the face either"),
    "a silent U-Net": ("unet", scaled("conv_out", 0.0), "; its VAE alone renders the face well, so the U-Net's"),
    "an exploding U-Net": ("unet", scaled("conv_out", 30.0), "; its VAE alone renders the face well, so the U-Net's"),
    "an untrained U-Net": ("unet", drawn_at_random, "; its VAE alone renders the face well, so the U-Net's"),
}  # fmt: skip


@pytest.mark.parametrize(("part", "change", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_weights_stop_the_job_with_what_was_measured_and_the_cause(nano, voice, pictures, part, change, message):
    with pytest.raises(ModelError, match=message):
        draw(with_weights(nano, part, change), voice, pictures)


def test_a_flat_mouths_brightness_is_said_beside_the_clips_own():
    mouth = mouth_mask(64) == 0
    crops = torch.where(mouth, 0.4, 0.8) + 0.1 * torch.linspace(-1, 1, 64).expand(2, 3, 64, 64)
    drawn = torch.where(mouth, 0.6, crops)
    assert re.search(r"flat colour of brightness 0\.60 .* where the clip has 0\.40", _flaw(drawn, crops))


def test_in_half_precision_values_that_are_no_numbers_call_for_a_larger_range(nano, voice, pictures):
    broken = with_weights(nano, "unet", poisoned("conv_out.weight"))
    with pytest.raises(ModelError, match="overflowed") as stopped:
        draw(dataclasses.replace(broken, dtype=torch.float16), voice, pictures)
    assert stopped.value.ways_out == (Remedy.RAISE_PRECISION,)


def test_nothing_of_a_stopped_job_is_kept_as_finished(nano, voice, pictures, tmp_path):
    clip = clip_from_images(pictures, Fraction(25))
    faces = made_faces(clip, [make_track(0, 0, 2, box=BOX)])
    with pytest.raises(ModelError):
        sample(with_weights(nano, "unet", scaled("conv_out", 30.0)), faces, voice, OPTIONS, folder=tmp_path)
    assert [path.read_bytes() for path in tmp_path.glob("*.finished")] == [bytes(2)]


def masked(pictures: torch.Tensor) -> torch.Tensor:
    """A black mask over nose, mouth and chin."""
    covered = pictures.clone()
    x0, y0, x1, y1 = BOX
    covered[:, (y0 + y1) // 2 : y1, x0:x1] = 0.01
    return covered


def at_night(pictures: torch.Tensor) -> torch.Tensor:
    """Nearly black, and grainier than there is picture."""
    grain = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(2))
    return (0.04 * pictures + 0.02 * grain).clamp(0, 1)


AWKWARD = {
    "as filmed": lambda pictures: pictures,
    "at night": at_night,
    "black": torch.zeros_like,
    "overexposed": lambda pictures: (3 * pictures).clamp(0, 1),
    "a black mask": masked,
    "grainy": lambda pictures: (pictures + 0.15 * torch.randn(pictures.shape)).clamp(0, 1),
}


@pytest.mark.parametrize("change", AWKWARD.values(), ids=AWKWARD)
def test_a_trained_model_draws_any_footage(nano, voice, pictures, change):
    assert draw(nano, voice, change(pictures)).isfinite().all()


def test_strong_guidance_is_no_garbage(nano, voice, pictures):
    assert draw(nano, voice, pictures, cfg=5.0).isfinite().all()


def test_the_demonstration_model_of_random_weights_draws_its_noise(pictures):
    assert UNTRAINED == untrained.NAME
    model = untrained_model(resolution=64)
    tone = load_audio({"waveform": torch.zeros(1, 1, 4000), "sample_rate": 16000})
    assert draw(model, embed_audio(tone, model.whisper), pictures).isfinite().all()


def test_the_preset_that_reproduces_the_reference_takes_any_weights(nano, voice, pictures):
    broken = with_weights(nano, "unet", scaled("conv_out", 0.0))
    assert draw(broken, voice, pictures, reference=True).isfinite().all()
