"""The Whisper encoder loads from either layout, gives every level before the final norm, and names what doesn't fit."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_model

from latentsync_core.errors import AudioError, ModelError
from latentsync_core.models.whisper.encoder import WhisperEncoder
from tests.whisper_by_rule import SMALL, openai_checkpoint

MEL = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(5)) * 0.3


@pytest.fixture(scope="module")
def encoder() -> WhisperEncoder:
    return WhisperEncoder.from_openai(openai_checkpoint())


@pytest.fixture
def hugging_face_folder(tmp_path, encoder):
    """The same weights as transformers itself saves them, inside a whole model."""
    from transformers import WhisperConfig, WhisperModel

    config = WhisperConfig(
        d_model=64,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=256,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=64,
        vocab_size=64,
        max_target_positions=8,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
    )
    model = WhisperModel(config)
    model.encoder.load_state_dict(encoder.encoder.state_dict())
    model.save_pretrained(tmp_path)
    save_model(model, str(tmp_path / "model.safetensors"))  # transformers before 4.35 writes another format
    return tmp_path


def test_an_encoder_tells_its_shape(encoder):
    assert (encoder.levels, encoder.width, encoder.n_mels, encoder.context) == (3, 64, 80, 1500)
    assert encoder(MEL).shape == (1, 1500, 3, 64)


def test_all_levels_but_the_last_are_what_transformers_calls_hidden_states(encoder):
    ours = encoder(MEL)
    with torch.no_grad():
        theirs = encoder.encoder(MEL, output_hidden_states=True)
    for level in range(encoder.levels - 1):
        assert torch.equal(ours[:, :, level], theirs.hidden_states[level])


def test_the_last_level_is_taken_before_the_final_norm(encoder):
    last = encoder(MEL)[:, :, -1]
    with torch.no_grad():
        theirs = encoder.encoder(MEL).last_hidden_state
    assert torch.equal(encoder.encoder.layer_norm(last), theirs)
    assert not torch.allclose(last, theirs, atol=0.1)


def test_both_layouts_give_the_same_encoder(encoder, hugging_face_folder, tmp_path):
    torch.save(openai_checkpoint(), tmp_path / "tiny.pt")
    for path in (hugging_face_folder, tmp_path / "tiny.pt"):
        loaded = WhisperEncoder.from_pretrained(path)
        assert loaded.digest == encoder.digest
        assert torch.equal(loaded(MEL), encoder(MEL))


def test_a_half_precision_checkpoint_runs_in_single_precision(encoder):
    checkpoint = openai_checkpoint()
    checkpoint["model_state_dict"] = {key: value.half() for key, value in checkpoint["model_state_dict"].items()}
    loaded = WhisperEncoder.from_openai(checkpoint)
    assert loaded.dtype == torch.float32
    assert torch.allclose(loaded(MEL), encoder(MEL), atol=0.05)


def test_the_encoder_moves_to_another_precision(encoder):
    moved = WhisperEncoder.from_openai(openai_checkpoint()).to(torch.bfloat16)
    assert moved(MEL).dtype == torch.bfloat16
    assert torch.allclose(moved(MEL).float(), encoder(MEL), atol=0.3)


def test_the_encoder_keeps_nothing_of_the_checkpoint_and_no_hooks(encoder):
    checkpoint = openai_checkpoint()
    loaded = WhisperEncoder.from_openai(checkpoint)
    for tensor in checkpoint["model_state_dict"].values():
        tensor.zero_()
    assert torch.equal(loaded(MEL), encoder(MEL))
    assert not any(module._forward_pre_hooks for module in loaded.modules())
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_building_an_encoder_leaves_the_random_state_alone():
    before = torch.get_rng_state()
    WhisperEncoder.from_openai(openai_checkpoint())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_recording_of_under_201_samples_is_refused(encoder):
    with pytest.raises(AudioError, match="200 samples"):
        encoder.features(torch.zeros(200))
    assert encoder.features(torch.zeros(319)).shape == (0, 3, 64)
    assert encoder.features(torch.zeros(320)).shape == (1, 3, 64)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["model_state_dict"].pop("encoder.blocks.1.mlp.0.bias"), r"layers\.1\.fc1\.bias is missing"),
        (lambda c: c["model_state_dict"].update({"encoder.extra": torch.zeros(1)}), "extra is not known"),
        (lambda c: c["dims"].update(n_audio_layer=1), r"layers\.1\.\S+ is not known"),
        (lambda c: c["dims"].update(n_mels=128), r"shape \(64, 80, 3\) instead of \(64, 128, 3\)"),
        (lambda c: c["dims"].update(n_audio_head=3), "3 attention heads"),
        (lambda c: c["dims"].pop("n_audio_ctx"), "None for n_audio_ctx"),
        (lambda c: c.pop("dims"), "no 'dims'"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_by_name(change, words):
    checkpoint = openai_checkpoint()
    change(checkpoint)
    with pytest.raises(ModelError, match=words):
        WhisperEncoder.from_openai(checkpoint)


def test_files_that_are_no_whisper_are_refused(tmp_path, hugging_face_folder):
    with pytest.raises(ModelError, match="no file of weights at"):
        WhisperEncoder.from_pretrained(tmp_path / "absent.pt")
    (tmp_path / "text.pt").write_text("a text, and not weights")
    with pytest.raises(ModelError, match="is no file of weights"):
        WhisperEncoder.from_pretrained(tmp_path / "text.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ModelError, match="holds a list"):
        WhisperEncoder.from_pretrained(tmp_path / "list.pt")
    (hugging_face_folder / "config.json").write_text(json.dumps({"d_model": "wide"}))
    with pytest.raises(ModelError, match="None for n_mels"):
        WhisperEncoder.from_pretrained(hugging_face_folder)
    (hugging_face_folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"no config\.json"):
        WhisperEncoder.from_pretrained(hugging_face_folder)


def test_a_pickled_object_is_not_run(tmp_path):
    torch.save({"dims": SMALL, "model_state_dict": _Harmful()}, tmp_path / "harmful.pt")
    with pytest.raises(ModelError, match="holds code"):
        WhisperEncoder.from_pretrained(tmp_path / "harmful.pt")


class _Harmful:
    """What unpickling without care would run."""

    def __reduce__(self) -> tuple:
        return pytest.fail, ("the pickle was run",)
