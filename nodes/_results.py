"""Writes results where ComfyUI's page and nodes find them, and a copy that the page can play."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..latentsync_core.compositing.composite_options import CompositeOptions
from ..latentsync_core.compositing.crediting import credits_for
from ..latentsync_core.compositing.notes import job_notes, outcome_notes
from ..latentsync_core.compositing.png_layers import PngLayerWriter
from ..latentsync_core.compositing.prores_layers import LayerWriter, MatteWriter
from ..latentsync_core.compositing.rendering import as_matching_batch
from ..latentsync_core.compositing.smart_render import composite_film
from ..latentsync_core.compositing.write import Sink
from ..latentsync_core.estimates.measured import measured_compositing
from ..latentsync_core.estimates.timings import record_timings
from ..latentsync_core.files.output_checks import check_no_overwrite
from ..latentsync_core.media.sound_reader import SoundTrack
from ..latentsync_core.messages import Note, NoteLevel
from ..latentsync_core.phases import Phase
from ..latentsync_core.progress import WorkMeter
from ..latentsync_core.provenance.film_credits import FilmCredits
from ..latentsync_core.sampling.synced_faces import SyncedFaces
from ..latentsync_core.sampling.timeline import LengthRule, plan_timeline
from ..latentsync_core.video.clip import Clip
from ..latentsync_core.video.frame import Frame
from ..latentsync_core.video.reading.probing import probe
from ..latentsync_core.video.reading.reader import FrameReader
from ..latentsync_core.video.writing.match_source import match_source
from ..latentsync_core.video.writing.proxy import MAX_HEIGHT, is_browser_playable, write_proxy
from ..latentsync_core.video.writing.sequence_writer import SequenceWriter
from ..latentsync_core.video.writing.writer import FrameWriter
from ..latentsync_core.video.writing.writer_options import Codec, WriterOptions
from ._comfy import (
    Progress,
    numbered_output,
    pack_temp_folder,
    raise_if_interrupted,
    save_workflow_picture,
    saved_result,
    temporary_output,
)
from ._comparisons import comparison_ui
from ._estimates import expected_compositing
from ._wording import note_lines

PREFIX = "LatentSync/dub"
# Stays on the node while its result is cached, so it must still be true once Save Video is connected.
TEMPORARY = Note("the video stays in ComfyUI's temp folder unless Save Video is connected", NoteLevel.WARNING)
PAGE_READS = {".mp4", ".mov"}  # containers in which the page finds a workflow


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

    @property
    def names(self) -> list[str]:
        """What is asked for, as words."""
        asked = {"images": self.images, "masks": self.masks, "matte": self.matte}
        return [name for name, is_asked in asked.items() if is_asked] + (
            [] if self.patch is PatchFormat.NONE else [self.patch.value]
        )


@dataclass(frozen=True)
class WrittenOutput:
    """What was written."""

    path: Path
    description: str  # its size and codec, as notes name them
    occluded: np.ndarray  # (F,) bool: frames in which something in front of a mouth was left unchanged
    notes: list[Note] = field(default_factory=list)  # what the user should know
    images: torch.Tensor | None = None  # (F, H, W, 3) float32
    masks: torch.Tensor | None = None  # (F, H, W) float32


def write_output(
    synced_per_speaker: Sequence[SyncedFaces],
    sound: SoundTrack | None,
    composite: CompositeOptions | None = None,
    writer: WriterOptions | None = None,
    prefix: str = PREFIX,
    request: OutputRequest | None = None,
    foreground: torch.Tensor | None = None,
    progress: Progress | None = None,
    phase: str = "all",
    is_taken: bool = True,
    workflow: Mapping[str, str] | None = None,
    is_own_sound: bool = False,
) -> WrittenOutput:
    """Composites the new faces, each person's, and writes the clip.

    H.264 alone goes into the temp folder, for Save Video to copy. Anything else goes into the output folder, since Save
    Video can't copy it, and so does H.264 with a matte or patch: they all have one number. A file there carries
    `workflow`, or has a PNG beside it that does where the page can't read the file's own. Where pictures are asked for,
    an H.264 copy in the temp folder is what the page and other nodes take.

    Args:
        progress: of the node, whose phase `phase` this is; nothing else need have been expected of it.
        is_taken: whether a node takes the video; a note says so where nothing keeps a temporary file.
        workflow: what `workflow_texts` returns.
        is_own_sound: whether `sound` is the clip's own.
    """
    writer, request = writer or WriterOptions(), request or OutputRequest()
    synced = as_matching_batch(synced_per_speaker)[0]
    clip = synced.output_clip
    writer = match_source(clip, writer)
    sequence, writer = (writer, WriterOptions()) if writer.codec.is_sequence else (None, writer)
    is_saved = writer.codec is not Codec.H264 or request.matte or request.patch is not PatchFormat.NONE
    is_numbered = is_saved or sequence is not None
    name = numbered_output(prefix, (clip.width, clip.height)) if is_numbered else temporary_output(prefix)
    path = Path(f"{name if is_saved or sequence is None else temporary_output(prefix)}{writer.codec.suffix}")
    texts = workflow if is_numbered else None
    picture = Path(f"{name}.png") if texts and (sequence or writer.codec.suffix not in PAGE_READS) else None
    first: list[torch.Tensor] = []  # the first output frame, for that picture
    frames, in_memory = len(synced.pts), clip.images is not None
    images = torch.empty(frames, clip.height, clip.width, 3) if request.images else None
    masks = torch.empty(frames, clip.height, clip.width) if request.masks else None
    credits = credits_for(synced_per_speaker)
    with ExitStack() as files:
        file = FrameWriter(
            path,
            clip,
            options=writer,
            pts=synced.pts,
            audio=sound,
            metadata=texts,
            is_own_sound=is_own_sound,
            credits=credits,
        )
        matte = MatteWriter(f"{name}matte.mov", clip, pts=synced.pts) if request.matte else None
        patch = _patch_writer(synced, f"{name}patch", request.patch, credits)
        pictures = _sequence_writer(synced, f"{name}frames", sequence, sound)
        extra_writers = [other for other in (matte, patch, pictures) if other is not None]
        inputs = (("the clip", clip.identity and clip.identity.path), ("the audio to mux", sound and sound.path))
        check_no_overwrite((picture, *(written.path for written in (file, *extra_writers))), inputs)
        for written in (file, *extra_writers):
            written.preflight()
        for written in extra_writers:
            files.enter_context(written)
        sinks: list[Sink] = []  # beside the file
        if matte is not None:
            sinks.append(lambda _, rendered: matte.write(rendered.matte))
        if patch is not None:
            sinks.append(lambda _, rendered: patch.write(rendered.layer))
        if pictures is not None:
            sinks.append(lambda _, rendered: pictures.write(rendered.frame))
        if images is not None:
            sinks.append(lambda index, rendered: images[index].copy_(_image_tensor(rendered.frame, in_memory)))
        if masks is not None:
            sinks.append(lambda index, rendered: masks[index].copy_(rendered.matte))
        if picture is not None and sequence is not None:  # the file's own frames are an H.264 copy's
            sinks.append(lambda index, rendered: None if index else first.append(rendered.frame.rgb()))
        meter, others = WorkMeter(), " ".join(request.names + ([sequence.codec.value] if sequence else []))
        composite = (composite or CompositeOptions()).resolve_region(one.region for one in synced_per_speaker)
        on_progress = None
        if progress is not None:
            progress.expect({"compositing": expected_compositing(synced_per_speaker, composite, writer, others)})
            on_progress = progress.phase(phase, Phase.COMPOSITING, frames)
        records = pack_temp_folder("films")
        film = composite_film(
            synced_per_speaker, file, composite, records, files, on_progress, foreground, sinks, meter
        )
    film.record(path, records)
    record_timings(measured_compositing(meter, synced.codec, synced.resolution, clip, composite, writer, others))
    if picture is not None and texts:
        save_workflow_picture(picture, first[0] if first else _first_picture(path), texts)
    saved = [written.path for written in ((file,) if is_saved else ()) + tuple(extra_writers)]
    notes = [
        *([] if is_numbered or is_taken else [TEMPORARY]),
        *outcome_notes(synced_per_speaker, film.occluded),
        *(Note(f"saved: {_output_relative_path(written)}") for written in saved),
        *([Note(f"drop {picture.name}, saved beside it, onto the page to open this workflow")] if picture else []),
        *film.notes,
        *job_notes(synced_per_speaker, (note for written in (file, *extra_writers) for note in written.notes)),
    ]
    return WrittenOutput(path, f"{clip.width}×{clip.height}, {writer.codec.label}", film.occluded, notes, images, masks)


def _first_picture(path: Path) -> torch.Tensor:
    """(3, H, W) in [0, 1]: a film's first frame."""
    with FrameReader(probe(path)) as frames:
        return next(iter(frames)).rgb()


