"""A LatentSync model whose networks ComfyUI moves to the device, counts, and evicts."""

from __future__ import annotations

import dataclasses
import hashlib
import weakref
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.ops
import torch
from comfy.model_patcher import ModelPatcher

from ..latentsync_core.errors import ModelError
from ..latentsync_core.messages import Note
from ..latentsync_core.models.load_options import LoadOptions
from ..latentsync_core.models.loading.demonstration import demonstration_models
from ..latentsync_core.models.loading.download import DownloadOptions, download_missing
from ..latentsync_core.models.loading.models_folder import installed_models
from ..latentsync_core.models.loading.registry import KNOWN_MODELS
from ..latentsync_core.models.loading.release_files import find_release
from ..latentsync_core.models.loading.weights import load_model
from ..latentsync_core.models.memory.estimate import denoising_values
from ..latentsync_core.models.memory.plan import MARGIN
from ..latentsync_core.models.model import DTYPES, LatentSyncModel, resolve_dtype
from ..latentsync_core.models.names import one_line
from ..latentsync_core.models.vae import SCALING_FACTOR, LatentCodec
from ..latentsync_core.phases import Phase
from ._comfy import Progress, models_folders

# Two graphs that ask for the same model share one copy, for as long as one of them keeps it.
_loaded: weakref.WeakValueDictionary[tuple, ManagedModel] = weakref.WeakValueDictionary()


class Operations(comfy.ops.disable_weight_init):
    """ComfyUI's layers, which fetch their weights when used, so that a U-Net can be loaded in part.

    Our loader fills weights in place: a Linear must have its own from the start, which ComfyUI's promises only to
    classes that load their state themselves.
    """

    class Linear(comfy.ops.disable_weight_init.Linear):
        def _load_from_state_dict(self, *args: Any) -> None:
            torch.nn.Linear._load_from_state_dict(self, *args)


class ManagedModel:
    """What LATENTSYNC_MODEL carries; ComfyUI looks for `patcher` and `get_models` in it."""

    def __init__(self, model: LatentSyncModel) -> None:
        self.patcher = _patcher(model.unet)
        self._whisper = _patcher(Whisper(model.whisper))
        self._vae = _patcher(Autoencoder(model.codec.vae))
        codec = ManagedCodec(model.codec, self._vae)
        patcher = self.patcher
        self._model = dataclasses.replace(
            model, device=patcher.load_device, codec=codec, make_room=lambda: _make_room(patcher)
        )

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def model(self) -> LatentSyncModel:
        """The model, wherever its networks are: for what it says of itself."""
        return self._model

    def get_models(self) -> list[ModelPatcher]:
        """The networks beside the U-Net that are this model's own."""
        return [self._whisper] if self._vae is None else [self._vae, self._whisper]

    def with_vae(self, vae: Any) -> ManagedModel:
        """The same U-Net and Whisper, with an autoencoder that core loaded."""
        other = object.__new__(ManagedModel)
        codec = CoreCodec(vae)
        other._model = dataclasses.replace(self._model, codec=codec, digest=f"{self._model.digest} {codec.digest}")
        other.patcher, other._whisper, other._vae = self.patcher, self._whisper, None
        return other

    def load_whisper(self) -> LatentSyncModel:
        """The model, Whisper being on the device."""
        comfy.model_management.load_models_gpu([self._whisper], force_full_load=True)
        return self._model

    def load_unet(self, frames: int, guided: bool) -> LatentSyncModel:
        """The model, the U-Net being on the device with room for windows of so many frames.

        What doesn't fit stays in main memory and is fetched layer by layer. The VAE comes when it is used.
        """
        values = (2 if guided else 1) * denoising_values(self._model.unet.config, self._model.resolution, frames)
        required = round(MARGIN * values * self._model.dtype.itemsize)
        comfy.model_management.load_models_gpu([self.patcher], memory_required=required)
        return self._model


