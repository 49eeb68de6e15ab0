"""Voice Check node: what of a voice spoils cloning it, or driving a mouth with it."""

from __future__ import annotations

import dataclasses
import json
from enum import Enum
from typing import Any

from comfy_api.latest import io

from ..latentsync_core.audio.source import load_audio
from ..latentsync_core.dubbing.voice_check import check_voice
from ._checks import check_inputs
from ._clips import clip_from_input
from ._comfy import BLOCKED, pack_temp_folder, saved_result, schema
from ._wording import WARNING_SIGN


class PassOn(Enum):
    """When nodes after this one run."""

    ALWAYS = "always"
    FAULTLESS = "without a fault"
    NEVER = "never"


class VoiceCheck(io.ComfyNode):
    """Connects `check_voice` to the graph; the sound passes through unchanged, or stops the nodes after this one."""

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
                io.Combo.Input(
                    "pass_on",
                    options=[choice.value for choice in PassOn],
                    default=PassOn.ALWAYS.value,
                    optional=True,
                    tooltip="When nodes that need the sound run: always, only where no fault was found, or never, to "
                    "make takes of a voice until one is right.",
                ),
            ],
            outputs=[
                io.Audio.Output(display_name="audio", tooltip="The same sound, unchanged."),
                io.String.Output(display_name="report", tooltip="The faults and what was measured, as JSON."),
            ],
        )

    @classmethod
    @check_inputs
    def execute(cls, audio: Any, video: Any = None, pass_on: str = PassOn.ALWAYS.value) -> io.NodeOutput:
        voice = load_audio(audio)
        seconds = None if video is None else float(clip_from_input(video, fps=1.0).exact_duration)
        report = check_voice(voice, seconds)
        facts = {**dataclasses.asdict(report), "faults": [fault.name.lower() for fault in report.faults]}
        choice = PassOn(pass_on)
        is_passed_on = choice is PassOn.ALWAYS or (choice is PassOn.FAULTLESS and not report.faults)
        shown = [WARNING_SIGN + finding for finding in report.findings] or ["no fault was found"]
        shown += [] if is_passed_on else ["nothing after this node was run"]
        ui = {
            "text": [*shown, f"{report.seconds:.2f} s, {report.speech_seconds:.2f} s of it speech"],
            "voice": [saved_result(voice.as_wav(pack_temp_folder("sounds")))],
        }
        return io.NodeOutput(audio if is_passed_on else BLOCKED, json.dumps(facts), ui=ui)
