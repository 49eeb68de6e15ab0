"""Loading: every way to name a model, one copy of its weights, and a sentence for everything that is no model."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from latentsync_core.cli.commands import main
from latentsync_core.cli.wording import WORDS
from latentsync_core.errors import ModelError, OptionError, OutputError
from latentsync_core.models.checkpoints.tensors import fill, read_tensors
from latentsync_core.models.load_options import LoadOptions
from latentsync_core.models.loading import registry
from latentsync_core.models.loading.bundle import read_bundle, save_bundle, whisper_dims, whisper_state
from latentsync_core.models.loading.digests import file_sha256, quick_digest, store_sha256, stored_sha256
from latentsync_core.models.loading.models_folder import models_folder
from latentsync_core.models.loading.untrained import CHANNELS, untrained_model
from latentsync_core.models.loading.weights import convert, load_model
from latentsync_core.models.model import LatentSyncModel
from latentsync_core.models.noise_schedule import (
    REFERENCE_SCHEDULE,
    NoiseSchedule,
    PredictionType,
    TimestepSpacing,
)
from latentsync_core.models.recommended_settings import REFERENCE_SETTINGS, RecommendedSettings
from latentsync_core.models.reference_mouth import ReferenceMouth
from latentsync_core.models.unet.config import UNetConfig
from latentsync_core.models.unet.offload import offload
from latentsync_core.models.unet.unet import UNet
from latentsync_core.models.vae import SD_VAE_CONFIG

SMALL_UNET = UNetConfig(  # the released ones' parts, in two levels
    block_channels=(32, 64),
    resnets_per_block=1,
    down_attention=(True, False),
    up_attention=(False, True),
    motion_levels=(True, True),
)


@pytest.fixture(scope="module")
def model() -> LatentSyncModel:
    unet = UNet.from_config(SMALL_UNET).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(3)
    for parameter in unet.parameters():
        if parameter.ndim > 1:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter[0].numel() ** 0.5)
    return replace(untrained_model(device="cpu", whisper="tiny"), unet=unet)


@pytest.fixture(scope="module")
def release(model, tmp_path_factory) -> Path:
    """A models folder as `download` leaves it, with the small model's weights in the released files' wrapping."""
    folder = tmp_path_factory.mktemp("models")
    own = folder / "latentsync-1.6"
    (own / "whisper").mkdir(parents=True)
    torch.save({"global_step": 7, "state_dict": model.unet.state_dict()}, own / "latentsync_unet.pt")
    whisper = {"dims": whisper_dims(model.whisper), "model_state_dict": whisper_state(model.whisper)}
    torch.save(whisper, own / "whisper/tiny.pt")
    vae = folder / "sd-vae-ft-mse"
    vae.mkdir()
    (vae / "config.json").write_text(json.dumps(SD_VAE_CONFIG | {"block_out_channels": list(CHANNELS)}))
    save_file(model.codec.vae.state_dict(), vae / "diffusion_pytorch_model.safetensors")
    return folder


@pytest.fixture
def options(release) -> LoadOptions:
    return LoadOptions(device="cpu", models_folder=release)


@torch.inference_mode()
def answer(model: LatentSyncModel) -> torch.Tensor:
    """What a model draws, hears and decodes, in one tensor."""
    generator = torch.Generator().manual_seed(1)
    sample = torch.randn(1, 13, 2, 8, 8, generator=generator).to(model.dtype)
    audio = torch.randn(2, model.audio_tokens, model.whisper.width, generator=generator)
    heard = model.whisper.features(torch.rand(4000, generator=generator) - 0.5)
    noise = model.unet(sample, 501, audio).float()
    return torch.cat([noise.flatten(), model.codec.decode(noise[0].transpose(0, 1)).flatten(), heard.flatten()])


def assert_same(model: LatentSyncModel, other: LatentSyncModel) -> None:
    """Equal weights, and answers but for their last bits, which depend on where in memory the weights lie."""
    for one, two in zip(networks(model), networks(other), strict=True):
        weights = two.state_dict()
        assert one.state_dict().keys() == weights.keys()
        assert all(torch.equal(value, weights[key]) for key, value in one.state_dict().items())
    torch.testing.assert_close(answer(model), answer(other), atol=1e-5, rtol=1e-5)


def networks(model: LatentSyncModel) -> tuple[torch.nn.Module, ...]:
    return model.unet, model.codec.vae, model.whisper


def refusal(spec: str | Path, options: LoadOptions, kind: type = ModelError) -> str:
    """The sentence that the command line prints."""
    with pytest.raises(kind) as error:
        load_model(spec, options)
    return error.value.worded(WORDS)


# --- ways to name a model


def test_an_installed_model_is_loaded_by_its_name(model, options):
    loaded = load_model("latentsync-1.6", options)
    assert (loaded.name, loaded.resolution, loaded.demonstration) == ("latentsync-1.6", 512, False)
    assert loaded.audio_tokens == 50
    assert_same(loaded, model)


def test_a_model_that_is_not_installed_says_how_to_get_it(tmp_path):
    words = refusal("latentsync-1.5", LoadOptions(models_folder=tmp_path))
    assert "download latentsync-1.5" in words
    assert "--model nano" in words
    for names, folder in (
        ("config.json and diffusion_pytorch_model.safetensors", "sd-vae-ft-mse"),
        ("tiny.pt", "latentsync-1.5/whisper"),
        ("latentsync_unet.pt", "latentsync-1.5"),
    ):
        assert re.search(rf"{re.escape(names)} \(from [\w/.-]+\) into {re.escape(str(tmp_path / folder))}", words)


def test_an_unknown_name_lists_the_choices(options):
    words = refusal("latentsync-9", options)
    assert all(name in words for name in ("'latentsync-9'", "latentsync-1.5", "latentsync-1.6", "nano"))


def test_the_demonstration_model_comes_only_when_asked_for_and_says_what_it_is():
    demonstration = load_model("untrained", LoadOptions(device="cpu", resolution=128))
    assert demonstration.demonstration
    assert (demonstration.resolution, demonstration.audio_tokens) == (128, 30)
    assert_same(demonstration, untrained_model(128, device="cpu"))


def test_loading_leaves_the_global_random_state_alone(options):
    before = torch.random.get_rng_state()
    load_model("untrained", LoadOptions(device="cpu"))
    load_model("latentsync-1.6", options)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_upstreams_own_folder_layout_is_understood(model, release, tmp_path, monkeypatch):
    checkpoints = tmp_path / "checkpoints"
    shutil.copytree(release / "latentsync-1.6", checkpoints)
    shutil.copytree(release / "sd-vae-ft-mse", checkpoints / "stabilityai/sd-vae-ft-mse")
    unet = checkpoints / "latentsync_unet.pt"
    published = replace(
        registry.KNOWN_MODELS["latentsync-1.5"].unet, size=unet.stat().st_size, sha256=file_sha256(unet)
    )
    as_1_5 = replace(registry.KNOWN_MODELS["latentsync-1.5"], unet=published)
    monkeypatch.setitem(registry.KNOWN_MODELS, "latentsync-1.5", as_1_5)
    options = LoadOptions(device="cpu", models_folder=tmp_path)
    assert load_model("latentsync-1.5", options).resolution == 256
    assert load_model(unet, options).name == "latentsync-1.5"  # by its hash, wherever it lies
    assert "latentsync-1.6 is not installed" in refusal("latentsync-1.6", options)


def test_the_models_folder_is_the_options_then_the_environments_then_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENTSYNC_MODELS", str(tmp_path / "theirs"))
    assert models_folder(tmp_path / "mine") == tmp_path / "mine"
    assert models_folder() == tmp_path / "theirs"
    monkeypatch.delenv("LATENTSYNC_MODELS")
    assert models_folder().parts[-2:] == ("latentsync-dub", "models")


# --- which checkpoint is it


def test_an_unknown_checkpoint_is_a_question_not_a_guess(release, options, tmp_path):
    mine = tmp_path / "mine.pt"
    shutil.copy(release / "latentsync-1.6/latentsync_unet.pt", mine)
    assert "--resolution 256" in refusal(mine, options)
    loaded = load_model(mine, replace(options, resolution=512))
    assert (loaded.name, loaded.resolution) == ("mine", 512)


def test_a_damaged_file_of_a_released_ones_length_is_not_taken_for_it(release, options, monkeypatch, caplog, tmp_path):
    mine = tmp_path / "latentsync_unet.pt"
    shutil.copy(release / "latentsync-1.6/latentsync_unet.pt", mine)
    published = replace(registry.KNOWN_MODELS["latentsync-1.6"].unet, size=mine.stat().st_size)
    monkeypatch.setitem(
        registry.KNOWN_MODELS, "latentsync-1.6", replace(registry.KNOWN_MODELS["latentsync-1.6"], unet=published)
    )
    assert "--resolution" in refusal(mine, options)
    assert "another hash" in caplog.text


def test_a_known_model_refuses_another_models_resolution(options):
    assert "works at 512 px, not at 256" in refusal("latentsync-1.6", replace(options, resolution=256), OptionError)


def test_a_safetensors_checkpoint_with_a_training_prefix_is_read_too(model, options, tmp_path):
    mine = tmp_path / "mine.safetensors"
    save_file({f"module.{key}": tensor for key, tensor in model.unet.state_dict().items()}, mine)
    loaded = load_model(mine, replace(options, resolution=256))
    assert_same(loaded, model)


def test_missing_companions_are_named_with_their_place(release, options, tmp_path):
    alone = tmp_path / "latentsync_unet.pt"
    shutil.copy(release / "latentsync-1.6/latentsync_unet.pt", alone)
    bare = LoadOptions(device="cpu", models_folder=tmp_path, resolution=256)
    words = refusal(alone, bare)
    assert "The VAE and Whisper model that belong to" in words
    assert f"diffusion_pytorch_model.safetensors into {tmp_path / 'sd-vae-ft-mse'}" in words
    assert f"tiny.pt into {tmp_path / 'whisper'}" in words
    words = refusal(alone, replace(bare, whisper=release / "latentsync-1.6/whisper/tiny.pt"))
    assert str(tmp_path / "sd-vae-ft-mse") in words
    assert "tiny.pt" not in words
    words = refusal(alone, replace(bare, vae=release / "sd-vae-ft-mse"))
    assert "tiny.pt" in words
    assert "sd-vae-ft-mse" not in words
    assert str(tmp_path / "whisper") in words
    both = replace(bare, vae=release / "sd-vae-ft-mse", whisper=release / "latentsync-1.6/whisper/tiny.pt")
    assert load_model(alone, both).resolution == 256


def test_a_whisper_of_another_width_is_refused(release, options, tmp_path):
    small = untrained_model(device="cpu")  # 64 wide
    file = tmp_path / "small.pt"
    torch.save({"dims": whisper_dims(small.whisper), "model_state_dict": whisper_state(small.whisper)}, file)
    assert "64 wide" in refusal("latentsync-1.6", replace(options, whisper=file))


# --- files that are no checkpoint


class Intruder:
    """Pickled, it would print when opened."""

    def __reduce__(self):
        return print, ("the code in the pickle was run",)


def write_html(path):
    path.write_text("\n<!DOCTYPE html><html><body>Sign in to download</body></html>")


def write_pointer(path):
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0a47\nsize 5072222488\n")


def write_code(path):
    torch.save({"state_dict": Intruder()}, path)


def write_old_code(path):
    path.write_bytes(pickle.dumps({"state_dict": Intruder()}, protocol=2))


def write_truncated(path):
    torch.save({"state_dict": {"conv_in.weight": torch.zeros(100, 100)}}, path)
    path.write_bytes(path.read_bytes()[:20_000])


def write_other_tensors(path):
    torch.save({f"layer.{index}": torch.zeros(2) for index in range(5)}, path)


def write_no_tensors(path):
    torch.save({"epoch": 3, "loss": 0.5}, path)


def write_noise(path):
    path.write_bytes(bytes(range(7, 256)))


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (write_html, ["web page"]),
        (write_pointer, ["git-LFS pointer", "fetch it with git LFS"]),
        (write_code, ["holds code", "not run"]),
        (write_old_code, ["holds code", "not run"]),
        (write_truncated, ["cut short", "20000 bytes"]),
        (write_other_tensors, ["no LatentSync U-Net", "5 tensors", "layer.0"]),
        (write_no_tensors, ["2 entries", "epoch"]),
        (write_noise, ["no file of weights"]),
        (Path.touch, ["cut short", "0 bytes"]),
    ],
)
def test_what_is_no_checkpoint_is_called_what_it_is(write, words, options, tmp_path, capsys):
    path = tmp_path / "latentsync_unet.pt"
    write(path)
    sentence = refusal(path, options)
    for word in [*words, str(path), "download latentsync-1.6"]:
        assert word in sentence
    assert "was run" not in capsys.readouterr().out


def test_a_truncated_safetensors_file_is_called_that(model, tmp_path):
    path = tmp_path / "unet.safetensors"
    save_file(model.unet.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cut short"):
        read_tensors(path)


def test_a_missing_file_is_named(options, tmp_path):
    assert "no file" in refusal(tmp_path / "nothing.pt", options)


def test_a_checkpoint_of_another_family_is_refused_by_its_first_wrong_shape(model, options, tmp_path):
    state = dict(model.unet.state_dict())
    state["conv_in.weight"] = state["conv_in.weight"][:, :4]
    path = tmp_path / "sd.pt"
    torch.save(state, path)
    sentence = refusal(path, replace(options, resolution=512))
    assert "conv_in.weight has shape (32, 4, 3, 3) where (32, 13, 3, 3) is expected" in sentence


def test_a_checkpoint_with_a_hole_is_refused_by_the_missing_key(model, options, tmp_path):
    state = dict(model.unet.state_dict())
    del state["mid_block.resnets.1.conv2.bias"]
    torch.save(state, tmp_path / "holed.pt")
    assert "lacks mid_block.resnets.1.conv2.bias" in refusal(tmp_path / "holed.pt", replace(options, resolution=512))


# --- bundles and conversion


def test_a_bundle_is_the_same_model_again(model, tmp_path):
    again = load_model(save_bundle(model, tmp_path / "bundle"), LoadOptions(device="cpu"))
    assert (again.name, again.resolution, again.demonstration) == ("untrained", 64, True)
    assert_same(again, model)
    assert len({path.stat().st_mode for path in (tmp_path / "bundle").iterdir()}) == 1


def test_conversion_halves_the_weights_once_and_keeps_what_the_model_is(release, options, tmp_path):
    steps = []
    folder = convert("latentsync-1.6", tmp_path / "half", "bf16", lambda *done: steps.append(done), options)
    assert steps[-1][0] == steps[-1][1] == len(steps)
    size = (release / "latentsync-1.6/latentsync_unet.pt").stat().st_size
    assert (folder / "unet.safetensors").stat().st_size == pytest.approx(size / 2, rel=0.1)
    half = load_model(folder, LoadOptions(device="cpu", precision="bf16"))
    assert (half.name, half.resolution, half.dtype) == ("latentsync-1.6", 512, torch.bfloat16)
    full = load_model("latentsync-1.6", options)
    assert (answer(half) - answer(full)).abs().mean() < 0.05


def test_a_bundle_in_the_models_folder_is_the_installed_model(release, options, tmp_path):
    folder = convert("latentsync-1.6", tmp_path / "latentsync-1.6", "fp32", options=options)
    loaded = load_model("latentsync-1.6", LoadOptions(device="cpu", models_folder=tmp_path))
    assert read_bundle(folder).name == loaded.name == "latentsync-1.6"


OTHER_SCHEDULE = NoiseSchedule(
    prediction_type=PredictionType.V,
    rescale_betas_zero_snr=True,
    timestep_spacing=TimestepSpacing.TRAILING,
    steps_offset=0,
)
OTHER_SETTINGS = RecommendedSettings(steps=4, cfg=1.0, scheduler="unipc", noise_sharing=0.25, overlap=3, region="lips")


@pytest.fixture(scope="module")
def saved_bundle(model, tmp_path_factory) -> Path:
    """A bundle of a model with a schedule and a recommendation of its own."""
    own = replace(model, schedule=OTHER_SCHEDULE, reference_mouth=ReferenceMouth.AVERAGED, recommended=OTHER_SETTINGS)
    return save_bundle(own, tmp_path_factory.mktemp("bundles") / "own bundle")


@pytest.fixture
def bundle(saved_bundle, tmp_path) -> Path:
    """A copy of that bundle, to change."""
    return Path(shutil.copytree(saved_bundle, tmp_path / "own bundle"))


def test_a_bundle_brings_its_noise_schedule_and_recommended_settings(bundle):
    loaded = load_model(bundle, LoadOptions(device="cpu"))
    assert (loaded.schedule, loaded.recommended) == (OTHER_SCHEDULE, OTHER_SETTINGS)
    assert loaded.reference_mouth is ReferenceMouth.AVERAGED
    assert json.loads((bundle / "scheduler_config.json").read_text("utf-8"))["_class_name"] == "DDIMScheduler"


def test_conversion_keeps_schedule_and_recommendation(bundle, tmp_path):
    converted = read_bundle(convert(bundle, tmp_path / "converted", "fp16"))
    assert (converted.schedule, converted.recommended) == (OTHER_SCHEDULE, OTHER_SETTINGS)
    assert converted.reference_mouth is ReferenceMouth.AVERAGED


def test_a_bundle_without_any_of_them_has_the_references(bundle):
    (bundle / "scheduler_config.json").unlink()
    description = json.loads((bundle / "model.json").read_text("utf-8"))
    del description["recommended"], description["reference_mouth"]
    (bundle / "model.json").write_text(json.dumps(description), "utf-8")
    loaded = load_model(bundle, LoadOptions(device="cpu"))
    assert (loaded.schedule, loaded.recommended) == (REFERENCE_SCHEDULE, REFERENCE_SETTINGS)
    assert loaded.reference_mouth is ReferenceMouth.FILMED


def test_a_checkpoint_has_the_references_schedule_whatever_lies_beside_it(release, options, tmp_path):
    """Every folder of the reference's has a scheduler config, of the same schedule; a stray one must not change it."""
    mine = tmp_path / "mine.pt"
    shutil.copy(release / "latentsync-1.6/latentsync_unet.pt", mine)
    (tmp_path / "scheduler_config.json").write_text(json.dumps(OTHER_SCHEDULE.to_dict()), "utf-8")
    loaded = load_model(mine, replace(options, resolution=512))
    assert (loaded.schedule, loaded.recommended) == (REFERENCE_SCHEDULE, REFERENCE_SETTINGS)


