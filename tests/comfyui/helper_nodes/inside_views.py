"""Looks into the server's process from within: its global state, loaded networks, tensors that never leave it."""

from __future__ import annotations

import hashlib
import os
import random
import sys
import time
from types import ModuleType
from typing import Any

import comfy.model_management  # noqa: TID251
import comfy.sd  # noqa: TID251
import numpy as np
import torch
from comfy.model_patcher import ModelPatcher  # noqa: TID251

from .made_nodes import ANYTHING, node

PART = 4 << 20  # bytes of a U-Net that are to be loaded; the demonstration model's has 14 million
BAR_INTERVAL = 0.15  # seconds; ComfyUI drops what comes within 0.1 s of the bar's last change


@node(after=ANYTHING, label="STRING")
def global_state(after: Any, label: str) -> dict[str, Any]:
    """What a well-behaved node leaves as it was, after another node ran."""
    return {
        "folder": os.getcwd(),
        "environment": _digest(repr(sorted(os.environ.items())).encode()),
        "torch random": _digest(torch.get_rng_state().numpy().tobytes()),
        "numpy random": _digest(np.random.get_state()[1].tobytes()),
        "python random": _digest(repr(random.getstate()).encode()),
        "dtype": str(torch.get_default_dtype()),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "gradients": torch.is_grad_enabled(),
        "matmul precision": torch.get_float32_matmul_precision(),
    }


@node(first="IMAGE", second="IMAGE", mask="MASK")
def compare(first: torch.Tensor, second: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
    """Two batches of the same shape: how many values differ inside and outside of where the mask is above 0."""
    if first.shape != second.shape:
        return {"shapes": [list(first.shape), list(second.shape)]}
    differ = (first != second).any(-1)
    inside = mask > 0
    return {
        "frames": len(first),
        "inside": float(inside.float().mean()),
        "frames that differ": int(differ.flatten(1).any(1).sum()),
        "pixels that differ outside": int((differ & ~inside).sum()),
        "largest difference": float((first - second).abs().max()),
    }


@node(images="IMAGE")
def image_facts(images: torch.Tensor) -> dict[str, Any]:
    """A batch's shape and what its values are."""
    return {
        "shape": list(images.shape),
        "digest": _digest(images.contiguous().numpy().tobytes()),
        "mean": float(images.mean()),
        "range": [float(images.min()), float(images.max())],
    }


@node(first="LATENTSYNC_MODEL", second="LATENTSYNC_MODEL")
def same_networks(first: Any, second: Any) -> dict[str, bool]:
    """Whether two graphs' models hold the same networks."""
    return {
        "U-Net": first.patcher.model is second.patcher.model,
        "others": [p.model for p in first.get_models()] == [p.model for p in second.get_models()],
    }


@node("VAE", model="LATENTSYNC_MODEL", brightness="FLOAT")
def core_vae(model: Any, brightness: float) -> Any:
    """The model's own autoencoder as a VAE of core's, its pictures made brighter."""
    network = next(p.model.network for p in model.get_models() if hasattr(p.model.network, "post_quant_conv"))
    channels = network.config.block_out_channels
    state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    state["decoder.conv_out.bias"] += brightness
    layout = {
        "double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": channels[0],
        "ch_mult": [count // channels[0] for count in channels], "num_res_blocks": network.config.layers_per_block,
        "attn_resolutions": [], "dropout": 0.0,
    }  # fmt: skip
    return comfy.sd.VAE(sd=state, config={"params": {"ddconfig": layout, "embed_dim": 4}})


@node("LATENTSYNC_MODEL", model="LATENTSYNC_MODEL", in_part="BOOLEAN")
def load_in_part(model: Any, in_part: bool) -> Any:
    """From its next use on the U-Net is loaded in part, as on a small card, or in full again."""
    comfy.model_management.unload_all_models()
    vars(model.patcher).pop("load", None)
    if in_part:

        def load(device_to: Any = None, lowvram_model_memory: int = 0, full_load: bool = False, **rest: Any) -> Any:
            return ModelPatcher.load(model.patcher, device_to, lowvram_model_memory=PART, full_load=False, **rest)

        model.patcher.load = load
    return model


@node(model="LATENTSYNC_MODEL", after=ANYTHING)
def layers_that_fetch(model: Any, after: Any) -> dict[str, int]:
    """How many of the U-Net's layers fetch their weights when they are used, and how many hold them."""
    layers = [layer for layer in model.patcher.model.modules() if hasattr(layer, "comfy_cast_weights")]
    fetching = sum(layer.comfy_cast_weights for layer in layers)
    return {"fetch": fetching, "hold": len(layers) - fetching}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


@node(steps="INT")
def progress_of_a_download(steps: int) -> int:
    """Reports a download of so many steps as Load Model does, and then the first half of loading."""
    progress = our_module("nodes._comfy").Progress(load=1)
    on_download = progress.whole_bar(our_module("latentsync_core.phases").Phase.DOWNLOAD)
    for done in range(1, steps + 1):
        on_download(done, steps)
        time.sleep(BAR_INTERVAL)
    progress.phase("load")(1, 2)
    return steps


def our_module(name: str) -> ModuleType:
    """A module of the pack under test, as ComfyUI loaded it."""
    return next(module for known, module in sys.modules.items() if known.endswith(f"ComfyUI-LatentSync-Dub.{name}"))


@node(audio="AUDIO")
def show_sound(audio: Any) -> dict[str, Any]:
    waveform = audio["waveform"]
    digest = _digest(waveform.contiguous().numpy().tobytes())
    return {"shape": list(waveform.shape), "sample_rate": audio["sample_rate"], "samples": digest}


@node(text="STRING")
def show_text(text: str) -> str:
    return text
