"""Makes a long clip known to the page without looking for faces in it, to measure what the page does with it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import folder_paths  # noqa: TID251
import numpy as np

from .inside_views import our_module
from .made_nodes import node


@node(file="STRING")
def long_clip(file: str) -> dict[str, str]:
    """Makes a clip of the input folder known to the page, in no time: a scene in which two people are seen all along,
    and a comparison of the clip as a result with itself."""
    clip = our_module("latentsync_core.video.reading.probing").probe(Path(folder_paths.get_input_directory(), file))
    frames = clip.frame_count
    make_track = our_module("latentsync_core.faces.tracks").FaceTrack

    def track(number: int, left: float) -> Any:
        corners = np.array([left * clip.width, 0.3 * clip.height, (left + 0.2) * clip.width, 0.7 * clip.height])
        boxes = np.repeat(corners.astype(np.float32)[None], frames, 0)
        points = np.repeat(boxes[:, None, :2], 3, 1)
        zeros = np.zeros(frames, np.float32)
        portrait = np.full((128, 128, 3), 90, np.uint8)
        columns = (boxes, points, np.ones(frames, bool), np.zeros((frames, 3), np.float32), zeros + 1, zeros, zeros)
        return make_track(number, 0, *columns, portrait, None, number)

    faces = our_module("latentsync_core.faces.face_tracks").FaceTracks(
        clip,
        (track(0, 0.2), track(1, 0.6)),
        tuple((first, min(first + 120, frames)) for first in range(0, frames, 120)),
        our_module("latentsync_core.faces.alignment.align_options").AlignOptions(),
        our_module("latentsync_core.faces.limits").TouchLimits(),
    )
    compare = our_module("nodes._comparisons")
    played = our_module("nodes._comfy").pack_temp_folder("results") / file
    shutil.copyfile(clip.identity.path, played)
    mouth = [clip.width // 4, clip.height // 2, clip.height // 5]
    comparison = compare.Comparison(
        played=played,
        is_reduced=False,
        clip=clip,
        stretched=None,
        source_index=np.arange(frames),
        pts=clip.pts,
        mouths=(np.repeat(np.array([mouth], "<i2"), frames, 0),),
        changed=np.ones(frames, bool),
        occluded=np.zeros(frames, bool),
    )
    return {"scene": our_module("nodes._scenes").scenes.add(faces), "comparison": compare.comparisons.add(comparison)}
