"""Decode Faces node: the new faces as images, for a restorer or upscaler."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..latentsync_core.compositing.face_crops import decode_faces
from ..latentsync_core.errors import FaceError
from ._checks import check_inputs
from ._comfy import Progress, schema
from ._sockets import Synced, WithTensors


class DecodeFaces(io.ComfyNode):
    """Connects `decode_faces` to the graph."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubDecodeFaces",
            display_name="LatentSync Decode Faces",
            description="The new faces as square images, one for every frame that shows the face, for any restorer or "
            "upscaler; LatentSync Replace Faces takes them back.",
            search_aliases=["face restore", "codeformer", "gfpgan", "upscale face"],
            inputs=[Synced.Input("synced", tooltip="From LatentSync Face Sampler.")],
            outputs=[
                io.Image.Output(display_name="crops", tooltip="Keep their number and order, and the square shape.")
            ],
        )

    @classmethod
    @check_inputs
    def execute(cls, synced: WithTensors) -> io.NodeOutput:
        crops = [crop for _, crop in decode_faces(synced.value, Progress().phase())]
        if not crops:
            raise FaceError("no frame has a face to decode; look at the preview of LatentSync Prepare Faces")
        return io.NodeOutput(torch.stack(crops).movedim(1, -1).contiguous())  # CHW -> HWC