@pytest.mark.parametrize(
    ("file", "changes", "words"),
    [
        ("scheduler_config.json", {"beta_start": -1}, "beta_start"),
        ("scheduler_config.json", {"prediction_type": "score"}, "prediction_type"),
        ("model.json", {"recommended": {"steps": "many"}}, "steps"),
        ("model.json", {"recommended": {"region": 3}}, "region"),
        ("model.json", {"recommended": [8]}, "recommended"),
        ("model.json", {"recommended": None}, "recommended"),
        ("model.json", {"reference_mouth": "open"}, "'open' for reference_mouth"),
        ("model.json", {"reference_mouth": ["averaged"]}, "reference_mouth"),
    ],
)
def test_a_bundle_with_a_wrong_schedule_or_recommendation_is_refused_by_its_file(bundle, file, changes, words):
    description = json.loads((bundle / file).read_text("utf-8"))
    (bundle / file).write_text(json.dumps(description | changes), "utf-8")
    sentence = refusal(bundle, LoadOptions(device="cpu"))
    assert str(bundle / file) in sentence
    assert words in sentence


def test_a_bundle_that_recommends_more_steps_than_its_schedule_has_is_refused(model, tmp_path):
    short = replace(model, schedule=NoiseSchedule(num_train_timesteps=10))
    sentence = refusal(save_bundle(short, tmp_path / "short"), LoadOptions(device="cpu"))
    assert "recommends 20 steps, more than the 10" in sentence


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b'{"beta_start": NaN}', b"[" * 100_000, b" " * 2**21])
def test_a_damaged_schedule_file_is_refused_by_its_name(bundle, content):
    (bundle / "scheduler_config.json").write_bytes(content)
    assert str(bundle / "scheduler_config.json") in refusal(bundle, LoadOptions(device="cpu"))


