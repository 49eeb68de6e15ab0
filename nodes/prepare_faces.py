"""Prepare Faces node: finds the face to be synced in every frame of a clip."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..latentsync_core.errors import OptionError
from ..latentsync_core.faces.align import AlignOptions
from ..latentsync_core.faces.preview import face_sheet
from ..latentsync_core.faces.track import FaceOptions, prepare_faces
from ..latentsync_core.types import Clip, FaceTracks
from ._clips import clip_of
from ._comfy import Progress, preview_image, schema, upstream_classes
from ._sockets import Faces, Held

FACES, ALIGN = FaceOptions(), AlignOptions()
SLICERS = {"VHS_BatchManager"}  # nodes that run a graph again and again, each time with a slice of the clip


class PrepareFaces(io.ComfyNode):
    """Connects `prepare_faces` to the graph. No voice is involved: a new take repeats nothing of this."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubPrepareFaces",
            display_name="LatentSync Prepare Faces",
            description="Finds and follows the face in a clip of any length; frames are streamed, never loaded whole. "
            "Frames without the face pass through untouched.",
            search_aliases=["face detection", "face tracking", "lip sync faces", "crop faces"],
            inputs=[
                clip_input(),
                fps_input(),
                io.Float.Input(
                    "detector_score",
                    default=FACES.detector_score,
                    min=0.05,
                    max=0.95,
                    step=0.05,
                    tooltip="How sure the detector must be that it sees a face. Drawn faces may need 0.3.",
                ),
                io.Float.Input(
                    "face_scale",
                    default=ALIGN.scale,
                    min=0.25,
                    max=4.0,
                    step=0.01,
                    tooltip="Size of the face in its crop; 1.0 is what the networks were trained with.",
                ),
                io.Float.Input(
                    "face_shift",
                    default=ALIGN.shift_y,
                    min=-0.5,
                    max=0.5,
                    step=0.01,
                    tooltip="Moves the face in its crop, down, in crop heights; 0.0 is what the networks know.",
                ),
            ],
            is_output_node=True,  # so that it can run by itself, to look at the faces before anything is drawn
            outputs=[Faces.Output(display_name="faces", tooltip="For LatentSync Sampler.")],
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, clip: Any, fps: float, detector_score: float, face_scale: float, face_shift: float
    ) -> io.NodeOutput:
        refuse_slices(cls.hidden)
        faces = prepare_faces(
            clip_of(clip, fps),
            FaceOptions(detector_score=detector_score),
            AlignOptions(scale=face_scale, shift_y=face_shift),
            Progress().phase(),
        )
        found, frames = int(faces.track.visible.sum()), faces.clip.frame_count
        ui = preview_image(face_sheet(faces)) | {"text": [f"the face is in {found} of {frames} frames"]}
        return io.NodeOutput(held(faces), ui=ui)


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
        default=25.0,
        min=1.0,
        max=240.0,
        step=0.001,
        tooltip="Of IMAGE frames; a VIDEO knows its own. 23.976 means 24000/1001, 29.97 means 30000/1001.",
    )


def refuse_slices(hidden: Any) -> None:
    """OptionError where the clip comes in slices: a face can't be followed, nor a mouth kept steady, across runs."""
    slicers = SLICERS.intersection(upstream_classes(hidden.prompt or {}, hidden.unique_id))
    if slicers:
        raise OptionError(
            f"the clip comes in slices from {slicers.pop()}: take the meta batch off; with core's Load Video this "
            "pack streams clips of any length by itself"
        )


def held(faces: FaceTracks) -> Held:
    """The faces, with the frames that they keep in memory if the clip isn't a file's."""
    clip: Clip = faces.clip
    return Held(faces, () if clip.images is None else (clip.images,))
