"""Sampler node: generates face latents for the chosen face, driven by the embedded audio."""

from __future__ import annotations

import dataclasses

from comfy_api.latest import io

from ..latentsync_core.audio.features import AudioEmbedding
from ..latentsync_core.audio.pause_options import PauseBehaviour, PauseOptions
from ..latentsync_core.dubbing.lines.line_formats import Dialogue
from ..latentsync_core.sampling.quality import resolve_quality
from ..latentsync_core.sampling.sampler_options import Quality, ReferenceChoice, SamplerOptions, Scheduler
from ._checks import check_inputs
from ._comfy import Progress, schema
from ._inputs import (
    ADVANCED,
    DEFAULTS,
    PAUSES,
    expression_input,
    filmed_mouth_inputs,
    length_input,
    lines_input,
    pause_timing_inputs,
    pauses_input,
    quality_input,
    sampling_inputs,
    shortcut_inputs,
)
from ._managed_model import ManagedModel
from ._sampling import sample_with_preview
from ._sockets import Audio, Faces, Model, Synced, Trepa, WithTensors


class Sampler(io.ComfyNode):
    """Connects `pipeline.sample` to the graph; the numerics live in `latentsync_core/sampling`."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubSampler",
            display_name="LatentSync Face Sampler",
            description="Generates the mouth of the chosen face in every frame, so that it follows the voice.",
            search_aliases=["lip sync sampler", "lipsync", "latentsync ksampler"],
            inputs=[
                Model.Input("model", tooltip="From LatentSync Load Model."),
                Faces.Input("faces", tooltip="From LatentSync Prepare Faces."),
                Audio.Input("audio", tooltip="From LatentSync Embed Audio."),
                Trepa.Input(
                    "trepa", optional=True, tooltip="From LatentSync TREPA Settings; without it the quality decides."
                ),
                *sampling_inputs(),
                io.Combo.Input(
                    "scheduler",
                    extra_dict=ADVANCED,
                    options=[scheduler.value for scheduler in Scheduler],
                    default=DEFAULTS.scheduler.value,
                    tooltip="ddim is upstream's. dpm++ 2m and unipc are of higher order; euler is ddim but for its "
                    "last step. Counts with quality custom.",
                ),
                length_input(),
                quality_input("steps, cfg, scheduler and TREPA Settings' noise_sharing"),
                pauses_input(),
                *pause_timing_inputs(),
                *filmed_mouth_inputs(),
                *shortcut_inputs(),
                expression_input(),
                lines_input(),
            ],
            outputs=[Synced.Output(display_name="synced", tooltip="For Composite, or for Decode Faces first.")],
        )

    @classmethod
    @check_inputs
    def execute(
        cls,
        model: ManagedModel,
        faces: WithTensors,
        audio: AudioEmbedding,
        seed: int,
        steps: int,
        cfg: float,
        scheduler: str,
        length: str,
        trepa: SamplerOptions | None = None,
        quality: str = Quality.CUSTOM.value,
        pauses: str = PauseBehaviour.MODEL.value,
        pause_hangover: float = PAUSES.hangover,
        pause_ramp: float = PAUSES.ramp,
        speech_threshold: float = PAUSES.threshold,
        reference_mouth: str = DEFAULTS.reference_mouth.value,
        mask_grow: float = DEFAULTS.mask_grow,
        cfg_start: float = DEFAULTS.cfg_start,
        cfg_end: float = DEFAULTS.cfg_end,
        cfg_rescale: float = DEFAULTS.cfg_rescale,
        reuse_interval: int = DEFAULTS.reuse_interval,
        reuse_change: float = DEFAULTS.reuse_change,
        window_batch: int = DEFAULTS.window_batch,
        expression: float = DEFAULTS.expression,
        lines: Dialogue | None = None,
    ) -> io.NodeOutput:
        options = dataclasses.replace(
            trepa or DEFAULTS,
            seed=seed,
            steps=steps,
            cfg=cfg,
            scheduler=Scheduler(scheduler),
            reference_mouth=ReferenceChoice(reference_mouth),
            mask_grow=mask_grow,
            cfg_start=cfg_start,
            cfg_end=cfg_end,
            cfg_rescale=cfg_rescale,
            reuse_interval=reuse_interval,
            reuse_change=reuse_change,
            window_batch=window_batch,
            expression=expression,
        )
        # Unlike its noise sharing, TREPA Settings' overlap counts with every quality: earlier workflows keep theirs.
        explicit = {"overlap"} if trepa else ()
        options = resolve_quality(options, Quality(quality), model.model, explicit)
        pause_options = PauseOptions(PauseBehaviour(pauses), pause_hangover, pause_ramp, speech_threshold)
        synced = sample_with_preview(
            model, faces.value, audio, options, length, Progress(), pauses=pause_options, lines=lines
        )
        return io.NodeOutput(WithTensors(synced, faces.tensors))