def test_a_bundle_never_overwrites(model, tmp_path):
    (tmp_path / "keep.txt").write_text("mine")
    with pytest.raises(OutputError, match="already there"):
        save_bundle(model, tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [("format", "other", "format"), ("resolution", "big", "resolution"), ("unet", None, "unet")],
)
def test_a_spoilt_description_is_refused_by_its_field(model, tmp_path, field, value, word):
    folder = save_bundle(model, tmp_path / "bundle")
    description = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(description | {field: value}))
    assert word in refusal(folder, LoadOptions(device="cpu"))


def test_a_bundle_without_one_of_its_parts_is_refused(model, tmp_path):
    folder = save_bundle(model, tmp_path / "bundle")
    (folder / "vae.safetensors").unlink()
    assert "vae.safetensors" in refusal(folder, LoadOptions(device="cpu"))
    assert "holds no model" in refusal(tmp_path, LoadOptions(device="cpu"))


# --- how weights are held


def test_weights_are_cast_on_the_way_in(options):
    half = load_model("latentsync-1.6", replace(options, precision="bf16"))
    assert {p.dtype for p in half.unet.parameters()} == {half.codec.dtype} == {torch.bfloat16}
    assert half.whisper.dtype == torch.float32


def test_full_precision_weights_stay_in_their_file(release):
    unet = UNet.from_config(SMALL_UNET, device="meta")
    tensors = read_tensors(release / "latentsync-1.6/latentsync_unet.pt")
    fill(unet, lambda: tensors, "it", torch.device("cpu"), torch.float32)
    assert all(p.data_ptr() == tensors[key].data_ptr() for key, p in unet.named_parameters())
    assert not any(p.requires_grad for p in unet.parameters())


