"""Lip Sync node: the whole job in one node."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from comfy_api.latest import InputImpl, io

from ..latentsync_core.audio.pause_options import PauseBehaviour, PauseOptions
from ..latentsync_core.audio.source import load_audio
from ..latentsync_core.compositing.composite_options import CompositeOptions, Region
from ..latentsync_core.compositing.notes import demonstration_notes
from ..latentsync_core.dubbing.lines.line_formats import Dialogue
from ..latentsync_core.errors import FaceError
from ..latentsync_core.estimates.job_plan import plan_job
from ..latentsync_core.faces.find import find_faces
from ..latentsync_core.faces.picking.face_pick import read_pick
from ..latentsync_core.faces.selection import choose
from ..latentsync_core.faces.speaking import WhoSpeaks
from ..latentsync_core.phases import Phase
from ..latentsync_core.sampling.quality import resolve_quality
from ..latentsync_core.sampling.sampler_options import Quality, ReferenceChoice, SamplerOptions
from ..latentsync_core.sampling.timeline import LengthRule, plan_timeline
from ..latentsync_core.speakers.active_speaker import find_speech
from ..latentsync_core.speakers.assignment import assign_speakers, choose_speaker
from ..latentsync_core.video.writing.writer_options import KeepAudio, WriterOptions
from ._checks import check_inputs
from ._clips import clip_from_input, frames_in_memory, sound_as_filmed
from ._comfy import Progress, connected_outputs, input_names, pack_temp_folder, schema
from ._estimates import timed_faces, timed_voice
from ._frame_rates import compare_rates
from ._inputs import (
    ADVANCED,
    DEFAULTS,
    clip_input,
    deinterlace_input,
    expression_input,
    face_choice_input,
    filmed_mouth_inputs,
    fps_input,
    keep_audio_input,
    length_input,
    lines_input,
    model_input,
    pauses_input,
    quality_input,
    region_input,
    reject_batched_clip,
    sampling_inputs,
    who_speaks_input,
)
from ._managed_model import managed_model
from ._results import player_ui, preflight_output, write_output
from ._sampling import sample_with_preview
from ._scenes import SCENE, add_occlusions, show_clip_without_faces, show_faces

VIDEO_OUTPUT = 0


class LipSync(io.ComfyNode):
    """The engine's stages one after another, as the separate nodes call them with their defaults."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubLipSync",
            display_name="LatentSync Lip Sync",
            description="A clip and a voice in, the same clip out, its mouth following the voice. For control over "
            "each step, and to try voice after voice without repeating face detection, use the separate nodes.",
            search_aliases=["lipsync", "lip sync", "dub", "talking head", "latentsync"],
            is_output_node=True,
            inputs=[
                clip_input(),
                io.Audio.Input("audio", tooltip="The voice that the mouth follows: the voice alone, without music."),
                model_input(),
                *sampling_inputs(seed=ADVANCED),
                length_input(),
                fps_input(),
                io.Audio.Input(
                    "mux_audio",
                    optional=True,
                    tooltip="The sound of the result: the full mix. Without it the result gets the voice.",
                ),
                quality_input("steps and cfg"),
                region_input(),
                pauses_input(),
                keep_audio_input(),
                deinterlace_input(),
                *filmed_mouth_inputs(),
                expression_input(),
                who_speaks_input(),
                lines_input(),
                face_choice_input(),
            ],
            outputs=[
                io.Video.Output(display_name="video", tooltip="H.264 in a temporary file; keep it with Save Video.")
            ],
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
        )

    @classmethod
    @check_inputs
    def execute(
        cls,
        clip: torch.Tensor | Any,
        audio: Any,
        model: str,
        seed: int,
        steps: int,
        cfg: float,
        length: str,
        fps: float,
        mux_audio: Any = None,
        quality: str = Quality.CUSTOM.value,
        region: str | None = None,
        pauses: str = PauseBehaviour.MODEL.value,
        keep_audio: str = KeepAudio.NONE.value,
        deinterlace: bool = False,
        reference_mouth: str = DEFAULTS.reference_mouth.value,
        mask_grow: float = DEFAULTS.mask_grow,
        expression: float = DEFAULTS.expression,
        who_speaks: str = WhoSpeaks.CHOSEN.value,
        lines: Dialogue | None = None,
        face_choice: str = "",
    ) -> io.NodeOutput:
        reject_batched_clip(cls.hidden)
        pick = read_pick(face_choice)
        pause_options = PauseOptions(PauseBehaviour(pauses))
        voice = load_audio(audio)
        mux = voice if mux_audio is None else load_audio(mux_audio)
        find_speakers = WhoSpeaks(who_speaks) is WhoSpeaks.AUTO
        progress = Progress(load=1, faces=20, speakers=4 if find_speakers else 0, voice=3, drawing=60, writing=15)
        source = clip_from_input(clip, fps, deinterlace, progress.whole_bar(Phase.CLIP))
        source, _ = compare_rates(source, fps, cls.hidden)
        sound = mux.as_track(pack_temp_folder("sounds"))
        writer = WriterOptions(keep_audio=KeepAudio(keep_audio))
        original = sound_as_filmed(clip, source) if find_speakers else None
        preflight_output(source, voice.duration, LengthRule(length), sound, writer)
        managed = managed_model(model, "auto", True, progress)
        settings = SamplerOptions(
            seed=seed,
            steps=steps,
            cfg=cfg,
            reference_mouth=ReferenceChoice(reference_mouth),
            mask_grow=mask_grow,
            expression=expression,
        )
        options = resolve_quality(settings, Quality(quality), managed.model)
        composite = CompositeOptions.before_contours() if region is None else CompositeOptions(region=Region(region))
        composite = composite.resolve_region([managed.model.recommended.region])
        plan_whole = partial(
            plan_job,
            managed.model,
            source,
            plan_timeline(source, voice.duration, LengthRule(length)),
            options,
            [voice],
            composite,
            writer,
            lines=() if lines is None else lines.lines,
            pauses=pause_options.behaviour,
            finds_speakers=find_speakers,
            with_previews=True,
        )
        plan = plan_whole()
        progress.expect(plan.seconds, plan.text)
        on_faces = progress.phase("faces", Phase.FACES, source.frame_count)
        folder = pack_temp_folder("found")
        try:
            faces = timed_faces(
                source, on_faces, lambda report: find_faces(source, marks=pick.marks, folder=folder, on_progress=report)
            )
        except FaceError:
            show_clip_without_faces(source, cls.hidden.unique_id)
            raise
        scene = show_faces(faces, cls.hidden.unique_id)  # at once: a job that syncs the wrong face can be stopped
        faces = choose(faces, pick.choice)
        if original is not None:
            on_speakers = progress.phase("speakers", Phase.SPEAKERS)
            segments, _ = assign_speakers(faces, find_speech(faces, original, folder, on_speakers))
            faces = choose_speaker(faces, segments)
        plan = plan_whole(faces=[faces])
        progress.expect(plan.seconds, plan.text)
        on_voice = progress.phase("voice", Phase.VOICE)
        audio_embedding = timed_voice(managed.load_whisper(), voice, on_voice, pack_temp_folder("voices"))
        synced = sample_with_preview(
            managed, faces, audio_embedding, options, length, progress, "drawing", pause_options, lines, is_planned=True
        )
        with synced.patches:
            connected = connected_outputs(cls.hidden.prompt or {}, cls.hidden.unique_id)
            result = write_output(
                [synced],
                sound,
                composite,
                writer=writer,
                progress=progress,
                phase="writing",
                is_taken=VIDEO_OUTPUT in connected,
            )
        result.notes.extend(demonstration_notes(managed.model))
        ui = player_ui(result, [synced], input_names(cls), frames_in_memory(clip))
        if scene is not None:
            ui |= {SCENE: [add_occlusions(faces, synced.source_index, result.occluded)]}
        return io.NodeOutput(InputImpl.VideoFromFile(str(result.path)), ui=ui)
