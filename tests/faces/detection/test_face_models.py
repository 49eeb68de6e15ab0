"""The carried face networks compute what a tflite runtime computes with the original files."""

import numpy as np
import pytest
import torch

from latentsync_core.faces.detection import layer_list
from latentsync_core.faces.detection.layer_list import ASSETS, load_network
from tests.parity.makers.make_face_model_data import KEPT, TESTS, network_inputs

NETWORKS = ("blazeface_short", "blazeface_full", "mesh468")


@pytest.mark.parametrize("name", NETWORKS)
def test_network_agrees_with_the_tflite_runtime(name):
    picture = torch.from_numpy(network_inputs()[name].copy()).permute(2, 0, 1)[None]
    with np.load(TESTS / "parity" / "data" / "face_models.npz") as golden:
        for number, output in enumerate(load_network(name)(picture)):
            expected = golden[f"{name}.{number}"]
            ours = (output if name == "mesh468" else output[:, KEPT]).reshape(expected.shape).numpy()
            # outputs are pixels and logits up to some 200: float32 alone costs 1e-5 of that
            np.testing.assert_allclose(ours, expected, atol=2e-4, rtol=1e-5)


def test_a_batch_gives_what_its_pictures_give_one_by_one():
    short_range = load_network("blazeface_short")
    size = short_range.size
    pictures = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    together = short_range(pictures)
    for number in range(3):
        for whole, alone in zip(together, short_range(pictures[number : number + 1]), strict=True):
            torch.testing.assert_close(whole[number], alone[0], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("size", [(416, 96), (480, 864), (992, 448)])
@pytest.mark.parametrize("name", ["blazeface_short", "blazeface_full"])
def test_bands_of_a_large_picture_give_the_same_bits(name, size, monkeypatch):
    picture = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(2)) * 2 - 1
    untouched = picture.clone()
    in_bands = load_network(name)(picture)
    assert torch.equal(picture, untouched)
    monkeypatch.setattr(layer_list, "BAND_ROWS", 10_000)
    for whole, part in zip(load_network(name)(picture), in_bands, strict=True):
        assert torch.equal(whole, part)


def test_the_networks_come_small_and_with_their_licence():
    assert sum((ASSETS / f"{name}.safetensors").stat().st_size for name in NETWORKS) < 2_600_000
    assert "Apache License" in (ASSETS / "LICENSE").read_text()
    notice = (ASSETS / "NOTICE").read_text()
    assert all(name in notice for name in NETWORKS)