def test_the_u_net_s_convolutions_are_laid_out_once_for_the_pictures_that_they_see(options):
    loaded = load_model("latentsync-1.6", options)
    convolutions = [weight for weight in loaded.unet.parameters() if weight.ndim == 4 and weight.shape[-1] > 1]
    assert convolutions
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in convolutions)


def test_an_offloaded_network_draws_the_same_with_its_weights_away(model):
    travelling = load_model("untrained", LoadOptions(device="cpu"))
    expected = answer(travelling)
    offload(travelling.unet, torch.device("cpu"))
    away = sum(p.numel() for p in travelling.unet.parameters() if p.is_meta)
    assert away > 0.95 * sum(p.numel() for p in travelling.unet.parameters())
    assert torch.equal(answer(travelling), expected)
    assert not next(travelling.unet.parameters()).is_meta
    with pytest.raises(ModelError, match="without offload"):
        save_bundle(travelling, Path("nowhere"))


def test_the_digest_tells_weights_resolution_and_precision_apart(release, options, tmp_path):
    mine = tmp_path / "mine.pt"
    shutil.copy(release / "latentsync-1.6/latentsync_unet.pt", mine)
    at = {size: load_model(mine, replace(options, resolution=size)).digest for size in (256, 512)}
    half = load_model(mine, replace(options, resolution=512, precision="bf16")).digest
    assert len({at[256], at[512], half}) == 3
    assert load_model(mine, replace(options, resolution=512)).digest == at[512]


