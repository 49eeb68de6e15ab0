"""Inputs that several nodes have in common."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..latentsync_core.audio.pause_options import MAX_PAUSE_SECONDS, PauseBehaviour, PauseOptions
from ..latentsync_core.compositing.composite_options import CompositeOptions, Region
from ..latentsync_core.errors import OptionError
from ..latentsync_core.faces.speaking import WhoSpeaks
from ..latentsync_core.models.loading.demonstration import demonstration_models
from ..latentsync_core.models.loading.models_folder import installed_models
from ..latentsync_core.models.loading.registry import KNOWN_MODELS, VAE_CONFIG, VAE_WEIGHTS
from ..latentsync_core.sampling.sampler_options import (
    MAX_EXPRESSION,
    MAX_MASK_GROW,
    MAX_REUSE_INTERVAL,
    MAX_WINDOW_BATCH,
    Quality,
    ReferenceChoice,
    SamplerOptions,
)
from ..latentsync_core.sampling.timeline import LengthRule
from ..latentsync_core.video.writing.writer_options import KeepAudio, WriterOptions
from ._comfy import models_folders, upstream_nodes
from ._sockets import Lines

# One source for widget and engine defaults.
DEFAULTS, COMPOSITE, PAUSES = SamplerOptions(), CompositeOptions(), PauseOptions()
DEFAULT_FPS = 25.0  # of IMAGE frames
ADVANCED = {"advanced": True}  # as a fact of the widget's own, since old ComfyUIs (0.3.64) know no such parameter
MODEL_LABELS = "latentsync_labels"  # where web/js finds them in the page's description of the input
BATCHING_NODES = {"VHS_BatchManager"}  # nodes that run a graph again and again, each time with a batch of the clip


def clip_input() -> io.Input:
    """The socket for what is to be synced."""
    return io.MultiType.Input(
        "clip",
        types=[io.Video, io.Image],
        tooltip="A VIDEO (Load Video), which is streamed; or IMAGE frames, all of them in memory. A single IMAGE is a "
        "clip of one frame: set the sampler's length to hold.",
    )


def fps_input() -> io.Float.Input:
    return io.Float.Input(
        "fps",
        display_name="fps (images only)",
        extra_dict=ADVANCED,
        default=DEFAULT_FPS,
        min=1.0,
        max=240.0,
        step=0.001,
        tooltip="Of IMAGE frames; a VIDEO knows its own, and so does the file that frames come from: a "
        "difference is reported. 23.976 means 24000/1001, 29.97 means 30000/1001.",
    )


def reject_batched_clip(hidden: Any) -> None:
    """OptionError where the clip comes in batches: a face can't be tracked, nor its motion smoothed, across runs."""
    upstream = (node.get("class_type", "") for node in upstream_nodes(hidden.prompt or {}, hidden.unique_id))
    batching_nodes = BATCHING_NODES.intersection(upstream)
    if batching_nodes:
        raise OptionError(
            f"the clip comes in batches from {batching_nodes.pop()}: remove the meta batch; with core's Load Video "
            "this pack streams clips of any length by itself"
        )


def model_input() -> io.Combo.Input:
    """The widget that lists released models, the carried ones, and what lies in the models folders."""
    installed = [name for folder in models_folders() for name in installed_models(folder)]
    names = dict.fromkeys([*reversed(KNOWN_MODELS), *demonstration_models(), *installed])
    return io.Combo.Input(
        "model",
        options=list(names),
        extra_dict={MODEL_LABELS: {name: _model_label(name) for name in KNOWN_MODELS}},
        tooltip="latentsync-1.6 generates mouths at 512 px, latentsync-1.5 at 256 px. A demonstration model comes "
        "with the pack: small and quick, it shows how everything works. Others lie in models/latentsync.",
    )


def _model_label(name: str) -> str:
    """A released model with its resolution and what its download takes, as the page's list shows it."""
    model = KNOWN_MODELS[name]
    size = sum(file.size for file in (model.unet, model.whisper, VAE_CONFIG, VAE_WEIGHTS))
    return f"{name} ({model.resolution} px, {size / 1e9:.0f} GB)"


def face_choice_input() -> io.String.Input:
    """What the node's picker holds, as `faces.picking.face_pick` reads it; the page shows the picker in its place."""
    return io.String.Input(
        "face_choice",
        extra_dict={"hidden": True, "socketless": True},
        default="",
        optional=True,
        tooltip="What was chosen and marked in the node's picker, as JSON; empty: the person seen most.",
    )


def deinterlace_input() -> io.Boolean.Input:
    """Whether an interlaced clip is read as a progressive one; optional, as older prompts don't have it."""
    return io.Boolean.Input(
        "deinterlace",
        extra_dict=ADVANCED,
        default=False,
        optional=True,
        tooltip="Make progressive frames of an interlaced VIDEO, one of each. Off: the result is interlaced as well.",
    )


