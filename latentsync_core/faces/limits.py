"""When a face is left unchanged: turned too far, too small or too blurred. The generated face fades out before that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from ..errors import OptionError
from ..runs import runs_where
from .tracks import FaceTrack

AVERAGING_RADIUS = 2  # frames before and after in the moving average of measurements, so that jitter toggles no limit
# Beyond the mesh network's range of yaw it reports 16 to 50 degrees, but the flip error rises: filmed faces that look
# at the camera stay under 0.02 face widths. In animated films such heads were actually turned by about 65 degrees.
MAX_RELIABLE_FLIP_ERROR, MAX_RELIABLE_YAW, PROFILE_YAW = 0.03, 20.0, 65.0  # face widths, degrees, degrees


@dataclass(frozen=True)
class TouchLimits:
    """A face beyond any of these limits is left unchanged."""

    max_yaw: float = 50.0  # degrees to either side as measured: beyond 50 up to 10 too low; PROFILE_YAW if unreliable
    max_pitch: float = 40.0  # degrees up or down
    min_size: float = 32.0  # pixels, the longer side of the face's box
    min_sharpness: float = 0.0  # 0 syncs blurred faces too; about 0.1 leaves motion-blurred ones unchanged
    fade_frames: int = 4  # over which the generated face fades in and out; never at a cut

    def __post_init__(self) -> None:
        limits = {
            "the largest yaw": (self.max_yaw, 180),
            "the largest pitch": (self.max_pitch, 180),
            "the smallest face": (self.min_size, 1e5),
            "the least sharpness": (self.min_sharpness, 1),
            "the number of frames to fade over": (self.fade_frames, 100),
        }
        for name, (value, most) in limits.items():
            if not 0 <= value <= most:
                raise OptionError(f"{name} is {value}; use 0 to {most:g}")


class Outcome(IntEnum):
    """What becomes of a frame, and why."""

    SYNCED = 0
    FADED = 1  # partly synced, next to frames with one of the outcomes below
    NO_FACE = 2
    NOT_CHOSEN = 3  # there are faces, none of them chosen
    TURNED_AWAY = 4
    TOO_SMALL = 5
    BLURRED = 6
    NOT_SPEAKING = 7  # a chosen face, while nobody or somebody else speaks


@dataclass(frozen=True, eq=False)
class FacePath:
    """The face that is synced in each of the clip's N frames; NaN, -1 or 0 where there is none."""

    boxes: np.ndarray  # (N, 4) float32, as of FaceTrack
    landmarks: np.ndarray  # (N, 3, 2) float32
    visible: np.ndarray  # (N,) bool
    track: np.ndarray  # (N,) int32: the track_id of the face
    person: np.ndarray  # (N,) int32
    blend: np.ndarray  # (N,) float32, 0 to 1: opacity of the generated face; 0 where the frame is left unchanged
    outcome: np.ndarray  # (N,) uint8: the `Outcome` of each frame


def chosen_path(
    tracks: Sequence[FaceTrack],
    shots: Sequence[tuple[int, int]],
    chosen: Sequence[int],
    limits: TouchLimits,
    frame_count: int,
    speaking: np.ndarray | None = None,
) -> FacePath:
    """The chosen face of every frame of the clip, and how far the generated one is blended in.

    Args:
        tracks: all of the clip; a track's id is its index here.
        shots: half-open ranges of frames between cuts; nothing fades across a cut.
        chosen: track ids; where two share a frame the earlier in this list is synced.
        speaking: (N,) the track that speaks in each frame, NOBODY for none: a chosen face is synced only there, and
            fades in and out at the ends of its turns. None syncs it wherever it is visible.

    Raises:
        OptionError: a chosen track isn't one of the clip's.
    """
    path = FacePath(
        boxes=np.full((frame_count, 4), np.nan, np.float32),
        landmarks=np.full((frame_count, 3, 2), np.nan, np.float32),
        visible=np.zeros(frame_count, bool),
        track=np.full(frame_count, -1, np.int32),
        person=np.full(frame_count, -1, np.int32),
        blend=np.zeros(frame_count, np.float32),
        outcome=np.full(frame_count, Outcome.NO_FACE, np.uint8),
    )
    for track in tracks:
        path.outcome[track.start : track.stop][track.visible] = Outcome.NOT_CHOSEN
    for number in chosen:
        if not 0 <= number < len(tracks):
            raise OptionError(f"track {number} is chosen, but the clip has tracks 0 to {len(tracks) - 1}")
        _write_track(path, tracks[number], limits, speaking)
    shot_starts = {first for first, _ in shots}
    for first, stop in runs_where(path.track >= 0, path.track):
        part = slice(first, stop)
        path.blend[part] *= fade_weights(
            path.blend[part] > 0, limits.fade_frames, first in shot_starts, stop in shot_starts | {frame_count}
        )
    path.outcome[(path.blend > 0) & (path.blend < 1)] = Outcome.FADED
    return path