def test_a_change_anywhere_in_a_large_file_shows_in_its_quick_digest(tmp_path):
    path = tmp_path / "large.bin"
    content = bytearray(8 * 2**20)
    path.write_bytes(content)
    before = quick_digest(path)
    content[4_000_000:4_100_000] = b"x" * 100_000  # between head and tail
    path.write_bytes(content)
    assert quick_digest(path) != before


def test_a_checked_file_is_hashed_once_until_it_changes(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"weights" * 100)
    assert stored_sha256(path) is None
    store_sha256(path, file_sha256(path))
    assert stored_sha256(path) == quick_digest(path) == file_sha256(path)
    path.write_bytes(b"others!" * 101)
    assert stored_sha256(path) is None


@pytest.mark.parametrize(
    ("values", "word"),
    [({"precision": "fp8"}, "fp8"), ({"resolution": 250}, "250")],
)
def test_options_out_of_range_are_refused(values, word):
    with pytest.raises(OptionError, match=word):
        LoadOptions(**values)


@pytest.mark.parametrize("device", ["toaster", "cuda:7"])
def test_a_device_that_is_not_there_is_refused(device):
    assert device in refusal("untrained", LoadOptions(device=device), OptionError)


def test_the_full_models_config_is_read_off_its_shapes():
    import gzip

    packed = Path(__file__).parents[1] / "parity/data/unet_keys.json.gz"
    full = json.loads(gzip.decompress(packed.read_bytes()))
    config = UNetConfig.from_shapes({key: tuple(shape) for key, shape in full["keys"].items()})
    assert config == UNetConfig.from_dict(full["config"])


