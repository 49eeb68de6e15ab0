"""Writes a result where ComfyUI's page and nodes find it, and makes what the page needs to play it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..latentsync_core.compositor import CompositeOptions
from ..latentsync_core.rendering import render
from ..latentsync_core.types import Progress, SyncedFaces
from ..latentsync_core.video_io import Codec, FrameWriter, WriterOptions
from ._comfy import output_file, shown, temporary_file

PREFIX = "LatentSync/dub"


@dataclass(frozen=True)
class Wanted:
    """What is to be made of the new faces beside the video."""

    images: bool = False  # every output frame, in memory
    masks: bool = False  # the pasted patch's alpha of every output frame, in memory


@dataclass(frozen=True)
class Result:
    """What was written."""

    path: Path
    notes: list[str] = field(default_factory=list)  # what the user should know
    images: torch.Tensor | None = None  # (F, H, W, 3) float32
    masks: torch.Tensor | None = None  # (F, H, W) float32


def write_result(
    synced: SyncedFaces,
    sound: Path | None,
    composite: CompositeOptions | None = None,
    writer: WriterOptions | None = None,
    prefix: str = PREFIX,
    wanted: Wanted | None = None,
    on_progress: Progress | None = None,
) -> Result:
    """Composites the new faces and writes the clip: H.264 into the temp folder, for Save Video to copy; anything else
    into the output folder, since Save Video can't."""
    writer, wanted = writer or WriterOptions(), wanted or Wanted()
    clip = synced.faces.clip
    keep = writer.codec is not Codec.H264
    path = (output_file if keep else temporary_file)(prefix, writer.codec.suffix, (clip.width, clip.height))
    frames = len(synced.stamps)
    images = torch.empty(frames, clip.height, clip.width, 3) if wanted.images else None
    masks = torch.empty(frames, clip.height, clip.width) if wanted.masks else None
    with FrameWriter(path, clip, options=writer, stamps=synced.stamps, audio=sound) as file:
        for index, rendered in enumerate(render(synced, composite)):
            file.write(rendered.frame)
            if images is not None:
                images[index] = rendered.frame.rgb().movedim(0, -1)  # CHW -> HWC
            if masks is not None:
                masks[index] = rendered.matte
            if on_progress:
                on_progress(index + 1, frames)
    return Result(path, list(file.notes), images, masks)


def play(result: Result) -> dict[str, Any]:
    """The page's player for a result."""
    return {"images": [shown(result.path)], "animated": (True,), "text": result.notes}
