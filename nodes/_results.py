"""Writes results where ComfyUI's page and nodes find them, and a copy that the page can play."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import torch

from ..latentsync_core.compositing.composite_options import CompositeOptions
from ..latentsync_core.compositing.notes import job_notes, outcome_notes
from ..latentsync_core.compositing.png_layers import PngLayerWriter
from ..latentsync_core.compositing.prores_layers import LayerWriter, MatteWriter
from ..latentsync_core.compositing.rendering import as_matching_batch
from ..latentsync_core.compositing.write import write_rendered
from ..latentsync_core.files.output_checks import check_no_overwrite
from ..latentsync_core.messages import Note, NoteLevel
from ..latentsync_core.progress import Progress
from ..latentsync_core.sampling.synced_faces import SyncedFaces
from ..latentsync_core.sampling.timeline import LengthRule, plan_timeline
from ..latentsync_core.video.clip import Clip
from ..latentsync_core.video.frame import Frame
from ..latentsync_core.video.writing.proxy import is_browser_playable, write_proxy
from ..latentsync_core.video.writing.writer import FrameWriter
from ..latentsync_core.video.writing.writer_options import Codec, WriterOptions
from ._comfy import output_file, pack_temp_folder, raise_if_interrupted, saved_result, temporary_file
from ._wording import note_lines

PREFIX = "LatentSync/dub"
NOT_SAVED = Note("not saved yet: connect Save Video", NoteLevel.WARNING)


class PatchFormat(Enum):
    """How the patch with alpha is written, for compositing programs."""

    NONE = "none"
    PRORES4444 = "prores4444"
    PNG = "png"


@dataclass(frozen=True)
class OutputRequest:
    """What is to be made of the new faces beside the video."""

    images: bool = False  # every output frame, in memory
    masks: bool = False  # the pasted patch's alpha of every output frame, in memory
    matte: bool = False  # the same as a grey video in the output folder
    patch: PatchFormat = PatchFormat.NONE  # the patch with its alpha, in the output folder


@dataclass(frozen=True)
class WrittenOutput:
    """What was written."""

    path: Path
    notes: list[Note] = field(default_factory=list)  # what the user should know
    images: torch.Tensor | None = None  # (F, H, W, 3) float32
    masks: torch.Tensor | None = None  # (F, H, W) float32


def write_output(
    synced_per_speaker: Sequence[SyncedFaces],
    sound: Path | None,
    composite: CompositeOptions | None = None,
    writer: WriterOptions | None = None,
    prefix: str = PREFIX,
    request: OutputRequest | None = None,
    foreground: torch.Tensor | None = None,
    on_progress: Progress | None = None,
    is_taken: bool = True,
) -> WrittenOutput:
    """Composites the new faces, each person's, and writes the clip.

    H.264 goes into the temp folder, for Save Video to copy; anything else into the output folder, since Save Video
    can't. `is_taken` tells whether a node takes the video; a note says so where nothing keeps a temporary file.
    """
    writer, request = writer or WriterOptions(), request or OutputRequest()
    synced = as_matching_batch(synced_per_speaker)[0]
    clip = synced.faces.clip
    is_final = writer.codec is not Codec.H264
    path = (output_file if is_final else temporary_file)(prefix, writer.codec.suffix, (clip.width, clip.height))
    frames, in_memory = len(synced.pts), clip.images is not None
    images = torch.empty(frames, clip.height, clip.width, 3) if request.images else None
    masks = torch.empty(frames, clip.height, clip.width) if request.masks else None
    with ExitStack() as files:
        file = FrameWriter(path, clip, options=writer, pts=synced.pts, audio=sound)
        matte = _matte_writer(synced, prefix) if request.matte else None
        patch = _patch_writer(synced, prefix, request.patch) if request.patch is not PatchFormat.NONE else None
        extra_writers = [other for other in (matte, patch) if other is not None]
        inputs = (("the clip", clip.identity and clip.identity.path), ("the audio to mux", sound))
        check_no_overwrite((written.path for written in (file, *extra_writers)), inputs)
        for written in (file, *extra_writers):
            written.preflight()
        for written in (file, *extra_writers):
            files.enter_context(written)
        sinks = [lambda _, rendered: file.write(rendered.frame)]
        if matte is not None:
            sinks.append(lambda _, rendered: matte.write(rendered.matte))
        if patch is not None:
            sinks.append(lambda _, rendered: patch.write(rendered.layer))
        if images is not None:
            sinks.append(lambda index, rendered: images[index].copy_(_image_tensor(rendered.frame, in_memory)))
        if masks is not None:
            sinks.append(lambda index, rendered: masks[index].copy_(rendered.matte))
        occluded = write_rendered(synced_per_speaker, sinks, composite, foreground, on_progress)
    saved = [written.path for written in ([file] if is_final else []) + extra_writers]
    notes = [
        *([] if is_final or is_taken else [NOT_SAVED]),
        *outcome_notes(synced_per_speaker, occluded),
        *(Note(f"saved: {_output_relative_path(written)}") for written in saved),
        *job_notes(synced_per_speaker, (note for written in (file, *extra_writers) for note in written.notes)),
    ]
    return WrittenOutput(path, notes, images, masks)


def preflight_output(clip: Clip, seconds: float, length: LengthRule, sound: Path) -> None:
    """Raises what `write_output` would for this clip and a voice of `seconds`: to know before faces are looked for."""
    writer = WriterOptions()
    path = temporary_file(PREFIX, writer.codec.suffix, (clip.width, clip.height))
    pts = plan_timeline(clip, seconds, length).pts
    FrameWriter(path, clip, options=writer, pts=pts, audio=sound).preflight()


def player_ui(result: WrittenOutput, inputs: Collection[str]) -> dict[str, Any]:
    """The page's player for a result, or for a small copy of it where the page can't play it itself; and its notes.

    `inputs` are those of the node that shows it.
    """
    path = result.path
    if not is_browser_playable(path):
        path = write_proxy(
            path,
            pack_temp_folder("proxies") / f"{path.stem}-{uuid.uuid4().hex[:8]}.mp4",
            on_progress=raise_if_interrupted,
        )
    return {"images": [saved_result(path)], "animated": (True,), "text": note_lines(result.notes, inputs)}


def _image_tensor(frame: Frame, in_memory: bool) -> torch.Tensor:
    """(H, W, 3) float32: [0, 1] of a file's frame; a frame that was in memory as it is, also beyond black and white."""
    if in_memory:
        return torch.from_numpy(frame.planes[0])
    return frame.rgb().movedim(0, -1)  # CHW -> HWC


def _matte_writer(synced: SyncedFaces, prefix: str) -> MatteWriter:
    clip = synced.faces.clip
    path = output_file(f"{prefix}_matte", ".mov", (clip.width, clip.height))
    return MatteWriter(path, clip, pts=synced.pts)


def _patch_writer(synced: SyncedFaces, prefix: str, kind: PatchFormat) -> LayerWriter | PngLayerWriter:
    clip = synced.faces.clip
    path = output_file(f"{prefix}_patch", ".mov" if kind is PatchFormat.PRORES4444 else "", (clip.width, clip.height))
    if kind is PatchFormat.PRORES4444:
        return LayerWriter(path, clip, pts=synced.pts)
    return PngLayerWriter(path, clip, frames=len(synced.pts))


def _output_relative_path(path: Path) -> str:
    entry = saved_result(path)
    return "/".join(part for part in ("output", entry["subfolder"], entry["filename"]) if part)