# --- a bundle is there whole or not at all


@pytest.fixture
def files_of_at_most_100_kb() -> Iterator[None]:
    """No file can grow beyond that, as on a full disk."""
    resource = pytest.importorskip("resource", reason="Windows has no limit of a file's size")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("files_of_at_most_100_kb")
def test_a_conversion_that_finds_no_room_leaves_nothing(tmp_path, capsys):
    assert main(["convert", "nano", str(tmp_path / "new/deep/bundle")]) == 2
    told = capsys.readouterr().err
    assert "can't be written" in told
    assert "nothing of it is kept" in told
    assert list(tmp_path.iterdir()) == []


def test_a_cancelled_conversion_leaves_nothing_and_says_so(tmp_path, capsys):
    code, interrupted = interrupted_once(tmp_path, lambda: main(["convert", "nano", str(tmp_path / "bundle")]))
    if not interrupted:  # the last file was written already
        assert code == 0
        assert (tmp_path / "bundle/model.json").exists()
    else:
        assert code == 130
        assert "cancelled; nothing was written" in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []


def interrupted_once(folder: Path, work: Callable[[], int]) -> tuple[int, bool]:
    """Does `work` and sends this process Ctrl-C's signal once anything lies in `folder`; returns what `work` gave, and
    whether the signal came before its end."""
    ended, came = threading.Event(), []

    def interrupt(*_: object) -> None:
        if not ended.is_set():
            came.append(True)
            raise KeyboardInterrupt

    def watch() -> None:
        while not ended.is_set() and not list(folder.iterdir()):
            time.sleep(0.001)
        signal.raise_signal(signal.SIGINT)  # Python's main thread handles it

    before = signal.signal(signal.SIGINT, interrupt)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        code = work()
    finally:
        ended.set()
        watcher.join()
        signal.signal(signal.SIGINT, before)
    return code, bool(came)