class ManagedCodec:
    """A LatentCodec whose network comes onto the device whenever it is used, long after the model's node ran."""

    def __init__(self, codec: LatentCodec, patcher: ModelPatcher) -> None:
        self._codec, self._patcher = codec, patcher

    @property
    def notes(self) -> tuple[Note, ...]:
        """What it lowered for lack of memory."""
        return getattr(self._codec, "notes", ())

    @property
    def config(self) -> dict[str, Any] | None:
        """See DiffusersCodec.config."""
        return getattr(self._codec, "config", None)

    @property
    def dtype(self) -> torch.dtype | None:
        return getattr(self._codec, "dtype", None)

    @property
    def device(self) -> torch.device:
        """Where it computes, wherever its network waits."""
        return self._patcher.load_device

    def encode(self, images: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
        """See LatentCodec.encode."""
        comfy.model_management.load_models_gpu([self._patcher], force_full_load=True)
        return self._codec.encode(images, noise)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """See LatentCodec.decode."""
        comfy.model_management.load_models_gpu([self._patcher], force_full_load=True)
        return self._codec.decode(latents)


class CoreCodec:
    """A LatentCodec over a VAE that core loaded, and that core itself moves to the device."""

    def __init__(self, vae: Any) -> None:
        self._vae = vae
        self.digest = _digest(vae.first_stage_model)

    def encode(self, images: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
        """See LatentCodec.encode; core gives the distribution's mean alone, so `noise` doesn't count."""
        return self._vae.encode((images.movedim(1, -1) / 2 + 0.5).clamp(0, 1)).float() * SCALING_FACTOR

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """See LatentCodec.decode; core clamps to [-1, 1]."""
        return self._vae.decode(latents.float() / SCALING_FACTOR).movedim(-1, 1).float() * 2 - 1


class Whisper(torch.nn.Module):
    """Whisper's encoder as a patcher takes it: a module on which a device can be noted; logs call it by this name."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network


class Autoencoder(Whisper):
    """The same of the image autoencoder."""


def managed_model(
    name: str, precision: str, may_download: bool, progress: Progress, compile: bool = False
) -> ManagedModel:
    """The model of that name in the list, loaded or, if any graph has it already, shared.

    What a released model lacks is downloaded first, where that is allowed: on a bar of its own, since it takes far
    longer than anything else. Loading is the phase "load" of `progress`. Raises ModelError for any other name.
    """
    device = comfy.model_management.get_torch_device()
    dtype = resolve_dtype(precision, device)
    folders = models_folders()
    spec: str | Path = name
    if name in KNOWN_MODELS:
        installed_in = _folder_of_release(name, folders, may_download, progress)
    elif name in demonstration_models():
        spec, installed_in = demonstration_models()[name], folders[0]
    else:
        # Only what lies in a models folder, by its very name in the list: a prompt may hold any other path.
        installed_in = next((folder for folder in folders if name in installed_models(folder)), None)
        if installed_in is None:
            raise ModelError(
                f"There is no model called {one_line(repr(name))} in {folders[0]}; choose one of the list."
            )
        spec = installed_in / name
    on_load = progress.phase("load", Phase.MODEL)
    key = (str(spec), _modified_ns(spec), str(installed_in), dtype, str(device), compile)
    managed = _loaded.get(key)
    if managed is None:
        options = LoadOptions(
            device=str(comfy.model_management.unet_offload_device()),
            precision=next(word for word, kind in DTYPES.items() if kind is dtype),
            models_folder=installed_in,
            operations=Operations,
            compile=compile,
        )
        managed = _loaded[key] = ManagedModel(load_model(spec, options, on_load))
    on_load(1, 1)
    return managed


def _folder_of_release(name: str, folders: list[Path], may_download: bool, progress: Progress) -> Path:
    """The models folder that has a released model, else the first; there, what it lacks is downloaded if allowed."""
    known = KNOWN_MODELS[name]
    on_hash = progress.whole_bar(Phase.CHECK)
    folder = next((folder for folder in folders if find_release(known, folder, on_hash)), folders[0])
    if may_download:
        download_missing(name, DownloadOptions(models_folder=folder), progress.whole_bar(Phase.DOWNLOAD))
    return folder


def _modified_ns(spec: str | Path) -> int:
    """Changes when the files of a model do."""
    path = Path(spec)
    if not isinstance(spec, Path) or not path.exists():
        return 0
    # A folder's own time says nothing of a description in it that was edited.
    return max(file.stat().st_mtime_ns for file in (path, *(path.glob("*.json") if path.is_dir() else ())))


def _patcher(network: torch.nn.Module) -> ModelPatcher:
    return ModelPatcher(
        network,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )


def _make_room(patcher: ModelPatcher) -> bool:
    """Has ComfyUI take everything off the device, and keep no more than half of the U-Net there; False on a CPU."""
    if patcher.load_device.type == "cpu":
        return False
    comfy.model_management.unload_all_models()
    free = comfy.model_management.get_free_memory(patcher.load_device)
    comfy.model_management.load_models_gpu([patcher], memory_required=max(free - patcher.model_size() // 2, 0))
    return True


def _digest(network: torch.nn.Module) -> str:
    """Tells one VAE from another by a few values of each of its tensors."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        few = tensor.flatten()[:16].float().cpu().numpy().tobytes()
        digest.update(f"{name} {tuple(tensor.shape)}".encode() + few)
    return digest.hexdigest()[:16]
