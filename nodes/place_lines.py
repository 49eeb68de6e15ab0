"""Place Lines node: a spoken sound for each line, fitted to it and laid on the clip's times."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from comfy_api.latest import io

from ..latentsync_core.audio.source import load_audio
from ..latentsync_core.dubbing.fit_options import MAX_TEMPO, MIN_TEMPO, FitOptions
from ..latentsync_core.dubbing.lines.line_formats import Dialogue
from ..latentsync_core.dubbing.placement import place_lines, place_long_dub
from ..latentsync_core.errors import AudioError
from ..latentsync_core.messages import Remedy
from ..latentsync_core.phases import Phase
from ._checks import check_inputs
from ._clips import clip_from_input
from ._comfy import Progress, input_names, schema
from ._sockets import Lines
from ._wording import note_lines

DEFAULTS = FitOptions()


class PlaceLines(io.ComfyNode):
    """Connects `place_lines` and `place_long_dub` to the graph."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubPlaceLines",
            display_name="LatentSync Place Lines",
            description="Lays a spoken sound for each line on the clip's times: silence is trimmed, and the speech "
            "stretched at its own pitch, so that it ends with its line where the limits allow it.",
            search_aliases=["fit speech", "time stretch", "dubbing", "align speech", "subtitles to speech"],
            is_input_list=True,
            inputs=[
                Lines.Input("lines", tooltip="From LatentSync Dialogue Lines, with the clip's times."),
                io.Audio.Input(
                    "sounds",
                    tooltip="A sound for each line, in their order: the list that a speech synthesis makes of "
                    "Dialogue Lines' texts. Or one long dub, with `dub_lines`.",
                ),
                io.Video.Input("video", tooltip="The clip: the voice is as long, to the sample."),
                io.Float.Input(
                    "min_tempo",
                    default=DEFAULTS.min_tempo,
                    min=MIN_TEMPO,
                    max=1.0,
                    step=0.01,
                    tooltip="Speech that is too short is slowed to this at most; 1 never slows it.",
                ),
                io.Float.Input(
                    "max_tempo",
                    default=DEFAULTS.max_tempo,
                    min=1.0,
                    max=MAX_TEMPO,
                    step=0.01,
                    tooltip="Speech that is too long is sped up to this at most; 1 never speeds it up.",
                ),
                Lines.Input(
                    "dub_lines",
                    optional=True,
                    tooltip="For one long dub: when each line is spoken in it, from another Dialogue Lines.",
                ),
            ],
            outputs=[
                io.Audio.Output(
                    display_name="voice",
                    tooltip="Mono, as long as the clip: for LatentSync Embed Audio and Mix Dub Audio.",
                ),
                io.String.Output(display_name="report", tooltip="What became of each line, as JSON."),
            ],
        )

    @classmethod
    @check_inputs(lists=("sounds",))
    def execute(
        cls,
        lines: Dialogue,
        sounds: list[Mapping[str, Any] | None],
        video: Any,
        min_tempo: float,
        max_tempo: float,
        dub_lines: Dialogue | None = None,
    ) -> io.NodeOutput:
        seconds = clip_from_input(video, fps=1.0).exact_duration
        options = FitOptions(min_tempo, max_tempo)
        on_progress = Progress().phase(words=Phase.VOICE)
        sources = [load_audio(sound) for value in sounds for sound in _separate(value)]
        if dub_lines is None:
            dub = place_lines(lines.lines, sources, seconds, options, on_progress=on_progress)
        elif len(sources) == 1:
            dub = place_long_dub(lines.lines, sources[0], dub_lines.lines, seconds, options, on_progress=on_progress)
        else:
            raise AudioError(f"With dub_lines there has to be one long dub, and there are {len(sources)} sounds.")
        report = [{**asdict(line), "over_seconds": line.over_seconds, "fits": line.fits} for line in dub.lines]
        fitting = f"{sum(line.fits for line in dub.lines)} of {len(dub.lines)} lines fit"
        return io.NodeOutput(
            {"waveform": dub.waveform[None], "sample_rate": dub.rate},
            json.dumps(report),
            ui={"text": [fitting, *note_lines(dub.notes, input_names(cls))]},
        )


def _separate(sound: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """The sounds of a batch, (B, C, T), one by one."""
    if sound is None:
        raise AudioError("A line has no sound.", Remedy.GIVE_SOUND)
    waveform = sound.get("waveform")
    if not isinstance(waveform, torch.Tensor) or waveform.ndim != 3 or len(waveform) < 2:
        return [sound]
    return [{"waveform": each[None], "sample_rate": sound.get("sample_rate")} for each in waveform]
