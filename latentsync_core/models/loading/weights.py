"""Loads a model by name, bundle or checkpoint, and converts one to half precision; nothing is downloaded here."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import torch

from ...errors import ModelError, OptionError
from ...messages import Note, NoteLevel, Remedy
from ...progress import Progress
from ..checkpoints.claims import build_or_raise, check_unet, check_vae
from ..checkpoints.settings_file import read_json_object
from ..checkpoints.tensors import check_state_dict, fill, read_tensors
from ..load_options import PRECISIONS, LoadOptions
from ..memory.device_fit import fit_device
from ..model import LatentSyncModel, resolve_device, resolve_dtype
from ..names import check_path, one_line
from ..noise_schedule import REFERENCE_SCHEDULE, NoiseSchedule
from ..recommended_settings import REFERENCE_SETTINGS, RecommendedSettings
from ..reference_mouth import ReferenceMouth
from ..unet.compiled import compile_unet
from ..unet.config import UNetConfig
from ..unet.offload import offload
from ..unet.unet import UNet
from ..vae import SD_VAE_CONFIG, DiffusersCodec, rename_legacy_keys
from ..whisper.encoder import WhisperEncoder
from .bundle import check_bundle_target, read_bundle, save_bundle
from .demonstration import NANO, NANO_FOLDER
from .digests import quick_digest
from .models_folder import BUNDLE_FILE, UNET_FILE, find_companions, models_folder
from .registry import KNOWN_MODELS, KnownModel
from .release_files import find_release, identify_release, missing_release_files, put_files
from .untrained import NAME as UNTRAINED
from .untrained import RESOLUTION as UNTRAINED_RESOLUTION
from .untrained import untrained_model

__all__ = ["LatentSyncModel", "LoadOptions", "convert", "load_model", "save_bundle"]

REWRITE_REMEDY = "write the bundle again"
MISMATCH_MESSAGE = "{} does not fit LatentSync's U-Net"


def load_model(
    spec: str | Path, options: LoadOptions | None = None, on_progress: Progress | None = None
) -> LatentSyncModel:
    """Loads U-Net, VAE and Whisper, each weight once in memory and cast on the way.

    Args:
        spec: "latentsync-1.5" or "latentsync-1.6" where it is installed in the models folder, a bundle folder, a U-Net
            checkpoint (.pt or .safetensors; its VAE and Whisper are found beside it or in the models folder), or
            "nano" for the small demonstration model that is carried with the pack, or "untrained" for one with random
            weights. A demonstration model is never chosen by itself.
        on_progress: counts tensors; before that, bytes, where a checkpoint has to be hashed to know which it is.

    Raises:
        ModelError: weights are missing, unknown, of the wrong shape or not what their name says.
        OptionError: no such device or precision, or another resolution than the model's.
    """
    options = options or LoadOptions()
    path = Path(spec)
    check_path(path)
    if str(spec) == UNTRAINED:
        return untrained_model(
            options.resolution or UNTRAINED_RESOLUTION,
            device=options.device,
            precision=options.precision,
            operations=options.operations,
            compile=options.compile,
        )
    if str(spec) == NANO:
        return _load_bundle(NANO_FOLDER, options, on_progress)
    if str(spec) in KNOWN_MODELS:
        return _load_installed(KNOWN_MODELS[str(spec)], options, on_progress)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
        is_bundle = is_folder and ((path / BUNDLE_FILE).is_file() or not (path / UNET_FILE).is_file())
    except OSError as problem:  # a name that is too long, or a folder that can't be looked into
        raise ModelError(
            f"There is no model to be read at {one_line(spec)} ({problem.strerror}).", Remedy.CHOOSE_MODEL
        ) from None
    if is_bundle:
        return _load_bundle(path, options, on_progress)
    if is_folder or is_file:
        return _load_checkpoint(path / UNET_FILE if is_folder else path, None, options, on_progress)
    raise ModelError(
        f"There is no model called {one_line(repr(str(spec)))} and no file or folder there.", Remedy.CHOOSE_MODEL
    )


def convert(
    source: str | Path,
    destination: str | Path,
    precision: str = "fp16",
    on_progress: Progress | None = None,
    options: LoadOptions | None = None,
) -> Path:
    """Writes the model `source` (as load_model takes it) as a bundle folder in `precision`; returns the folder.

    `options` may say the resolution and where to find things; device and precision in them don't count. Raises as
    load_model and save_bundle.
    """
    if precision not in PRECISIONS:
        raise OptionError(f"precision is {precision!r}; use {', '.join(PRECISIONS)}.")
    check_bundle_target(Path(destination))
    given = options or LoadOptions()
    on_cpu = LoadOptions(
        device="cpu",
        precision=precision,
        resolution=given.resolution,
        models_folder=given.models_folder,
        vae=given.vae,
        whisper=given.whisper,
    )
    return save_bundle(load_model(source, on_cpu, on_progress), Path(destination))


def _load_installed(known: KnownModel, options: LoadOptions, on_progress: Progress | None) -> LatentSyncModel:
    folder = models_folder(options.models_folder)
    place = find_release(known, folder, on_progress)
    if place is None:
        raise ModelError(
            f"{known.name} is not installed in {folder}.",
            Remedy.INSTALL_MODEL,
            put_files(missing_release_files(known, folder)),
            Remedy.TRY_DEMONSTRATION,
            about=known.name,
        )
    if place.is_dir():
        return _load_bundle(place, options, on_progress)
    return _load_checkpoint(place, known, options, on_progress)


def _load_bundle(folder: Path, options: LoadOptions, on_progress: Progress | None) -> LatentSyncModel:
    bundle = read_bundle(folder)
    _check_resolution(bundle.name, bundle.resolution, options)
    what = f"{folder / BUNDLE_FILE}"
    unet_config = build_or_raise(lambda: UNetConfig.from_dict(bundle.unet), what, REWRITE_REMEDY)
    check_unet(unet_config, read_tensors(bundle.weights("unet")), what, REWRITE_REMEDY)
    dims, state = bundle.whisper, read_tensors(bundle.weights("whisper"))
    return _assemble(
        name=bundle.name,
        resolution=bundle.resolution,
        demonstration=bundle.demonstration,
        unet_config=unet_config,
        unet_file=bundle.weights("unet"),
        vae_config=dict(bundle.vae),
        vae_file=bundle.weights("vae"),
        whisper=WhisperEncoder.from_openai({"dims": dims, "model_state_dict": state}),
        options=options,
        on_progress=on_progress,
        schedule=bundle.schedule,
        reference_mouth=bundle.reference_mouth,
        recommended=bundle.recommended,
    )


def _load_checkpoint(
    path: Path, known: KnownModel | None, options: LoadOptions, on_progress: Progress | None
) -> LatentSyncModel:
    tensors = read_tensors(path)
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    config = build_or_raise(lambda: UNetConfig.from_shapes(shapes), str(path), Remedy.REPLACE_WITH_OFFICIAL)
    if config is None:
        first = ", ".join(map(one_line, list(tensors)[:3]))
        raise ModelError(
            f"{path} is no LatentSync U-Net: it holds {len(tensors)} tensors, {first}, ....",
            f"give {UNET_FILE}",
            Remedy.REPLACE_WITH_OFFICIAL,
        )
    check_unet(config, tensors, str(path), Remedy.REPLACE_WITH_OFFICIAL)
    empty = build_or_raise(
        lambda: UNet.from_config(config, device="meta").state_dict(), str(path), Remedy.REPLACE_WITH_OFFICIAL
    )
    check_state_dict(empty, tensors, MISMATCH_MESSAGE.format(path))
    del tensors  # and with them the mapping of the file
    known = known or identify_release(path, on_progress)
    if known:
        _check_resolution(known.name, known.resolution, options)
        resolution = known.resolution
    elif options.resolution is not None:
        resolution = options.resolution
    else:
        raise ModelError(
            f"{path} is a LatentSync U-Net, but neither 1.5's nor 1.6's own file, and its weights don't tell which.",
            Remedy.STATE_RESOLUTION,
        )
    folder = models_folder(options.models_folder)
    vae_config, vae_file, whisper_file = find_companions(path, folder, config.audio_width, options.vae, options.whisper)
    return _assemble(
        name=known.name if known else path.stem,
        resolution=resolution,
        demonstration=False,
        unet_config=config,
        unet_file=path,
        vae_config=read_json_object(vae_config, "download it again") if vae_config else SD_VAE_CONFIG,
        vae_file=vae_file,
        whisper=WhisperEncoder.from_pretrained(whisper_file),
        options=options,
        on_progress=on_progress,
    )


def _assemble(
    *,
    name: str,
    resolution: int,
    demonstration: bool,
    unet_config: UNetConfig,
    unet_file: Path,
    vae_config: dict,
    vae_file: Path,
    whisper: WhisperEncoder,
    options: LoadOptions,
    on_progress: Progress | None,
    schedule: NoiseSchedule = REFERENCE_SCHEDULE,  # a checkpoint holds none, and is one of the releases or their kin
    reference_mouth: ReferenceMouth = ReferenceMouth.FILMED,
    recommended: RecommendedSettings = REFERENCE_SETTINGS,
) -> LatentSyncModel:
    device = resolve_device(options.device)
    dtype = resolve_dtype(options.precision, device)
    if whisper.width != unet_config.audio_width:
        raise ModelError(
            f"The Whisper model is {whisper.width} wide, but {unet_file} expects one of {unet_config.audio_width}; "
            "give the one that it was trained with (384 is tiny, 768 small)."
        )
    unet = build_or_raise(
        lambda: UNet.from_config(unet_config, options.operations, dtype=dtype, device="meta"),
        str(unet_file),
        Remedy.REPLACE_WITH_OFFICIAL,
    )
    what = f"The config of {vae_file}"
    check_vae(vae_config, read_tensors(vae_file), what, Remedy.REPLACE_WITH_OFFICIAL)
    codec = build_or_raise(
        lambda: DiffusersCodec.from_config(vae_config, device="meta"), what, Remedy.REPLACE_WITH_OFFICIAL
    )
    plan, notes = fit_device(unet_config, vae_config, resolution, whisper, device, dtype, options)
    if plan is not None and plan.dtype is not dtype:
        dtype = plan.dtype
        unet = UNet.from_config(unet_config, options.operations, dtype=dtype, device="meta")
    total = len(unet.state_dict()) + len(codec.vae.state_dict())
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if on_progress:
            on_progress(done, total)

    offloaded = device.type != "cpu" and (plan.offload if plan else options.offload)
    weights_device = torch.device("cpu") if offloaded else device
    fill(
        unet,
        lambda: read_tensors(unet_file),
        MISMATCH_MESSAGE.format(unet_file),
        weights_device,
        dtype,
        count,
        channels_last=True,
    )
    fill(
        codec.vae,
        lambda: build_or_raise(
            lambda: rename_legacy_keys(read_tensors(vae_file)), str(vae_file), Remedy.REPLACE_WITH_OFFICIAL
        ),
        f"{vae_file} does not fit the VAE",
        device,
        dtype,
        count,
    )
    if offloaded:
        offload(unet, device)
    elif options.compile:
        compile_unet(unet)
    if options.compile and offloaded:
        notes = (*notes, Note("the U-Net ran uncompiled, since its weights wait in main memory", NoteLevel.WARNING))
    if plan is not None:
        codec.chunk_pixels = plan.decode_slice * resolution**2

    parts = (quick_digest(unet_file), quick_digest(vae_file), whisper.digest, str(resolution), str(dtype))
    return LatentSyncModel(
        name=name,
        unet=unet,
        codec=codec,
        whisper=whisper.to(device),
        resolution=resolution,
        device=device,
        dtype=dtype,
        digest=hashlib.sha256(" ".join(parts).encode()).hexdigest(),
        demonstration=demonstration,
        schedule=schedule,
        reference_mouth=reference_mouth,
        recommended=recommended,
        memory_plan=plan,
        make_room=None if offloaded or device.type == "cpu" else partial(_make_room, unet, device),
        notes=notes,
    )


def _make_room(unet: UNet, device: torch.device) -> bool:
    """Moves a U-Net's weights from `device` to main memory, from which its layers then fetch them."""
    offload(unet.to("cpu"), device)
    return True


def _check_resolution(name: str, resolution: int, options: LoadOptions) -> None:
    if options.resolution not in (None, resolution):
        raise OptionError(f"{name} works at {resolution} px, not at {options.resolution}; leave the resolution out.")
