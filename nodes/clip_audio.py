"""Clip Audio node: a clip's sound, without decoding a frame."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ._clips import sound_of
from ._comfy import schema


class ClipAudio(io.ComfyNode):
    """Connects `clip_audio` to the graph."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubClipAudio",
            display_name="LatentSync Clip Audio",
            description="A clip's own sound, cut where the clip is cut; not a single frame is decoded for it.",
            search_aliases=["extract audio", "video to audio", "audio from video"],
            inputs=[io.Video.Input("video", tooltip="From Load Video; a trim counts.")],
            outputs=[io.Audio.Output(display_name="audio", tooltip="All channels, at the clip's own rate.")],
        )

    @classmethod
    def execute(cls, video: Any) -> io.NodeOutput:
        return io.NodeOutput(sound_of(video))
