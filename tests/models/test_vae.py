"""The VAE behind its two methods: scaled latents, few pictures at a time, anyone's class in its place."""

from __future__ import annotations

import pytest
import torch

from latentsync_core.errors import ModelError
from latentsync_core.models.device_memory import OUT_OF_MEMORY
from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.models.vae import SCALING_FACTOR, SD_VAE_CONFIG, DiffusersCodec, LatentCodec, rename_legacy_keys
from tests.capped_memory import CappedMemory


@pytest.fixture(scope="module")
def codec() -> DiffusersCodec:
    return untrained_model(device="cpu").codec


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.rand(5, 3, 64, 48, generator=torch.Generator().manual_seed(5)) * 2 - 1


def test_latents_are_the_scaled_mean_plus_the_deviation_times_the_noise(codec, pictures):
    noise = torch.randn(5, 4, 8, 6, generator=torch.Generator().manual_seed(6))
    distribution = codec.vae.encode(pictures).latent_dist
    torch.testing.assert_close(codec.encode(pictures), distribution.mean * SCALING_FACTOR)
    expected = (distribution.mean + (0.5 * distribution.logvar).exp() * noise) * SCALING_FACTOR
    torch.testing.assert_close(codec.encode(pictures, noise), expected)


def test_pictures_pass_through_in_small_groups_with_the_same_result(codec, pictures):
    seen = []
    hook = codec.vae.decoder.register_forward_pre_hook(lambda _module, inputs: seen.append(len(inputs[0])))
    small = DiffusersCodec(codec.vae, chunk_pixels=2 * 64 * 48)
    latents = small.encode(pictures)
    decoded = small.decode(latents)
    hook.remove()
    assert seen == [2, 2, 1]
    assert decoded.shape == pictures.shape
    torch.testing.assert_close(latents, codec.encode(pictures), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(decoded, codec.decode(latents), atol=1e-5, rtol=1e-5)


def test_where_memory_runs_out_fewer_pictures_pass_through_at_once(codec, pictures):
    whole = DiffusersCodec(codec.vae, chunk_pixels=5 * 64 * 48)
    with CappedMemory(codec.vae, float("inf")) as free:
        expected = whole.encode(pictures)
    assert whole.notes == ()
    with CappedMemory(codec.vae, 0.7 * free.peak) as capped:
        found = whole.encode(pictures)
    assert capped.failures == 1
    assert [str(note) for note in whole.notes] == ["memory ran out: the autoencoder takes 2 of 5 pictures at once"]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    with CappedMemory(codec.vae, 1000), pytest.raises(OUT_OF_MEMORY):
        whole.decode(found)


def test_it_takes_any_floating_dtype_and_gives_float32(codec, pictures):
    half = codec.encode(pictures.double())
    assert half.dtype == torch.float32
    assert codec.decode(half.half()).dtype == torch.float32


def test_sides_that_are_no_multiples_of_8_are_refused(codec):
    with pytest.raises(ModelError, match=r"multiples of 8, not \(1, 3, 60, 64\)"):
        codec.encode(torch.zeros(1, 3, 60, 64))


def test_anything_with_the_two_methods_is_a_codec(codec):
    class Other:
        def encode(self, images, noise=None):
            return images

        def decode(self, latents):
            return latents

    assert isinstance(codec, LatentCodec)
    assert isinstance(Other(), LatentCodec)
    assert not isinstance(object(), LatentCodec)


@pytest.mark.parametrize("change", [{"_class_name": "AutoencoderTiny"}, {"latent_channels": 16}])
def test_another_kind_of_vae_is_refused(change):
    with pytest.raises(ModelError, match="sd-vae-ft-mse"):
        DiffusersCodec.from_config(SD_VAE_CONFIG | change, device="meta")


def test_a_config_survives_being_written_and_read(codec):
    again = DiffusersCodec.from_config(codec.config, device="meta")
    assert again.config == codec.config
    assert again.vae.state_dict().keys() == codec.vae.state_dict().keys()


def test_the_published_files_older_attention_names_are_understood(codec):
    older = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = codec.vae.state_dict()
    published = {}
    for key, tensor in state.items():
        for new, old in older.items():
            key = key.replace(f"attentions.0.{new}.", f"attentions.0.{old}.")
        published[key] = tensor
    assert "encoder.mid_block.attentions.0.query.weight" in published
    renamed = rename_legacy_keys(published)
    assert renamed.keys() == state.keys()
    assert all(renamed[key].shape == tensor.shape for key, tensor in state.items())
