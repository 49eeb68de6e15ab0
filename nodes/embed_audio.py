"""Embed Audio node: Whisper features of the driving audio."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..latentsync_core.audio.source import load_audio
from ..latentsync_core.phases import Phase
from ._checks import check_inputs
from ._comfy import Progress, pack_temp_folder, saved_result, schema
from ._estimates import expected_voice, timed_voice
from ._managed_model import ManagedModel
from ._sockets import Audio, Model


class EmbedAudio(io.ComfyNode):
    """Connects `embed_audio` to the graph. No frames are involved: a new take of the voice repeats nothing else."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubEmbedAudio",
            display_name="LatentSync Embed Audio",
            description="Listens to the voice that the mouth shall follow: Whisper's features of all of it.",
            search_aliases=["whisper features", "lip sync audio", "voice embedding"],
            inputs=[
                Model.Input("model", tooltip="From LatentSync Load Model; its Whisper listens."),
                io.Audio.Input(
                    "audio",
                    tooltip="The voice alone, in any rate and with up to 8 channels. Music beneath it disturbs: "
                    "give the full mix to Composite instead.",
                ),
            ],
            outputs=[Audio.Output(display_name="audio", tooltip="For LatentSync Face Sampler.")],
        )

    @classmethod
    @check_inputs
    def execute(cls, model: ManagedModel, audio: Any) -> io.NodeOutput:
        voice = load_audio(audio)
        loaded_model, progress = model.load_whisper(), Progress()
        progress.expect({"voice": expected_voice(loaded_model, voice)})
        on_progress = progress.phase(words=Phase.VOICE)
        audio_embedding = timed_voice(loaded_model, voice, on_progress, pack_temp_folder("voices"))
        # A key of our own: on "audio" the page wants a player that it makes for a few of core's nodes only.
        return io.NodeOutput(audio_embedding, ui={"voice": [saved_result(voice.as_wav(pack_temp_folder("sounds")))]})