def _write_track(path: FacePath, track: FaceTrack, limits: TouchLimits, speaking: np.ndarray | None) -> None:
    """Writes a track into the frames that no earlier one occupies, and in which it speaks."""
    free = track.visible & (path.track[track.start : track.stop] < 0)
    if speaking is not None:
        speaks = speaking[track.start : track.stop] == track.track_id
        path.outcome[track.start : track.stop][free & ~speaks] = Outcome.NOT_SPEAKING
        free &= speaks
    frames = np.flatnonzero(free)
    at = frames + track.start
    outcome = _outcomes(track, limits)[frames]
    path.boxes[at], path.landmarks[at] = track.boxes[frames], track.landmarks[frames]
    path.visible[at], path.track[at], path.person[at] = True, track.track_id, track.person
    path.outcome[at] = outcome
    path.blend[at] = outcome == Outcome.SYNCED


def _outcomes(track: FaceTrack, limits: TouchLimits) -> np.ndarray:
    """(n,) `Outcome` of each frame of a track if it is chosen, before fading."""
    outcome = np.full(len(track.visible), Outcome.SYNCED, np.uint8)
    if track.by_hand:
        return outcome
    size = (track.boxes[:, 2:] - track.boxes[:, :2]).max(1)
    yaw, pitch = (np.abs(_moving_average(track.pose[:, k])) for k in (0, 1))
    unreliable = (_moving_average(track.flip_error) > MAX_RELIABLE_FLIP_ERROR) & (yaw > MAX_RELIABLE_YAW)
    yaw[unreliable] = np.maximum(yaw[unreliable], PROFILE_YAW)
    outcome[_moving_average(track.sharpness) < limits.min_sharpness] = Outcome.BLURRED
    outcome[size < limits.min_size] = Outcome.TOO_SMALL
    outcome[(yaw > limits.max_yaw) | (pitch > limits.max_pitch)] = Outcome.TURNED_AWAY
    return outcome


def _moving_average(values: np.ndarray) -> np.ndarray:
    """The mean of the finite values in each value's neighbourhood."""
    around = np.lib.stride_tricks.sliding_window_view(
        np.pad(values, AVERAGING_RADIUS, constant_values=np.nan), 2 * AVERAGING_RADIUS + 1
    )
    there = np.isfinite(around)
    return np.where(there, around, 0).sum(1) / np.maximum(there.sum(1), 1)


def fade_weights(shown: np.ndarray, fade_frames: int, from_cut: bool, to_cut: bool) -> np.ndarray:
    """(n,) weights that rise over `fade_frames` from each frame where the face isn't `shown`, but not from a cut."""
    if not fade_frames:
        return shown.astype(np.float32)
    away = np.full(len(shown), fade_frames + 1)
    hidden = np.flatnonzero(~shown)
    if not from_cut:
        hidden = np.append(hidden, -1)
    if not to_cut:
        hidden = np.append(hidden, len(shown))
    if len(hidden):
        hidden.sort()
        place = np.searchsorted(hidden, np.arange(len(shown)))
        after = np.where(place < len(hidden), hidden[np.minimum(place, len(hidden) - 1)], len(shown) + fade_frames + 1)
        before = np.where(place > 0, hidden[np.maximum(place - 1, 0)], -fade_frames - 2)
        away = np.minimum(after - np.arange(len(shown)), np.arange(len(shown)) - before)
    return np.clip(away / (fade_frames + 1), 0, 1).astype(np.float32)
