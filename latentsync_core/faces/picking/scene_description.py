"""Describes a clip's faces, and what becomes of each frame under a choice, in few bytes for a picker."""

from __future__ import annotations

import io

import numpy as np

from ...runs import runs_where
from ..face_tracks import FaceTracks
from ..identity.person_names import person_letter
from ..report import outcome_runs
from ..tracks import FaceTrack

HIDDEN = -32768  # in the place of a box's numbers where its face isn't visible
PORTRAIT_QUALITY = 85  # of a JPEG


def describe_scene(faces: FaceTracks, occluded_track: np.ndarray | None = None) -> dict:
    """The clip, its shots, tracks and persons in JSON types; frames are half-open ranges, sizes in displayed pixels.

    `visible` of a track lists the ranges in which its face is seen; `portrait` of a person is the track with the
    portrait to show; `occluded` lists [first, stop, track] where something is in front of a track's mouth.

    Args:
        occluded_track: (N,) the track whose mouth is occluded in each frame, -1 for none; None where that isn't known.
    """
    clip = faces.clip
    longest: dict[int, FaceTrack] = {}
    for track in faces.tracks:
        best = longest.get(track.person)
        if best is None or track.visible.sum() > best.visible.sum():
            longest[track.person] = track
    return {
        "frames": clip.frame_count,
        "seconds": round(clip.duration, 3),
        "size": [clip.width, clip.height],
        "sample_aspect": float(clip.sample_aspect),
        "shots": [list(shot) for shot in faces.shots],
        "tracks": [
            {
                "track": track.track_id,
                "person": track.person,
                "frames": [track.start, track.stop],
                "visible": [[track.start + a, track.start + b] for a, b in runs_where(track.visible)],
                "by_hand": track.by_hand,
            }
            for track in faces.tracks
        ],
        "persons": [
            {"person": person, "letter": person_letter(person), "portrait": longest[person].track_id}
            for person in sorted(longest)
        ],
        "occluded": [
            [first, stop, int(occluded_track[first])] for first, stop in runs_where(occluded_track >= 0, occluded_track)
        ] if occluded_track is not None else [],
    }  # fmt: skip


def box_table(faces: FaceTracks) -> bytes:
    """Every track's boxes, one track after another: four little-endian int16 a frame, x0 y0 x1 y1 in displayed pixels.

    All four are HIDDEN in frames in which the face isn't visible.
    """
    rows = []
    for track in faces.tracks:
        boxes = np.full(track.boxes.shape, HIDDEN, "<i2")
        boxes[track.visible] = track.boxes[track.visible].round().clip(HIDDEN + 1, -HIDDEN - 1)
        rows.append(boxes)
    return b"".join(row.tobytes() for row in rows)


def describe_choice(faces: FaceTracks) -> dict:
    """What is synced in JSON types: the chosen tracks, and [first, stop, outcome, track] for all runs of frames.

    `outcome` is the name of an `Outcome` in lower case; the track is -1 where no chosen face is seen.
    """
    return {
        "chosen": list(faces.chosen),
        "runs": [[one.first, one.stop, one.outcome.name.lower(), one.track] for one in outcome_runs(faces)],
    }


def portrait_jpeg(track: FaceTrack) -> bytes:
    """The track's portrait as a JPEG."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(track.portrait).save(stream, "JPEG", quality=PORTRAIT_QUALITY)
    return stream.getvalue()
