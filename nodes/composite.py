"""Composite node: composites the generated faces into the clip's own frames and writes a file with audio."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import InputImpl, io

from ..latentsync_core.audio.clip_audio import clip_audio_track
from ..latentsync_core.audio.mix import mixed_track
from ..latentsync_core.audio.source import load_audio
from ..latentsync_core.compositing.composite_options import CompositeOptions, Region
from ..latentsync_core.media.sound_reader import SoundTrack
from ..latentsync_core.sampling.synced_faces import SyncedFaces
from ..latentsync_core.video.writing.writer_options import Codec, KeepAudio, WriterOptions
from ._checks import check_inputs
from ._comfy import (
    Progress,
    connected_outputs,
    input_names,
    pack_temp_folder,
    running_prompt,
    schema,
    workflow_texts,
)
from ._inputs import ADVANCED, REGION_TOOLTIP, keep_audio_input, matching_inputs
from ._results import PREFIX, OutputRequest, PatchFormat, player_ui, write_output
from ._sockets import Synced, WithTensors

NODE_ID = "LatentSyncDubComposite"
OPTIONS, WRITER = CompositeOptions(), WriterOptions()
VIDEO_OUTPUT = 0
MASK_OUTPUT, IMAGES_OUTPUT = 1, 2  # places of the outputs that are made only where something takes them
DRIVING_VOICE, CLIP_AUDIO, NO_AUDIO = "driving voice", "clip's own", "none"
EXTRA_SYNCED_INPUTS = ("synced_2", "synced_3", "synced_4")


class Composite(io.ComfyNode):
    """Connects `render` and `FrameWriter` to the graph."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id=NODE_ID,
            display_name="LatentSync Composite",
            description="Pastes the generated mouths into the clip. Outside of them the encoder gets the clip's own "
            "samples: ffv1 keeps them exactly, other codecs are lossy.",
            search_aliases=["paste faces", "lip sync output", "combine video", "mux audio"],
            is_output_node=True,
            inputs=[
                Synced.Input("synced", tooltip="From LatentSync Face Sampler or Replace Faces."),
                *(
                    Synced.Input(name, optional=True, tooltip="Another speaker's, over the same clip.")
                    for name in EXTRA_SYNCED_INPUTS
                ),
                io.Mask.Input(
                    "foreground",
                    optional=True,
                    tooltip="Objects in front of the faces, say from a segmenter: white is left unchanged. One mask, "
                    "or one for each of the clip's frames.",
                ),
                io.Audio.Input(
                    "mux_audio",
                    optional=True,
                    tooltip="The sound of the result, say the full mix. It takes precedence over `sound`.",
                ),
                io.Combo.Input(
                    "sound",
                    options=[DRIVING_VOICE, CLIP_AUDIO, NO_AUDIO],
                    default=DRIVING_VOICE,
                    tooltip="The sound of the result where no mux_audio is connected. Several voices are mixed.",
                ),
                io.Float.Input(
                    "feather",
                    default=OPTIONS.feather,
                    min=0.0,
                    max=4.0,
                    step=0.05,
                    tooltip="Width of the patch's soft edge, in the usual widths; 0 is a hard edge.",
                ),
                io.Combo.Input(
                    "region",
                    options=[region.value for region in Region],
                    default=OPTIONS.region.value,
                    tooltip=REGION_TOOLTIP,
                ),
                io.Combo.Input(
                    "codec",
                    options=[codec.value for codec in Codec],
                    default=WRITER.codec.value,
                    tooltip="h264 (MP4) goes to a temporary file: Save Video keeps it and copies it as it is. This "
                    "node saves all others in the output folder, since Save Video fails on them or encodes them again: "
                    "prores and dnxhr (MOV), ffv1 (MKV, lossless), hevc (MP4, 10 bits), png and tiff (a folder of "
                    "16-bit pictures). match-source takes the clip's own codec.",
                ),
                io.Int.Input(
                    "crf",
                    extra_dict=ADVANCED,
                    default=WRITER.crf,
                    min=0,
                    max=51,
                    tooltip="Quality of h264 and hevc, 0 to 51; lower values give larger files.",
                ),
                io.Boolean.Input(
                    "matte",
                    extra_dict=ADVANCED,
                    default=False,
                    tooltip="Save the patch's soft edge too, as a grey ProRes video: for compositing programs. An h264 "
                    "result is then saved beside it, under the same number.",
                ),
                io.Combo.Input(
                    "patch",
                    extra_dict=ADVANCED,
                    options=[patch.value for patch in PatchFormat],
                    default=PatchFormat.NONE.value,
                    tooltip="Save the new mouths alone too, with straight alpha, to lay over the original: as ProRes "
                    "4444, or as a folder of PNG pictures. An h264 result is then saved beside them.",
                ),
                io.String.Input(
                    "filename_prefix",
                    extra_dict=ADVANCED,
                    default=PREFIX,
                    tooltip="Where all but h264 goes below the output folder, matte and patch too. All files of a run "
                    "have one number: dub_00003_.mov, dub_00003_matte.mov, dub_00003_patch.mov.",
                ),
                io.Boolean.Input(
                    "keep_occlusions",
                    extra_dict=ADVANCED,
                    default=OPTIONS.occlusion,
                    tooltip="Leave hands, microphones and other objects in front of the mouth unchanged.",
                ),
                *matching_inputs(),
                keep_audio_input(),
            ],
            outputs=[
                io.Video.Output(display_name="video", tooltip="A file, not frames in memory: for Save Video."),
                io.Mask.Output(
                    display_name="mask", tooltip="Where the patch shows, frame by frame; made only when connected."
                ),
                io.Image.Output(
                    display_name="images",
                    tooltip="All frames in memory; made only when connected. A minute of 1080p takes 37 GB.",
                ),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.unique_id, io.Hidden.extra_pnginfo],
        )

    @classmethod
    def fingerprint_inputs(cls, **_inputs: Any) -> str:
        """Changes with the connected outputs: one connected later must make this node run again.

        Old ComfyUIs (0.3.64) don't say here which node it is; then any of the prompt's Composites counts.
        """
        node = cls.hidden.unique_id
        prompt = running_prompt(node)
        composite_ids = [name for name, other in prompt.items() if other.get("class_type") == NODE_ID]
        return str(
            [sorted(_connected_optional_outputs(prompt, each)) for each in (composite_ids if node is None else [node])]
        )

    @classmethod
    @check_inputs
    def execute(
        cls,
        synced: WithTensors,
        sound: str,
        feather: float,
        region: str,
        codec: str,
        crf: int,
        matte: bool,
        patch: str,
        filename_prefix: str,
        keep_occlusions: bool,
        grow: float = 0.0,
        match_color: float = 0.0,
        match_grain: float = 0.0,
        foreground: torch.Tensor | None = None,
        mux_audio: Any = None,
        keep_audio: str = KeepAudio.NONE.value,
        **others: WithTensors,
    ) -> io.NodeOutput:
        synced_per_speaker = [
            synced.value,
            *(others[name].value for name in EXTRA_SYNCED_INPUTS if others.get(name) is not None),
        ]
        connected = connected_outputs(cls.hidden.prompt or {}, cls.hidden.unique_id)
        result = write_output(
            synced_per_speaker,
            _output_audio(synced_per_speaker, sound, mux_audio),
            CompositeOptions(
                feather=feather,
                region=Region(region),
                occlusion=keep_occlusions,
                grow=grow,
                match_color=match_color,
                match_grain=match_grain,
            ),
            WriterOptions(codec=Codec(codec), crf=crf, keep_audio=KeepAudio(keep_audio)),
            filename_prefix,
            OutputRequest(
                images=IMAGES_OUTPUT in connected, masks=MASK_OUTPUT in connected, matte=matte, patch=PatchFormat(patch)
            ),
            foreground,
            Progress(),
            is_taken=VIDEO_OUTPUT in connected,
            workflow=workflow_texts(cls.hidden),
            is_own_sound=sound == CLIP_AUDIO and mux_audio is None,
        )
        video = InputImpl.VideoFromFile(str(result.path))
        ui = player_ui(result, synced_per_speaker, input_names(cls))
        return io.NodeOutput(video, result.masks, result.images, ui=ui)


def _connected_optional_outputs(prompt: Any, node_id: str) -> frozenset[int]:
    return connected_outputs(prompt, node_id) & {MASK_OUTPUT, IMAGES_OUTPUT}


def _output_audio(synced_per_speaker: list[SyncedFaces], choice: str, mux_audio: Any) -> SoundTrack | None:
    """The sound that goes beside the picture."""
    folder = pack_temp_folder("sounds")
    if mux_audio is not None:
        return load_audio(mux_audio).as_track(folder)
    if choice == DRIVING_VOICE:
        return mixed_track([faces.audio.source for faces in synced_per_speaker], folder)
    return clip_audio_track(synced_per_speaker[0].faces.clip) if choice == CLIP_AUDIO else None
