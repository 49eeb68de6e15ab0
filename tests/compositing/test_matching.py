"""A patch takes the colour, light, sharpness and grain of the filmed skin around it, frame after frame the same way."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from latentsync_core.compositing.blending.color_match import GAMMA, light_gain, steady_gain, with_gain
from latentsync_core.compositing.blending.contour import VIEW_SIZE, FaceViews, on_view
from latentsync_core.compositing.blending.detail_match import LUMA, DetailMatcher
from latentsync_core.compositing.compositor import mouth_region
from latentsync_core.compositing.layer import Layer
from latentsync_core.imaging.filters import gaussian_blur
from latentsync_core.imaging.roi import Roi

KEPT = on_view(mouth_region(128)[None]).clamp(0, 1)
GAIN = np.log([1.25, 1.0, 0.85])  # of linear light


def skin(seed: int, height: int, width: int, radius: int = 6) -> torch.Tensor:
    """(3, height, width): soft spots of the colour of skin."""
    spots = torch.rand(height, width, generator=torch.Generator().manual_seed(seed))
    return gaussian_blur(spots, radius) * 0.6 * torch.tensor([1.2, 0.9, 0.8])[:, None, None] + 0.1


def views(gain: np.ndarray = GAIN, mouth: float | None = None, noise: float = 0.0) -> FaceViews:
    """A filmed view, and the same in another light, with a mouth of one brightness in the middle."""
    filmed = skin(1, VIEW_SIZE, VIEW_SIZE)
    generated = filmed * torch.from_numpy(np.exp(-gain / GAMMA)).float()[:, None, None]
    generated = generated + noise * torch.randn(generated.shape, generator=torch.Generator().manual_seed(2))
    if mouth is not None:
        generated[:, 108:132, 78:114] = mouth
    return FaceViews(filmed, generated.clamp(0, 1))


def test_the_gain_of_the_light_is_found():
    found = light_gain(views(noise=0.01), KEPT)
    np.testing.assert_allclose(found[:, 0], GAIN, atol=0.02)
    np.testing.assert_allclose(found[:, 1:], 0, atol=0.03)


@pytest.mark.parametrize("mouth", [0.05, 0.95])
def test_it_does_not_follow_the_mouths_inside(mouth):
    np.testing.assert_allclose(light_gain(views(mouth=mouth), KEPT), light_gain(views(), KEPT), atol=0.02)


def test_hair_or_a_background_that_differs_counts_for_nothing():
    changed = views()
    changed.generated[:, :, :66] = 0.6 * changed.generated[:, :, :66] + 0.3
    np.testing.assert_allclose(light_gain(changed, KEPT)[:, 0], GAIN, atol=0.06)


def test_a_patch_in_that_light_looks_like_the_filmed_skin_and_black_stays_black():
    filmed = skin(3, 64, 64)
    patch = filmed * torch.from_numpy(np.exp(-GAIN / GAMMA)).float()[:, None, None]
    patch[:, :8] = 0
    gain = np.column_stack([GAIN, np.zeros((3, 2))])
    matched, half = with_gain(patch, gain, 1.0), with_gain(patch, gain, 0.5)
    assert torch.allclose(matched[:, 8:], filmed[:, 8:], atol=1e-5)
    assert not matched[:, :8].any()
    assert torch.allclose(half.log() * 2, matched.log() + patch.log(), atol=1e-4, equal_nan=True)


def test_the_light_is_steady_over_a_shot_and_none_is_no_gain():
    random = np.random.default_rng(0)
    gains = [0.2 + 0.05 * random.standard_normal((3, 3)) for _ in range(54)]
    gains[20:30] = [None] * 10
    steady = np.array([steady_gain(gains[max(at - 48, 0) : at + 6], min(at, 48)) for at in range(48)])
    assert np.abs(np.diff(steady[10:], axis=0)).max() < 0.012
    assert np.abs(steady - 0.2).mean() < 0.02
    assert not steady_gain([None, None], 0).any()


def given(picture):
    """As `matched` asks for the filmed picture."""
    return lambda: picture


def ring_layer(rgb: torch.Tensor) -> Layer:
    """A layer whose alpha rises from its edge over a wide ring."""
    height, width = rgb.shape[1:]
    across = 1 - torch.linspace(-1, 1, width).abs()
    down = 1 - torch.linspace(-1, 1, height).abs()
    return Layer(Roi(0, 0, width, height), rgb, (torch.minimum(across[None], down[:, None]) * 3).clamp(0, 1))


def fine(rgb: torch.Tensor) -> torch.Tensor:
    """(3,) standard deviation of what a small blur takes away."""
    return torch.stack([(plane - gaussian_blur(plane, 1)).std() for plane in rgb])


def noisy(seed: int, deviation: float = 0.015) -> torch.Tensor:
    noise = torch.randn(150, 180, generator=torch.Generator().manual_seed(seed))
    return (skin(5, 150, 180) + deviation * noise).clamp(0, 1)


def test_a_smooth_patch_gets_the_grain_of_its_frame():
    smooth = skin(5, 150, 180)
    filmed = noisy(1)
    matched = DetailMatcher(1.0).matched(ring_layer(smooth), given(filmed), 0, 7).rgb
    ratio = fine(matched) / fine(filmed)
    assert 0.7 < float(ratio.min()) < float(ratio.max()) < 1.2
    assert abs(float((matched - smooth).mean())) < 1e-3, "no darker, no lighter"


def test_grain_in_colour_leaves_the_brightness_as_it_is():
    smooth = skin(5, 150, 180)
    red, blue = 0.03 * torch.randn(2, 150, 180, generator=torch.Generator().manual_seed(1))
    green = -(LUMA[0] * red + LUMA[2] * blue) / LUMA[1]
    matched = DetailMatcher(1.0).matched(ring_layer(smooth), given(smooth + torch.stack([red, green, blue])), 0, 7).rgb
    grain = matched - smooth
    assert min(grain[0].std(), grain[2].std()) > 0.01
    assert torch.einsum("chw,c->hw", grain, torch.tensor(LUMA)).std() < 1e-4


def test_grain_is_a_frames_own_and_repeats():
    layer = ring_layer(skin(5, 150, 180))
    one, again, next_frame = (DetailMatcher(1.0).matched(layer, given(noisy(1)), 0, frame).rgb for frame in (7, 7, 8))
    assert torch.equal(one, again)
    difference = (one - next_frame).std()
    assert 1.2 < float(difference / (one - layer.rgb).std()) < 1.6, "independent: the square root of 2"


def test_a_frame_without_grain_gives_none():
    clean = skin(5, 150, 180)
    matched = DetailMatcher(1.0).matched(ring_layer(clean), given(clean), 0, 0).rgb
    assert (matched - clean).abs().max() < 2e-3


def test_drawn_lines_around_a_flat_patch_are_no_grain():
    flat = torch.full((3, 150, 180), 0.7)
    layer = ring_layer(flat)
    lines = torch.where(torch.arange(180) % 7 < 2, 0.2, 0.7).expand(3, 150, 180)
    drawn = torch.where(layer.alpha < 1, lines, flat)
    matched = DetailMatcher(1.0).matched(layer, given(drawn), 0, 0).rgb
    assert (matched - flat).abs().max() < 2e-3


@pytest.mark.parametrize(("sharp", "filmed"), [(1, 3), (3, 1)], ids=["softer", "sharper"])
def test_a_patch_comes_nearer_to_the_sharpness_of_its_frame(sharp, filmed):
    def texture(radius: int) -> torch.Tensor:
        return skin(9, 150, 180, radius)

    def difference(rgb: torch.Tensor) -> float:
        return abs(float((fine(rgb) / fine(texture(filmed))).log().mean()))

    matched = DetailMatcher(1.0).matched(ring_layer(texture(sharp)), given(texture(filmed)), 0, 0).rgb
    assert difference(matched) < 0.75 * difference(texture(sharp))


def test_strength_is_how_far_it_goes():
    layer, filmed = ring_layer(skin(5, 150, 180)), noisy(1)
    whole, half = (DetailMatcher(strength).matched(layer, given(filmed), 0, 7).rgb for strength in (1.0, 0.5))
    assert torch.allclose(half - layer.rgb, (whole - layer.rgb) / 2, atol=1e-5)


def test_an_edge_flickers_no_more_than_the_film():
    """A smooth patch that never changes, in a film whose grain does."""
    layer, matcher = ring_layer(skin(5, 150, 180)), DetailMatcher(1.0)
    border = (layer.alpha > 0.02) & (layer.alpha < 0.98)
    films = [noisy(seed) for seed in range(4)]
    results = []
    for index, filmed in enumerate(films):
        matched = matcher.matched(layer, given(filmed), 0, index)
        results.append(torch.lerp(filmed, matched.rgb, matched.alpha))
    flicker = [
        float(torch.stack([(b - a).abs()[:, border].mean() for a, b in itertools.pairwise(series)]).mean())
        for series in (films, results)
    ]
    assert 0.6 * flicker[0] < flicker[1] <= flicker[0]
