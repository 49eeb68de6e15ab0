"""The mouth-opening meter, on rendered people it was never trained with; the mesh meter beside it."""

import numpy as np
import pytest
import torch

from latentsync_core.errors import OptionError
from training.figures import render_random_speech
from training.meter.network import MeshMeter, MouthMeter, measure_openings
from training.synthetic.degrade import blur, jpeg, tint


@pytest.fixture(scope="module")
def people():
    """Crops (n, 3, 128, 128) and openings (n,) of eight unseen people, ten moments each."""
    drawn = [render_random_speech(number, frames=10) for number in range(8)]
    return torch.cat([crops for crops, _, _ in drawn]), np.concatenate([openings for _, openings, _ in drawn])


def correlation(one, other):
    return np.corrcoef(one, other)[0, 1]


def test_the_meter_reads_the_opening_of_people_it_has_never_seen(people):
    crops, openings = people
    seen = measure_openings(crops)
    assert correlation(seen, openings) >= 0.98
    assert np.abs(seen - openings).mean() < 0.015  # head units
    assert seen[openings == 0].max() < 0.05


@pytest.mark.parametrize(
    "disturb",
    [
        lambda crops: blur(crops, 1.0),
        lambda crops: jpeg(crops, 40),
        lambda crops: tint(crops, (1.0, 0.92, 0.85), -0.02),
        lambda crops: tint(crops, (0.92, 1.0, 1.08), 0.04),
    ],
    ids=["blur", "jpeg", "warmer", "cooler"],
)
def test_the_meter_stands_what_a_decoder_does_to_colours_and_edges(people, disturb):
    crops, openings = people
    assert correlation(measure_openings(disturb(crops)), openings) >= 0.97


def test_crops_of_another_size_read_the_same(people):
    crops, _ = people
    larger = torch.nn.functional.interpolate(crops[:20], (256, 256), mode="bicubic", align_corners=False).clamp(0, 1)
    assert np.abs(measure_openings(larger) - measure_openings(crops[:20])).max() < 0.02


def test_what_is_no_square_crop_is_refused():
    with pytest.raises(OptionError, match="crops"):
        MouthMeter()(torch.zeros(1, 3, 64, 80))


def test_the_mesh_sees_the_mouth_open_by_itself():
    _, openings, pictures = render_random_speech(2, frames=12, style="real")
    by_mesh = MeshMeter()
    seen = np.array([by_mesh(picture) for picture in pictures])
    assert np.isfinite(seen).all()
    assert correlation(seen, openings) > 0.8
