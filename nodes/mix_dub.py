"""Mix Dub Audio node: the dub over music and effects, in a room and at a loudness."""

from __future__ import annotations

import json
from typing import Any

import torch
from comfy_api.latest import io

from ..latentsync_core.audio.source import load_audio
from ..latentsync_core.dubbing.dub_mix import FacePlace, mix_dub
from ..latentsync_core.dubbing.mix_options import MAX_DUCK, MAX_GAIN, MAX_RAMP, Loudness, MixOptions, Reverb
from ._checks import check_inputs
from ._comfy import input_names, schema
from ._inputs import ADVANCED
from ._sockets import Faces, WithTensors
from ._wording import note_lines

DEFAULTS = MixOptions()
PEAK = MixOptions().true_peak


class MixDub(io.ComfyNode):
    """Connects `mix_dub` to the graph."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubMixDub",
            display_name="LatentSync Mix Dub Audio",
            description="Mixes the dubbed voice with the scene's music and effects: levels, ducking, the room of the "
            "original, loudness (EBU R128) and true peak. For mux_audio; the mouth follows the dry voice.",
            search_aliases=["ducking", "reverb", "loudness", "EBU R128", "merge audio", "background music"],
            inputs=[
                io.Audio.Input("dub", tooltip="The dubbed voice, from LatentSync Place Lines or Load Audio."),
                _number("dub_gain", DEFAULTS.dub_gain, -MAX_GAIN, MAX_GAIN, "Level of the dub, dB."),
                _number(
                    "background_gain", DEFAULTS.background_gain, -MAX_GAIN, MAX_GAIN, "The background's level, dB."
                ),
                _number(
                    "duck",
                    DEFAULTS.duck,
                    0.0,
                    MAX_DUCK,
                    "dB by which the background is lowered while the dub speaks; 0 leaves it alone.",
                ),
                _number(
                    "attack",
                    DEFAULTS.attack,
                    0.0,
                    MAX_RAMP,
                    "Seconds in which it is lowered; it is low as the speech begins.",
                    0.01,
                    rare=True,
                ),
                _number(
                    "release",
                    DEFAULTS.release,
                    0.0,
                    MAX_RAMP,
                    "Seconds in which it comes back.",
                    0.01,
                    rare=True,
                ),
                io.Combo.Input(
                    "reverb",
                    options=[reverb.value for reverb in Reverb],
                    default=DEFAULTS.reverb.value,
                    tooltip="The room around the dub. dry: none. impulse: a recorded impulse response. match: one that "
                    "rings as long as the room in `original`.",
                ),
                _number(
                    "reverb_level",
                    DEFAULTS.reverb_level,
                    -60.0,
                    20.0,
                    "dB of the reverb against the dry voice.",
                ),
                _number(
                    "pan",
                    DEFAULTS.pan,
                    -1.0,
                    1.0,
                    "Where a stereo mix has the voice, -1 left to 1 right; `faces` counts instead.",
                    0.05,
                    rare=True,
                ),
                io.Combo.Input(
                    "loudness",
                    options=[loudness.value for loudness in Loudness],
                    default=DEFAULTS.loudness.value,
                    tooltip="Of the whole mix: -23 LUFS (EBU R128, broadcast), -16 LUFS (web), that of `original`, or "
                    "off.",
                ),
                io.Boolean.Input(
                    "limiter", default=PEAK is not None, tooltip="Keeps peaks below true_peak; off leaves them alone."
                ),
                _number(
                    "true_peak",
                    -1.0 if PEAK is None else PEAK,
                    -20.0,
                    0.0,
                    "dBTP that no peak passes, also between samples.",
                    rare=True,
                ),
                io.Audio.Input(
                    "background",
                    optional=True,
                    tooltip="Music and effects without a voice. The mix has their length, rate and channels.",
                ),
                io.Audio.Input(
                    "original",
                    optional=True,
                    tooltip="The original recording, for match and original; its room is measured best in the voice "
                    "alone.",
                ),
                io.Audio.Input("impulse", optional=True, tooltip="A recorded impulse response, for impulse."),
                Faces.Input(
                    "faces", optional=True, tooltip="From LatentSync Select Faces: a stereo voice follows the face."
                ),
            ],
            outputs=[
                io.Audio.Output(display_name="mix", tooltip="For mux_audio of LatentSync Composite."),
                io.String.Output(display_name="report", tooltip="Loudness, true peak and the room's decay, as JSON."),
            ],
        )

    @classmethod
    @check_inputs
    def execute(
        cls,
        dub: Any,
        reverb: str,
        loudness: str,
        limiter: bool,
        true_peak: float,
        background: Any = None,
        original: Any = None,
        impulse: Any = None,
        faces: WithTensors | None = None,
        **levels: float,
    ) -> io.NodeOutput:
        options = MixOptions(
            **levels,
            reverb=Reverb(reverb),
            loudness=Loudness(loudness),
            true_peak=true_peak if limiter else None,
        )
        bed, first, room = (None if sound is None else load_audio(sound) for sound in (background, original, impulse))
        face = None
        if faces is not None:
            face = FacePlace(*(torch.from_numpy(column) for column in faces.value.chosen_places()))
        mix = mix_dub(load_audio(dub), bed, options, first, room, face)
        facts = {"lufs": mix.measured.lufs, "true_peak": mix.measured.true_peak, "decay": mix.decay}
        shown = f"{mix.measured.lufs:.1f} LUFS, true peak {mix.measured.true_peak:.1f} dBTP"
        room_shown = [] if mix.decay is None else [f"the room rings for {mix.decay:.2f} s"]
        return io.NodeOutput(
            {"waveform": mix.waveform[None], "sample_rate": mix.rate},
            json.dumps(facts),
            ui={"text": [shown, *room_shown, *note_lines(mix.notes, input_names(cls))]},
        )


def _number(
    name: str, default: float, low: float, high: float, tooltip: str, step: float = 0.5, rare: bool = False
) -> io.Float.Input:
    facts = {"extra_dict": ADVANCED} if rare else {}
    return io.Float.Input(name, default=default, min=low, max=high, step=step, tooltip=tooltip, **facts)
