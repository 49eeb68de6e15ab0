"""Select Faces node: whose mouth is synced, with a thumbnail of each person on the node."""

from __future__ import annotations

import json
from typing import Any

import torch
from comfy_api.latest import io

from ..latentsync_core.audio.features import AudioEmbedding
from ..latentsync_core.audio.pause_options import PauseOptions
from ..latentsync_core.audio.speech_activity import detect_speech
from ..latentsync_core.errors import OptionError
from ..latentsync_core.faces.contact_sheets import people_sheet
from ..latentsync_core.faces.report import report_data, report_text, timeline_picture
from ..latentsync_core.faces.selection import ChooseBy, FaceChoice, base_choice, read_track_list, switch_tracks
from ._checks import check_inputs
from ._comfy import preview_image, schema
from ._inputs import ADVANCED
from ._scenes import SCENE, scenes
from ._sockets import Audio, Faces, WithTensors

DEFAULTS = FaceChoice()


class SelectFaces(io.ComfyNode):
    """Connects the choice to the graph. Nothing is looked for again, so a change shows at once."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubSelectFaces",
            display_name="LatentSync Select Faces",
            description="Chooses whose mouth follows the voice: the largest, one pointed at, by number, by picture or "
            "by mask; and switches single tracks on and off. For several speakers use one of these for each, with a "
            "Sampler each, and connect all of them to one Composite.",
            search_aliases=["choose face", "face picker", "multiple speakers", "several people", "two speakers"],
            is_output_node=True,  # so that it can run by itself, to look at the people before anything is drawn
            inputs=[
                Faces.Input("faces", tooltip="From LatentSync Prepare Faces."),
                io.Combo.Input(
                    "by",
                    options=[way.value for way in ChooseBy],
                    default=DEFAULTS.by.value,
                    tooltip="largest: who takes the most room over the whole clip. most frontal: who faces the camera "
                    "longest. left-most: in every shot the one on the left. person: by the letter on the sheet. "
                    "point: who is at point_x, point_y in `frame`. picture, mask: from the sockets.",
                ),
                io.Int.Input(
                    "person",
                    display_name="person (0 is A)",
                    default=DEFAULTS.person,
                    min=0,
                    max=9999,
                    tooltip="Who, for by: person. 0 is person A of the sheet, who is seen most, 1 is B, 2 is C.",
                ),
                io.Float.Input(
                    "point_x",
                    display_name="point_x (pixels)",
                    extra_dict=ADVANCED,
                    default=0.0,
                    min=0.0,
                    max=65535.0,
                    step=1.0,
                    tooltip="Pixels from the left, for point.",
                ),
                io.Float.Input(
                    "point_y",
                    display_name="point_y (pixels)",
                    extra_dict=ADVANCED,
                    default=0.0,
                    min=0.0,
                    max=65535.0,
                    step=1.0,
                    tooltip="Pixels from the top, for point.",
                ),
                io.Int.Input(
                    "frame",
                    extra_dict=ADVANCED,
                    default=DEFAULTS.frame,
                    min=0,
                    max=2**31 - 1,
                    tooltip="The clip's frame that the point, or a mask of one picture, belongs to; 0 is the first.",
                ),
                io.String.Input(
                    "tracks_on",
                    extra_dict=ADVANCED,
                    default="",
                    tooltip='Tracks synced in any case, by the numbers on the sheet: "3, 5-7".',
                ),
                io.String.Input(
                    "tracks_off",
                    extra_dict=ADVANCED,
                    default="",
                    tooltip="Tracks that are never synced, written likewise.",
                ),
                io.Image.Input("picture", optional=True, tooltip="Shows the person's face, for picture."),
                io.Mask.Input("mask", optional=True, tooltip="Lies over the person's face, for mask."),
                Audio.Input(
                    "audio",
                    optional=True,
                    tooltip="From LatentSync Embed Audio: `timeline` then shows where the voice speaks and where it "
                    "pauses, with the sampler's usual hangover, ramp and threshold.",
                ),
            ],
            outputs=[
                Faces.Output(display_name="faces", tooltip="For LatentSync Face Sampler."),
                io.Image.Output(display_name="timeline", tooltip="Who is seen when, and what becomes of each frame."),
                io.String.Output(display_name="report", tooltip="The same for machines, as JSON."),
            ],
        )

    @classmethod
    @check_inputs
    def execute(
        cls,
        faces: WithTensors,
        by: str,
        person: int,
        point_x: float,
        point_y: float,
        frame: int,
        tracks_on: str,
        tracks_off: str,
        picture: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        audio: AudioEmbedding | None = None,
    ) -> io.NodeOutput:
        if picture is not None and len(picture) != 1:
            raise OptionError(f"picture has {len(picture)} frames; connect one picture of the person")
        choice = FaceChoice(
            ChooseBy(by), person, (point_x, point_y), frame, read_track_list(tracks_on), read_track_list(tracks_off)
        )
        base = base_choice(faces.value, choice, picture, mask)
        chosen = switch_tracks(faces.value, base, choice)
        speech = None
        if audio is not None:
            speech = detect_speech(audio.source).weights(chosen.clip.times, PauseOptions())
        timeline = timeline_picture(chosen, speech).permute(1, 2, 0)[None]  # 3HW -> 1HW3
        ui: dict[str, Any] = preview_image(people_sheet(chosen)) | {"text": report_text(chosen).splitlines()}
        is_by_input = choice.by in (ChooseBy.PICTURE, ChooseBy.MASK)
        ui[SCENE] = [scenes.add(chosen, tuple(base) if is_by_input else None)]
        return io.NodeOutput(faces._replace(value=chosen), timeline, json.dumps(report_data(chosen)), ui=ui)