def keep_audio_input() -> io.Combo.Input:
    """Which of the clip's own audio tracks the result has; optional, as older prompts don't have it."""
    return io.Combo.Input(
        "keep_audio",
        extra_dict=ADVANCED,
        options=[choice.value for choice in KeepAudio],
        default=WriterOptions().keep_audio.value,
        optional=True,
        tooltip="The clip's own audio tracks in the result, after its sound: all, the first, or none.",
    )


def quality_input(settings: str) -> io.Combo.Input:
    """Where the named settings come from; it comes after older inputs, so that workflows keep their widgets' places.

    A node that is dragged into a graph starts with the model's recommendation; a prompt or workflow without the value
    was made before there was one, and keeps its own settings.
    """
    return io.Combo.Input(
        "quality",
        options=[quality.value for quality in Quality],
        default=Quality.RECOMMENDED.value,
        optional=True,
        tooltip=f"recommended samples as the model's makers recommend: {settings} don't count then. custom takes those "
        "that are set. reference has upstream's solver and steps, balanced a third of their operations, draft a sixth; "
        "these two were not measured on released weights.",
    )


REGION_TOOLTIP = (
    "model pastes what the model's makers recommend; speech lips, chin and jaw as far as they move; lips leaves a "
    "beard unchanged; mouth pastes all of the lower face that is generated; face all of the crop, for restorers that "
    "worked on the skin too."
)


def region_input() -> io.Combo.Input:
    """How much of the new face is pasted; a prompt or workflow without it was made before there was a choice."""
    return io.Combo.Input(
        "region",
        options=[region.value for region in Region],
        default=COMPOSITE.region.value,
        optional=True,
        tooltip=REGION_TOOLTIP,
    )


def matching_inputs() -> list[io.Input]:
    """grow, match_color and match_grain, which prompts from before there were any lack."""
    return [
        _rare_number(
            "grow", COMPOSITE.grow, (-10.0, 10.0), 0.5,
            "Percent of the crop's width by which the regions speech and lips grow; below 0 they shrink.",
        ),
        _rare_number(
            "match_color", COMPOSITE.match_color, (0.0, 1.0), 0.05,
            "How far the patch takes the colour and light of the filmed skin around it: 0 not at all, 1 fully.",
        ),
        _rare_number(
            "match_grain", COMPOSITE.match_grain, (0.0, 1.0), 0.05,
            "How far the patch takes the sharpness and grain of the skin around it: 0 not at all, 1 fully.",
        ),
    ]  # fmt: skip


def who_speaks_input() -> io.Combo.Input:
    """Whose mouth follows the voice; a prompt without the value was made before there was a choice."""
    return io.Combo.Input(
        "who_speaks",
        display_name="who speaks",
        extra_dict=ADVANCED,
        options=[choice.value for choice in WhoSpeaks],
        default=WhoSpeaks.CHOSEN.value,
        optional=True,
        tooltip="chosen face: the person seen most, all the time. auto: whoever is found speaking in the clip's own "
        "sound, each only while they speak; nobody where the speaker isn't shown or uncertain.",
    )


def pauses_input() -> io.Combo.Input:
    """What the mouth does where the voice pauses; a prompt without the value was made before there was a choice."""
    return io.Combo.Input(
        "pauses",
        extra_dict=ADVANCED,
        options=[behaviour.value for behaviour in PauseBehaviour],
        default=PAUSES.behaviour.value,
        optional=True,
        tooltip="What the mouth does where the voice pauses. model: what the network makes of the sound. closed: it "
        "hears silence there, instead of breath, noise or music. original: the result fades to the filmed mouth.",
    )


def pause_timing_inputs() -> list[io.Input]:
    """hangover, ramp and threshold of the pauses."""
    return [
        _rare_number(
            "pause_hangover", PAUSES.hangover, (0.0, MAX_PAUSE_SECONDS), 0.01,
            "Seconds that the mouth goes on after speech; shorter gaps are no pauses.",
        ),
        _rare_number(
            "pause_ramp", PAUSES.ramp, (0.0, MAX_PAUSE_SECONDS), 0.01,
            "Seconds that the change into a pause and out of it takes.",
        ),
        _rare_number(
            "speech_threshold", PAUSES.threshold, (0.01, 0.99), 0.01,
            "Score from which a sound is speech; lower counts quieter sounds.",
        ),
    ]  # fmt: skip