def test_a_bundle_that_fails_half_way_leaves_nothing(model, tmp_path, monkeypatch):
    """Whatever stops it, here after the first of three files: ComfyUI's cancel, a lost drive, a bug."""
    written = []

    class Stop(BaseException):
        pass

    def copymode(_source, target):
        written.append(target)
        raise Stop

    monkeypatch.setattr(shutil, "copymode", copymode)
    with pytest.raises(Stop):
        save_bundle(model, tmp_path / "bundle")
    assert written
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["nul\0", "undecodable\udcff", "a" * 300])
def test_a_bundle_needs_a_name_that_a_folder_can_have(name, model, tmp_path):
    with pytest.raises(OutputError) as error:
        save_bundle(model, tmp_path / name)
    assert str(error.value).isprintable()
    assert list(tmp_path.iterdir()) == []


def test_where_a_bundle_goes_is_looked_at_before_a_model_is_loaded(tmp_path):
    (tmp_path / "keep.txt").write_text("mine")
    with pytest.raises(OutputError, match="already there"):
        convert("no such model", tmp_path)


def test_an_empty_folder_becomes_the_bundle(model, tmp_path):
    (tmp_path / "empty").mkdir()
    assert load_model(save_bundle(model, tmp_path / "empty"), LoadOptions(device="cpu")).name == "untrained"
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
