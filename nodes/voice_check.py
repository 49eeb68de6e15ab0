"""Voice Check node: what of a voice spoils cloning it, or driving a mouth with it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from comfy_api.latest import io

from ..latentsync_core.audio.source import load_audio
from ..latentsync_core.dubbing.voice_check import check_voice
from ._checks import check_inputs
from ._clips import clip_from_input
from ._comfy import pack_temp_folder, saved_result, schema
from ._wording import WARNING_SIGN


class VoiceCheck(io.ComfyNode):
    """Connects `check_voice` to the graph; the sound passes through unchanged."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubVoiceCheck",
            display_name="LatentSync Voice Check",
            description="Lists what of a voice spoils cloning it, or driving a mouth with it: clipping, noise, music, "
            "too little speech, leading silence, inverted channels, another length than the clip.",
            search_aliases=["audio quality", "clipping", "noise", "voice clone reference", "check audio"],
            is_output_node=True,  # so that a voice can be checked by itself
            inputs=[
                io.Audio.Input("audio", tooltip="A voice: a recording, a part to clone it from, or a finished dub."),
                io.Video.Input(
                    "video", optional=True, tooltip="The clip that the voice drives: its length is compared, too."
                ),
            ],
            outputs=[
                io.Audio.Output(display_name="audio", tooltip="The same sound, unchanged."),
                io.String.Output(display_name="report", tooltip="The faults and what was measured, as JSON."),
            ],
        )

    @classmethod
    @check_inputs
    def execute(cls, audio: Any, video: Any = None) -> io.NodeOutput:
        voice = load_audio(audio)
        seconds = None if video is None else float(clip_from_input(video, fps=1.0).exact_duration)
        report = check_voice(voice, seconds)
        facts = {**dataclasses.asdict(report), "faults": [fault.name.lower() for fault in report.faults]}
        shown = [WARNING_SIGN + finding for finding in report.findings] or ["no fault was found"]
        ui = {
            "text": [*shown, f"{report.seconds:.2f} s, {report.speech_seconds:.2f} s of it speech"],
            "voice": [saved_result(voice.as_wav(pack_temp_folder("sounds")))],
        }
        return io.NodeOutput(audio, json.dumps(facts), ui=ui)
