"""Sample Scene node: a carried scene, voice and music, so that every shipped workflow runs at once."""

from __future__ import annotations

from comfy_api.latest import InputImpl, io

from ..latentsync_core.audio_io import load_audio
from ..latentsync_core.demo import MUSIC_AND_EFFECTS, PORTRAIT, SCENE, VOICE
from ..latentsync_core.video_io import probe
from ._comfy import audio_value, schema


class SampleScene(io.ComfyNode):
    """Hands out the engine's sample."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubSampleScene",
            display_name="LatentSync Sample Scene",
            description="Something to try a workflow with: a short French scene, its English voice, its music and "
            "effects, and a portrait. Put Load Video and Load Audio in its place for your own.",
            search_aliases=["example clip", "demo video", "test clip"],
            inputs=[],
            outputs=[
                io.Video.Output(display_name="scene", tooltip="A drawn person who speaks French, with music beneath."),
                io.Audio.Output(display_name="english_voice", tooltip="The same said in English; the voice alone."),
                io.Audio.Output(display_name="music_and_effects", tooltip="The scene's sound without any voice."),
                io.Image.Output(display_name="portrait", tooltip="One picture of a drawn person."),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(
            InputImpl.VideoFromFile(str(SCENE)),
            audio_value(load_audio(VOICE)),
            audio_value(load_audio(MUSIC_AND_EFFECTS)),
            probe(PORTRAIT).images,
        )
