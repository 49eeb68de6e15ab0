"""Prepare Faces node: finds every face in every frame of a clip."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..latentsync_core.errors import FaceError
from ..latentsync_core.faces.alignment.align_options import AlignOptions
from ..latentsync_core.faces.contact_sheets import face_sheet
from ..latentsync_core.faces.face_options import FaceOptions
from ..latentsync_core.faces.face_tracks import FaceTracks
from ..latentsync_core.faces.find import find_faces
from ..latentsync_core.faces.limits import TouchLimits
from ..latentsync_core.faces.report import report_text
from ..latentsync_core.phases import Phase
from ..latentsync_core.video.clip import Clip
from ._checks import check_inputs
from ._clips import clip_from_input
from ._comfy import Progress, input_names, pack_temp_folder, preview_image, schema
from ._estimates import expected_faces, timed_faces
from ._frame_rates import compare_rates
from ._inputs import ADVANCED, clip_input, deinterlace_input, fps_input, reject_batched_clip
from ._scenes import show_clip_without_faces
from ._sockets import Faces, WithTensors
from ._wording import note_lines

FACES, ALIGN, LIMITS = FaceOptions(), AlignOptions(), TouchLimits()


class PrepareFaces(io.ComfyNode):
    """Connects `find_faces` to the graph. No voice is involved: a new take repeats nothing of this."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubPrepareFaces",
            display_name="LatentSync Prepare Faces",
            description="Finds and tracks every face in a clip of any length, shot by shot; frames are "
            "streamed, never loaded whole. The person seen most is synced unless LatentSync Select Faces says "
            "otherwise; frames without a face, or with one turned too far, are left unchanged.",
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
                    tooltip="Least score of a detection; lower lets false ones in. Animated faces may need marks.",
                ),
                io.Float.Input(
                    "face_scale",
                    extra_dict=ADVANCED,
                    default=ALIGN.scale,
                    min=0.25,
                    max=4.0,
                    step=0.01,
                    tooltip="Size of the face in its crop; 1.0 is what the networks were trained with.",
                ),
                io.Float.Input(
                    "face_shift",
                    display_name="face_shift (crop heights)",
                    extra_dict=ADVANCED,
                    default=ALIGN.shift_y,
                    min=-0.5,
                    max=0.5,
                    step=0.01,
                    tooltip="Moves the face in its crop, down, in crop heights; 0.0 is what the networks know.",
                ),
                io.Float.Input(
                    "max_yaw",
                    display_name="max_yaw (degrees)",
                    extra_dict=ADVANCED,
                    default=LIMITS.max_yaw,
                    min=0.0,
                    max=90.0,
                    step=1.0,
                    tooltip="Degrees that a face may be turned to either side. Beyond, it is left unchanged.",
                ),
                io.Float.Input(
                    "smallest_face",
                    display_name="smallest_face (pixels)",
                    extra_dict=ADVANCED,
                    default=LIMITS.min_size,
                    min=0.0,
                    max=2000.0,
                    step=1.0,
                    tooltip="Pixels: smaller faces are left unchanged.",
                ),
                io.String.Input(
                    "marks",
                    extra_dict=ADVANCED,
                    default="",
                    multiline=True,
                    placeholder='marks: [{"frame": 0, "box": [x0, y0, x1, y1]}]',
                    tooltip="Faces that the detector can't find, marked by hand on key frames and followed in between: "
                    '[{"frame": 0, "box": [x0, y0, x1, y1]}], or "points" for both brows and the nose. See the help.',
                ),
                io.Float.Input(
                    "max_pitch",
                    display_name="max_pitch (degrees)",
                    default=LIMITS.max_pitch,
                    min=0.0,
                    max=90.0,
                    step=1.0,
                    optional=True,
                    extra_dict=ADVANCED,
                    tooltip="Degrees that a face may look up or down. Beyond, it is left unchanged.",
                ),
                io.Float.Input(
                    "min_sharpness",
                    default=LIMITS.min_sharpness,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    extra_dict=ADVANCED,
                    tooltip="Blurrier faces are left unchanged; about 0.1 excludes motion blur, 0 none.",
                ),
                io.Int.Input(
                    "fade_frames",
                    default=LIMITS.fade_frames,
                    min=0,
                    max=100,
                    optional=True,
                    extra_dict=ADVANCED,
                    tooltip="Frames over which the result fades in and out where a face stops being synced.",
                ),
                io.Float.Input(
                    "smoothing",
                    default=ALIGN.smoothing_strength,
                    min=0.0,
                    max=3.0,
                    step=0.1,
                    optional=True,
                    extra_dict=ADVANCED,
                    tooltip="Temporal smoothing of the landmarks: 0 is none; more is steadier and follows less.",
                ),
                io.Float.Input(
                    "shot_threshold",
                    default=FACES.shot_threshold,
                    min=1.0,
                    max=10.0,
                    step=0.05,
                    optional=True,
                    extra_dict=ADVANCED,
                    tooltip="How easily a cut is detected: less finds more cuts, and false ones.",
                ),
                deinterlace_input(),
            ],
            is_output_node=True,  # so that it can run by itself, to look at the faces before anything is drawn
            outputs=[Faces.Output(display_name="faces", tooltip="For LatentSync Face Sampler.")],
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
        )

    @classmethod
    @check_inputs
    def execute(
        cls,
        clip: Any,
        fps: float,
        detector_score: float,
        face_scale: float,
        face_shift: float,
        max_yaw: float,
        smallest_face: float,
        marks: str,
        max_pitch: float = LIMITS.max_pitch,
        min_sharpness: float = LIMITS.min_sharpness,
        fade_frames: int = LIMITS.fade_frames,
        smoothing: float = ALIGN.smoothing_strength,
        shot_threshold: float = FACES.shot_threshold,
        deinterlace: bool = False,
    ) -> io.NodeOutput:
        reject_batched_clip(cls.hidden)
        progress = Progress()
        source = clip_from_input(clip, fps, deinterlace, progress.whole_bar(Phase.CLIP))
        source, rate_notes = compare_rates(source, fps, cls.hidden)
        progress.expect({"faces": expected_faces(source)})
        try:
            faces = timed_faces(
                source,
                progress.phase(words=Phase.FACES, frames=source.frame_count),
                lambda on_progress: find_faces(
                    source,
                    FaceOptions(detector_score=detector_score, shot_threshold=shot_threshold),
                    AlignOptions(smoothing_strength=smoothing, scale=face_scale, shift_y=face_shift),
                    TouchLimits(
                        max_yaw=max_yaw,
                        max_pitch=max_pitch,
                        min_size=smallest_face,
                        min_sharpness=min_sharpness,
                        fade_frames=fade_frames,
                    ),
                    marks,
                    pack_temp_folder("found"),
                    on_progress,
                ),
            )
        except FaceError:
            show_clip_without_faces(source, cls.hidden.unique_id)
            raise
        shown = [*note_lines(rate_notes, input_names(cls)), *report_text(faces).splitlines()]
        ui = preview_image(face_sheet(faces)) | {"text": shown}
        return io.NodeOutput(with_tensors(faces), ui=ui)


def with_tensors(faces: FaceTracks) -> WithTensors:
    """The faces, with the frames that they keep in memory if the clip isn't a file's."""
    clip: Clip = faces.clip
    return WithTensors(faces, () if clip.images is None else (clip.images,))
