"""Load Model node: loads U-Net, VAE and Whisper under ComfyUI's memory management."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..latentsync_core.models.load_options import PRECISIONS
from ._checks import check_inputs
from ._comfy import Progress, schema
from ._inputs import ADVANCED, model_input
from ._managed_model import managed_model
from ._sockets import Model


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
                model_input(),
                io.Combo.Input(
                    "precision",
                    extra_dict=ADVANCED,
                    options=["auto", *PRECISIONS],
                    default="auto",
                    tooltip="Of U-Net and VAE. auto is fp16 on graphics cards that are fast at it, bf16 on "
                    "processors that have units for it, fp32 elsewhere.",
                ),
                io.Boolean.Input(
                    "download_if_missing",
                    extra_dict=ADVANCED,
                    default=True,
                    tooltip="Fetch what a released model lacks, its VAE and Whisper included (5 GB and more in all, "
                    "checked by hash; an interrupted download goes on where it stopped). Off: say where the files go "
                    "instead.",
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="An image VAE of Stable Diffusion 1.x loaded by core, in place of the model's own.",
                ),
                io.Boolean.Input(
                    "compile",
                    extra_dict=ADVANCED,
                    default=False,
                    optional=True,
                    tooltip="Compile the U-Net with torch.compile: some minutes at first, quicker steps afterwards. "
                    "Needs a C++ compiler on a CPU, Triton on a graphics card; without them the U-Net runs as it is.",
                ),
            ],
            outputs=[Model.Output(display_name="model", tooltip="For Embed Audio and Sampler.")],
        )

    @classmethod
    @check_inputs
    def execute(
        cls, model: str, precision: str, download_if_missing: bool, vae: Any = None, compile: bool = False
    ) -> io.NodeOutput:
        loaded = managed_model(model, precision, download_if_missing, Progress(load=1), compile)
        return io.NodeOutput(loaded if vae is None else loaded.with_vae(vae))
