"""Load Model node: U-Net, VAE and Whisper into ComfyUI's care."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import comfy.model_management
from comfy_api.latest import io

from ..latentsync_core.errors import ModelError
from ..latentsync_core.models.load_options import PRECISIONS, LoadOptions
from ..latentsync_core.models.loading.demonstration import demonstration_models
from ..latentsync_core.models.loading.download import DownloadOptions, download
from ..latentsync_core.models.loading.models_folder import installed_model_paths, installed_models
from ..latentsync_core.models.loading.registry import KNOWN_MODELS
from ..latentsync_core.models.loading.weights import load_model
from ..latentsync_core.models.model import DTYPES, resolve_dtype
from ..latentsync_core.models.names import one_line
from ._comfy import Progress, models_folders, schema
from ._inputs import checked
from ._managed_model import ManagedModel, Operations
from ._sockets import Model

# Two graphs that ask for the same model share one copy, for as long as one of them keeps it.
_loaded: weakref.WeakValueDictionary[tuple, ManagedModel] = weakref.WeakValueDictionary()


class LoadModel(io.ComfyNode):
    """Connects `load_model` to the graph."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubLoadModel",
            display_name="LatentSync Load Model",
            description="Loads a LatentSync model. Put your own into models/latentsync, or pick a released one: it is "
            "downloaded once, with its VAE and Whisper.",
            search_aliases=["latentsync", "lip sync model", "lipsync checkpoint"],
            inputs=[
                model_choice(),
                io.Combo.Input(
                    "precision",
                    options=["auto", *PRECISIONS],
                    default="auto",
                    tooltip="Of U-Net and VAE. auto is fp16 on graphics cards that are fast at it, fp32 elsewhere.",
                ),
                io.Boolean.Input(
                    "download_if_missing",
                    default=True,
                    tooltip="Fetch a released model that isn't installed (5 GB and more, checked by hash; an "
                    "interrupted download goes on where it stopped). Off: say where its files go instead.",
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="An image VAE of Stable Diffusion 1.x loaded by core, in place of the model's own.",
                ),
            ],
            outputs=[Model.Output(display_name="model", tooltip="For Embed Audio and Sampler.")],
        )

    @classmethod
    @checked
    def execute(cls, model: str, precision: str, download_if_missing: bool, vae: Any = None) -> io.NodeOutput:
        progress = Progress(download=9, load=1)
        loaded = managed_model(
            model, precision, download_if_missing, progress.phase("download"), progress.phase("load")
        )
        return io.NodeOutput(loaded if vae is None else loaded.with_vae(vae))


def model_choice() -> io.Combo.Input:
    """The widget that lists released models, the carried ones, and what lies in the models folders."""
    installed = [name for folder in models_folders() for name in installed_models(folder)]
    names = dict.fromkeys([*reversed(KNOWN_MODELS), *demonstration_models(), *installed])
    return io.Combo.Input(
        "model",
        options=list(names),
        tooltip="latentsync-1.6 draws mouths at 512 px, latentsync-1.5 at 256 px. A demonstration model comes "
        "with the pack: small and quick, it shows how everything works. Others lie in models/latentsync.",
    )


def managed_model(name: str, precision: str, may_download: bool, on_download: Any, on_load: Any) -> ManagedModel:
    """The model of that name in the list, loaded or, if any graph has it already, shared. ModelError for any other."""
    device = comfy.model_management.get_torch_device()
    dtype = resolve_dtype(precision, device)
    folders = models_folders()
    spec: str | Path = name
    if name in KNOWN_MODELS:
        at = next((folder for folder in folders if installed_model_paths(name, folder)), None)
        if at is None and may_download:
            download(name, DownloadOptions(models_folder=folders[0]), on_download)
    elif name in demonstration_models():
        spec, at = demonstration_models()[name], None
    else:
        # Only what lies in a models folder, by its very name in the list: a prompt may hold any other path.
        at = next((folder for folder in folders if name in installed_models(folder)), None)
        if at is None:
            raise ModelError(
                f"There is no model called {one_line(repr(name))} in {folders[0]}; choose one of the list."
            )
        spec = at / name
    key = (str(spec), _version(spec), str(at), dtype, str(device))
    managed = _loaded.get(key)
    if managed is None:
        options = LoadOptions(
            device=str(comfy.model_management.unet_offload_device()),
            precision=next(word for word, kind in DTYPES.items() if kind is dtype),
            models_folder=at or folders[0],
            operations=Operations,
        )
        managed = _loaded[key] = ManagedModel(load_model(spec, options, on_load))
    on_load(1, 1)
    return managed


def _version(spec: str | Path) -> int:
    """Changes when the files of a model do."""
    path = Path(spec)
    return path.stat().st_mtime_ns if isinstance(spec, Path) and path.exists() else 0