def preflight_output(clip: Clip, seconds: float, length: LengthRule, sound: SoundTrack, writer: WriterOptions) -> None:
    """Raises what `write_output` would for this clip and a voice of `seconds`: to know before faces are looked for."""
    path = f"{temporary_output(PREFIX)}{writer.codec.suffix}"
    timeline = plan_timeline(clip, seconds, length)
    FrameWriter(path, timeline.clip, options=writer, pts=timeline.pts, audio=sound).preflight()


def player_ui(
    result: WrittenOutput,
    synced_per_speaker: Sequence[SyncedFaces],
    inputs: Collection[str],
    frames: torch.Tensor | None = None,
) -> dict[str, Any]:
    """The page's player for a result, or for a small copy of it where the page can't play it itself; its notes; and
    the key by which the page compares it with the clip.

    `inputs` are those of the node that shows it, `frames` as `comparison_ui` takes them.
    """
    path, notes = result.path, result.notes
    is_reduced = not is_browser_playable(path)
    if is_reduced:
        # The page writes the size of what it plays below the player.
        copy = f"the result is {result.description}; the player shows a copy up to {MAX_HEIGHT} pixels high"
        notes = [Note(copy), *notes]
        path = write_proxy(
            path,
            pack_temp_folder("proxies") / f"{path.stem}-{uuid.uuid4().hex[:8]}.mp4",
            on_progress=raise_if_interrupted,
        )
    shown = {"images": [saved_result(path)], "animated": (True,), "text": note_lines(notes, inputs)}
    return shown | comparison_ui(synced_per_speaker, path, is_reduced, result.occluded, frames)


def _image_tensor(frame: Frame, in_memory: bool) -> torch.Tensor:
    """(H, W, 3) float32: [0, 1] of a file's frame; a frame that was in memory as it is, also beyond black and white."""
    if in_memory:
        return torch.from_numpy(frame.planes[0])
    return frame.rgb().movedim(0, -1)  # CHW -> HWC


def _patch_writer(
    synced: SyncedFaces, path: str, kind: PatchFormat, credits: FilmCredits
) -> LayerWriter | PngLayerWriter | None:
    clip = synced.output_clip
    if kind is PatchFormat.PRORES4444:
        return LayerWriter(f"{path}.mov", clip, pts=synced.pts, credits=credits)
    return PngLayerWriter(path, clip, frames=len(synced.pts)) if kind is PatchFormat.PNG else None


def _sequence_writer(
    synced: SyncedFaces, folder: str, options: WriterOptions | None, sound: SoundTrack | None
) -> SequenceWriter | None:
    if options is None:
        return None
    return SequenceWriter(folder, synced.output_clip, options=options, pts=synced.pts, audio=sound)


def _output_relative_path(path: Path) -> str:
    entry = saved_result(path)
    return "/".join(part for part in ("output", entry["subfolder"], entry["filename"]) if part)
