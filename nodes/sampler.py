"""Sampler node: draws new face latents for the chosen face, driven by an embedded voice."""

from __future__ import annotations

import dataclasses

from comfy_api.latest import io

from ..latentsync_core.audio.features import AudioEmbedding
from ..latentsync_core.faces.face_tracks import FaceTracks
from ..latentsync_core.pipeline import sample
from ..latentsync_core.sampling.sampler_options import SamplerOptions, Scheduler
from ..latentsync_core.sampling.synced_faces import SyncedFaces
from ..latentsync_core.sampling.timeline import LengthRule
from ._comfy import Progress, own_folder, schema
from ._inputs import checked
from ._managed_model import ManagedModel
from ._sockets import Audio, Faces, Held, Model, Synced, Trepa

DEFAULTS = SamplerOptions()  # one source for widget and engine defaults


class Sampler(io.ComfyNode):
    """Connects `pipeline.sample` to the graph; the numerics live in `latentsync_core/sampling`."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubSampler",
            display_name="LatentSync Sampler",
            description="Redraws the mouth of the chosen face in every frame, so that it follows the voice.",
            search_aliases=["lip sync sampler", "lipsync", "latentsync ksampler"],
            inputs=[
                Model.Input("model", tooltip="From LatentSync Load Model."),
                Faces.Input("faces", tooltip="From LatentSync Prepare Faces."),
                Audio.Input("audio", tooltip="From LatentSync Embed Audio."),
                Trepa.Input(
                    "trepa", optional=True, tooltip="From LatentSync TREPA Settings; without it the defaults hold."
                ),
                *drawing_inputs(),
                io.Combo.Input(
                    "scheduler",
                    options=[scheduler.value for scheduler in Scheduler],
                    default=DEFAULTS.scheduler.value,
                    tooltip="ddim is upstream's. dpm++ 2m and unipc are of higher order and usually need fewer steps.",
                ),
                length_input(),
            ],
            outputs=[Synced.Output(display_name="synced", tooltip="For Composite, or for Decode Faces first.")],
        )

    @classmethod
    @checked
    def execute(
        cls,
        model: ManagedModel,
        faces: Held,
        audio: AudioEmbedding,
        seed: int,
        steps: int,
        cfg: float,
        scheduler: str,
        length: str,
        trepa: SamplerOptions | None = None,
    ) -> io.NodeOutput:
        options = dataclasses.replace(
            trepa or DEFAULTS, seed=seed, steps=steps, cfg=cfg, scheduler=Scheduler(scheduler)
        )
        synced = drawn(model, faces.value, audio, options, length, Progress())
        return io.NodeOutput(Held(synced, faces.tensors))


def drawn(
    model: ManagedModel,
    faces: FaceTracks,
    audio: AudioEmbedding,
    options: SamplerOptions,
    length: str,
    progress: Progress,
    phase: str = "all",
) -> SyncedFaces:
    """The new faces, drawn on the device, with progress and live preview on the running node."""
    ready = model.ready_to_draw(options.windows.frames, options.cfg > 1)
    preview, tell = progress.preview(ready.codec), progress.phase(phase)
    synced = sample(
        ready, faces, audio, options, LengthRule(length), own_folder("faces"), on_preview=preview, on_progress=tell
    )
    synced.patches.remove_when_closed()  # an unfinished store stays, so that the same settings go on from it
    return synced


def drawing_inputs() -> list[io.Input]:
    """seed, steps and cfg."""
    return [
        io.Int.Input(
            "seed",
            default=DEFAULTS.seed,
            min=0,
            max=2**64 - 1,
            control_after_generate=True,
            tooltip="The same seed gives the same faces, another one other details.",
        ),
        io.Int.Input(
            "steps",
            default=DEFAULTS.steps,
            min=1,
            max=100,
            tooltip="Denoising steps: 20 is usual, 40 seldom looks better. Time grows with them.",
        ),
        io.Float.Input(
            "cfg",
            default=DEFAULTS.cfg,
            min=1.0,
            max=5.0,
            step=0.1,
            tooltip="Audio guidance (guidance_scale upstream). 1.0 is none, at half the time; above 2.5 lips may "
            "exaggerate.",
        ),
    ]


def length_input() -> io.Combo.Input:
    """What happens where clip and voice differ in length."""
    return io.Combo.Input(
        "length",
        options=[rule.value for rule in LengthRule],
        default=LengthRule.VIDEO.value,
        tooltip="Where clip and voice differ: video keeps the clip's length; hold keeps its last frame as long as the "
        "voice goes on, ping-pong plays it backwards and forwards; cut ends with the shorter of the two.",
    )
