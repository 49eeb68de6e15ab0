"""Crops from a restorer keep their detail and take colour and light of the generated faces: the sample scene's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from latentsync_core.audio.features import embed_audio
from latentsync_core.audio.source import load_audio
from latentsync_core.compositing.composite_options import CompositeOptions, Region
from latentsync_core.compositing.crop_light import with_light_of
from latentsync_core.compositing.face_crops import decode_faces, replace_faces
from latentsync_core.compositing.rendering import render
from latentsync_core.faces.find import find_faces
from latentsync_core.imaging.filters import gaussian_blur
from latentsync_core.models.loading.weights import load_model
from latentsync_core.pipeline import sample
from latentsync_core.sample_scene import SCENE, VOICE
from latentsync_core.sampling.sampler_options import SamplerOptions
from latentsync_core.video.reading.probing import probe
from tests.one_thread import one_thread  # noqa: F401
from tests.slow_parameters import others_slow

pytestmark = pytest.mark.usefixtures("one_thread")  # quicker beside other processes

FIRST, FRAMES = 28, 3  # of the sample scene: she speaks
CAST = torch.tensor([10.0, -4.0, -8.0])[:, None, None] / 255
LIGHT_RADIUS = 6  # pixels of the frame: what a blur of so much leaves is light
LARGEST_CHANGE = 1.2  # levels of light, root mean square, between a restored and the plain face
SHARPNESS = (0.9, 1.1)  # of the restored face relative to the plain one


def test_light_is_the_given_ones_and_detail_its_own():
    generator = torch.Generator().manual_seed(1)
    soft = F.interpolate(torch.rand(1, 3, 4, 4, generator=generator), (64, 64), mode="bicubic")[0] * 0.4 + 0.3
    detail = 0.05 * (torch.arange(128) % 2 * 2 - 1.0).expand(3, 128, 128)
    cast = F.interpolate(soft[None], (128, 128), mode="bilinear")[0] * 0.8 + CAST + detail
    relit, half = with_light_of(cast, soft, 1.0), with_light_of(cast, soft, 0.5)
    wanted = F.interpolate(soft[None], (128, 128), mode="bilinear")[0] + detail
    assert (relit - wanted).abs().max() < 0.01
    torch.testing.assert_close(half, (cast + relit) / 2)
    assert torch.equal(with_light_of(cast, soft, 0.0), cast)


@pytest.fixture(scope="module")
def synced():
    model = load_model("nano")
    faces = find_faces(probe(SCENE).subclip(FIRST, FIRST + FRAMES))
    voice = embed_audio(load_audio(VOICE), model.whisper)
    made = sample(model, faces, voice, SamplerOptions(steps=1, cfg=1.5))
    with made.patches:
        yield made


@pytest.fixture(scope="module")
def crops(synced):
    return torch.stack([crop for _, crop in decode_faces(synced)])


def enlarged(crops, factor):
    return F.interpolate(crops, scale_factor=factor, mode="bicubic", antialias=True).clamp(0, 1)


def sharpened(crops, amount):
    soft = torch.stack([torch.stack([gaussian_blur(plane, 2) for plane in crop]) for crop in crops])
    return (crops + amount * (crops - soft)).clamp(0, 1)


RESTORERS = {
    "a colour cast": lambda crops: (crops + CAST).clamp(0, 1),
    "another contrast": lambda crops: crops**0.85,
    "twice the size": lambda crops: enlarged(crops, 2),
    "flicker": lambda crops: crops * torch.linspace(0.9, 1.1, len(crops))[:, None, None, None],
    "twice the size, a cast, sharpened": lambda crops: sharpened(enlarged(crops, 2) + CAST, 1.0),
    "four times the size, a cast, sharpened": lambda crops: sharpened(enlarged(crops, 4) + CAST, 1.5),
}


def composited(synced, options) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Every frame, (3, H, W), and where most of the patch shows, (H, W) bool."""
    return [(rendered.frame.rgb(), rendered.matte > 0.5) for rendered in render(synced, options)]


def low(picture: torch.Tensor) -> torch.Tensor:
    return torch.stack([gaussian_blur(plane, LIGHT_RADIUS) for plane in picture])


def fine(picture: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    return torch.stack([plane - gaussian_blur(plane, 1) for plane in picture])[:, inside].square().mean().sqrt()


@pytest.fixture(scope="module")
def plain(synced):
    return composited(synced, CompositeOptions(region=Region.MOUTH))


def changes(synced, crops, plain, **matching) -> tuple[float, float]:
    """Of crops in the place of the plain faces: levels by which the light changes, and the ratio of sharpness."""
    with (replaced := replace_faces(synced, iter(crops))).patches:
        pictures = composited(replaced, CompositeOptions(region=Region.MOUTH, **matching))
    light, ratio = [], []
    for (before, inside), (after, _) in zip(plain, pictures, strict=True):
        light.append((low(after) - low(before))[:, inside].square().mean().sqrt() * 255)
        ratio.append(fine(after, inside) / fine(before, inside))
    return float(torch.stack(light).max()), float(torch.stack(ratio).mean())


@pytest.mark.parametrize(
    "restorer",
    others_slow(RESTORERS, quick=("another contrast", "flicker", "twice the size, a cast, sharpened")),
)
def test_a_restored_face_has_the_light_and_sharpness_of_the_plain_one(synced, crops, plain, restorer):
    """Quick: test_a_restored_face_has_the_light_and_sharpness_of_the_plain_one, enlarged, cast, sharpened at once."""
    light, sharpness = changes(synced, RESTORERS[restorer](crops), plain)
    assert light < LARGEST_CHANGE
    assert SHARPNESS[0] < sharpness < SHARPNESS[1]


def test_without_the_match_the_restorers_cast_stays(synced, crops, plain):
    light, _ = changes(synced, RESTORERS["a colour cast"](crops), plain, match_color=0.0, match_grain=0.0)
    assert light > 5 * LARGEST_CHANGE


def test_after_two_restorers_the_light_is_still_the_samplers(synced, crops, plain):
    with (once := replace_faces(synced, iter(RESTORERS["a colour cast"](crops)))).patches:
        again = torch.stack([crop for _, crop in decode_faces(once)])
        light, _ = changes(once, RESTORERS["another contrast"](again), plain)
    assert light < LARGEST_CHANGE
