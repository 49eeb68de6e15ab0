"""Replace Faces node: takes restored or upscaled faces in place of the sampler's."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..latentsync_core.compositing.face_crops import replace_faces
from ._checks import check_inputs
from ._comfy import Progress, pack_temp_folder, schema
from ._sockets import Synced, WithTensors


class ReplaceFaces(io.ComfyNode):
    """Connects `replace_faces` to the graph."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubReplaceFaces",
            display_name="LatentSync Replace Faces",
            description="Takes the images of LatentSync Decode Faces back after a restorer or upscaler worked on them.",
            search_aliases=["face restore", "restored faces"],
            inputs=[
                Synced.Input("synced", tooltip="The same that LatentSync Decode Faces was given."),
                io.Image.Input("crops", tooltip="As many as came out, in the same order, square, of any one size."),
            ],
            outputs=[Synced.Output(display_name="synced", tooltip="For LatentSync Composite.")],
        )

    @classmethod
    @check_inputs
    def execute(cls, synced: WithTensors, crops: torch.Tensor) -> io.NodeOutput:
        replaced = replace_faces(synced.value, crops, pack_temp_folder("faces"), Progress().phase())
        return io.NodeOutput(WithTensors(replaced, synced.tensors))