def filmed_mouth_inputs() -> list[io.Input]:
    """reference_mouth and mask_grow, against a filmed mouth that shows under the voice; older prompts have neither."""
    return [
        io.Combo.Input(
            "reference_mouth",
            extra_dict=ADVANCED,
            options=[choice.value for choice in ReferenceChoice],
            default=DEFAULTS.reference_mouth.value,
            optional=True,
            tooltip="What the frames that show the network the person show of the mouth. model: as it was trained. "
            "filmed: their own mouth. averaged: its mean over three seconds. closed: that of a frame nearby whose "
            "mouth is closed. The last two copy less of the filmed mouth's motion.",
        ),
        _rare_number(
            "mask_grow", DEFAULTS.mask_grow, (0.0, MAX_MASK_GROW), 0.5,
            "Percent of the crop's width by which the hidden part of the filmed face grows, up cheeks and nose.",
        ),
    ]  # fmt: skip


def shortcut_inputs() -> list[io.Input]:
    """What a sampler may leave out or do together; prompts from before may lack them."""
    return [
        _rare_number(
            "cfg_start", DEFAULTS.cfg_start, (0.0, 1.0), 0.05,
            "Share of the steps after which guidance begins. Counts with quality custom.",
        ),
        _rare_number(
            "cfg_end", DEFAULTS.cfg_end, (0.0, 1.0), 0.05,
            "Share of the steps after which guidance ends; the rest takes half the time. Counts with quality custom.",
        ),
        _rare_number(
            "cfg_rescale", DEFAULTS.cfg_rescale, (0.0, 1.0), 0.05,
            "How far the contrast that guidance adds is taken back; for a cfg far above 1.5. Counts with quality "
            "custom.",
        ),
        _rare_count(
            "reuse_interval", DEFAULTS.reuse_interval, MAX_REUSE_INTERVAL,
            "Computes the network's deep features at every so many steps and reuses them in between (DeepCache), which "
            "takes 7 % of a step's time. 1 reuses nothing, upstream's launcher takes 3. Counts with quality custom.",
        ),
        _rare_number(
            "reuse_change", DEFAULTS.reuse_change, (0.0, 10.0), 0.01,
            "Reuses deep features only while they have changed by no more than this share, as measured in each "
            "window; 0 sets no limit. Counts with quality custom.",
        ),
        _rare_count(
            "window_batch", DEFAULTS.window_batch, MAX_WINDOW_BATCH,
            "Windows sampled at a time, with the same result: for graphics cards that one leaves idle.",
        ),
    ]  # fmt: skip


def _rare_count(name: str, default: int, most: int, tooltip: str) -> io.Int.Input:
    """An advanced whole number from 1 up that was added later, so that prompts may lack it."""
    return io.Int.Input(name, extra_dict=ADVANCED, default=default, min=1, max=most, optional=True, tooltip=tooltip)


def expression_input() -> io.Float.Input:
    """How far the mouth moves; a prompt without the value was made before there was a choice."""
    return _rare_number(
        "expression", DEFAULTS.expression, (0.0, MAX_EXPRESSION), 0.05,
        "How far the mouth moves: 1 as the model draws it, towards 0 mumbled, above 1 exaggerated. It scales cfg; with "
        "cfg 1.0, any value but 1 takes twice the time.",
    )  # fmt: skip


def lines_input() -> io.Input:
    """The lines by which the clip is sampled; a prompt without them samples it as a whole."""
    return Lines.Input(
        "lines",
        optional=True,
        tooltip="From LatentSync Dialogue Lines: each line is sampled by itself, with the seed, expression, pauses and "
        "enabled that its JSON has. A line that is changed is alone sampled again.",
    )


def _rare_number(name: str, default: float, bounds: tuple[float, float], step: float, tooltip: str) -> io.Float.Input:
    """An advanced number that was added later, so that prompts may lack it."""
    return io.Float.Input(
        name,
        extra_dict=ADVANCED,
        default=default,
        min=bounds[0],
        max=bounds[1],
        step=step,
        optional=True,
        tooltip=tooltip,
    )


def sampling_inputs(seed: dict[str, bool] | None = None) -> list[io.Input]:
    """seed, steps and cfg; `seed` holds further facts of the seed's widget."""
    return [
        io.Int.Input(
            "seed",
            extra_dict=seed,
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
            tooltip="Denoising steps; time is proportional to them. 20 is upstream's. Counts with quality custom.",
        ),
        io.Float.Input(
            "cfg",
            default=DEFAULTS.cfg,
            min=1.0,
            max=5.0,
            step=0.1,
            tooltip="Audio guidance strength (guidance_scale upstream). 1.0 is none, at half the time. Counts with "
            "quality custom.",
        ),
    ]


def length_input() -> io.Combo.Input:
    """What happens where clip and voice differ in length."""
    return io.Combo.Input(
        "length",
        options=[rule.value for rule in LengthRule],
        default=LengthRule.VIDEO.value,
        tooltip="Where clip and voice differ: video keeps the clip's length; hold keeps its last frame as long as the "
        "voice goes on, ping-pong plays it backwards and forwards, loop from its beginning; cut ends with the shorter "
        "of the two; remap shows every frame 0.8 to 1.25 times as long, so that both end together.",
    )
