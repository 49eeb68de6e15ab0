"""Report node: how well a result's mouths follow the sound, beside the clip that it was made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ..latentsync_core.audio.source import load_audio
from ..latentsync_core.phases import Phase
from ..latentsync_core.result_report.reporting import report_on_clips
from ._checks import check_inputs
from ._clips import clip_from_input
from ._comfy import Progress, numbered_output, preview_image, schema
from ._sockets import Faces, WithTensors

PREFIX = "LatentSync/report"
ANY_FPS = 25.0  # a VIDEO has its own rate


class Report(io.ComfyNode):
    """Connects `report_on_clips` to the graph, and writes its page beside the results."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubReport",
            display_name="LatentSync Result Report",
            description="Says how good a result is: whether each new mouth is in sync with the sound, and by how many "
            "frames it isn't, how its motion and its border differ from the source's, and what was changed when.",
            search_aliases=["sync score", "lip sync quality", "SyncNet", "evaluate", "LSE-C"],
            is_output_node=True,
            inputs=[
                Faces.Input(
                    "faces", tooltip="From LatentSync Prepare Faces: of the clip that the result was made from."
                ),
                io.Video.Input("result", tooltip="From LatentSync Composite or Lip Sync."),
                io.String.Input(
                    "filename_prefix",
                    default=PREFIX,
                    tooltip="Where in the output folder the report is written, as one HTML file that opens anywhere.",
                ),
                io.Audio.Input(
                    "audio",
                    optional=True,
                    tooltip="The voice alone that the mouths should follow. Without it the result's own sound, whose "
                    "music makes the scores worse.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="picture", tooltip="Speech and new mouths over time, and the curves."),
                io.String.Output(display_name="report", tooltip="All scores, as JSON."),
            ],
        )

    @classmethod
    @check_inputs
    def execute(cls, faces: WithTensors, result: Any, filename_prefix: str, audio: Any = None) -> io.NodeOutput:
        clip = clip_from_input(result, ANY_FPS)
        voice = None if audio is None else load_audio(audio)
        report = report_on_clips(
            faces.value, clip, voice, on_progress=Progress().phase(words=Phase.REPORT, frames=clip.frame_count)
        )
        page = Path(f"{numbered_output(filename_prefix, (clip.width, clip.height))}.html")
        report.write_page(page)
        picture = report.picture
        ui = preview_image(picture) | {"text": [*report.text.splitlines(), f"written: {page.name}"]}
        return io.NodeOutput(picture.permute(1, 2, 0)[None], json.dumps(report.data), ui=ui)
