"""The mouth mask, drawn from numbers, equals the reference's at every resolution."""

from pathlib import Path

import numpy as np
import pytest

from latentsync_core.faces.alignment.mouth_mask import latent_mask, mouth_mask
from tests.shared_reference import SHARED, needs_shared

DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize("resolution", [128, 256, 512])
def test_mask_equals_the_references_8_bit_mask(resolution):
    expected = np.load(DATA / "mask.npz")[f"mask_{resolution}"]
    np.testing.assert_array_equal(mouth_mask(resolution).numpy(), expected.astype(np.float32) / 255)


@pytest.mark.parametrize("resolution", [128, 256, 512])
def test_latent_mask_is_every_eighth_pixel_from_the_first_on(resolution):
    expected = np.load(DATA / "mask.npz")[f"mask_{resolution}"][::8, ::8]
    np.testing.assert_array_equal(latent_mask(resolution).numpy(), expected.astype(np.float32) / 255)


@needs_shared
@pytest.mark.parametrize("resolution", [128, 256, 512])
def test_masks_equal_the_full_reference_files(resolution):
    folder = SHARED / "reference" / "mask"
    np.testing.assert_array_equal(mouth_mask(resolution).numpy(), np.load(folder / f"mask_{resolution}.npy"))
    np.testing.assert_array_equal(latent_mask(resolution).numpy(), np.load(folder / f"mask_{resolution}_latent.npy"))


def test_one_is_keep_and_zero_is_the_mouth():
    mask = mouth_mask(256)
    assert mask[180, 128] == 0  # the mouth
    assert mask[110, 128] == 1  # the nose between the cheek strips
    assert mask[40].min() == 1  # the forehead
    assert 1 - mask.mean() == pytest.approx(0.4069976806640625)


def test_changing_a_mask_in_place_changes_no_later_one():
    mouth_mask(256).zero_()
    assert mouth_mask(256).max() == 1


@pytest.mark.parametrize("resolution", [64, 256, 512])
def test_a_mask_grows_evenly_and_only_where_it_is_told_to(resolution):
    plain, grown = mouth_mask(resolution), mouth_mask(resolution, grow=5.0)
    reach = round(0.05 * resolution)
    assert (grown <= plain).all()
    middle = resolution // 4  # a column through a cheek
    first = [int((mask[:, middle] < 0.5).nonzero()[0]) for mask in (plain, grown)]
    assert first[0] - first[1] == reach
    assert mouth_mask(resolution, grow=0.0).equal(plain)
    assert latent_mask(resolution, grow=5.0).equal(grown[::8, ::8])
