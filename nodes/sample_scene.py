"""Sample Scene node: a carried scene, voice and music, so that every shipped workflow runs at once."""

from __future__ import annotations

from comfy_api.latest import InputImpl, io

from ..latentsync_core.audio.source import load_audio
from ..latentsync_core.sample_scene import HER_VOICE, HIS_VOICE, MUSIC_AND_EFFECTS, PORTRAIT, SCENE, TWO_PEOPLE, VOICE
from ..latentsync_core.video.reading.probing import probe
from ._checks import check_inputs
from ._comfy import audio_value, schema


class SampleScene(io.ComfyNode):
    """Hands out the engine's sample."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubSampleScene",
            display_name="LatentSync Sample Scene",
            description="Something to try a workflow with: a short French scene, its English voice, its music and "
            "effects, and a portrait; and two people with a voice for each. Put Load Video and Load Audio in its place "
            "for your own.",
            search_aliases=["example clip", "demo video", "test clip"],
            inputs=[],
            outputs=[
                io.Video.Output(
                    display_name="scene", tooltip="Two drawn people in a lit set who speak French, with music beneath."
                ),
                io.Audio.Output(display_name="english_voice", tooltip="The same said in English; the voice alone."),
                io.Audio.Output(display_name="music_and_effects", tooltip="The scene's sound without any voice."),
                io.Image.Output(display_name="portrait", tooltip="One picture of a drawn person."),
                io.Video.Output(display_name="two_people", tooltip="Two drawn people who answer each other in French."),
                io.Audio.Output(display_name="her_english_voice", tooltip="What she says there, in English."),
                io.Audio.Output(display_name="his_english_voice", tooltip="What he says there, in English."),
            ],
        )

    @classmethod
    @check_inputs
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(
            InputImpl.VideoFromFile(str(SCENE)),
            audio_value(load_audio(VOICE)),
            audio_value(load_audio(MUSIC_AND_EFFECTS)),
            probe(PORTRAIT).images,
            InputImpl.VideoFromFile(str(TWO_PEOPLE)),
            audio_value(load_audio(HER_VOICE)),
            audio_value(load_audio(HIS_VOICE)),
        )
