"""Keeps what a clip's mouths and sound tell in the work folder, beside the faces, for the next run."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..audio.source import AudioSource
from ..errors import OutputError
from ..evaluation.syncnet import CARRIED_SYNCNET
from ..faces.cache import check_array_sizes
from ..faces.face_tracks import FaceTracks
from ..files.scratch import atomic_write
from ..messages import Remedy
from ..models.checkpoints.weights_file import READ_ERRORS
from .signals import SpeakerSignals, TrackSignals

EDITION = 1  # raised whenever signals are measured in another way
SUFFIX = ".voices.npz"
READINGS = 3  # numbers of a SyncNet window, see MouthSync.finish

log = logging.getLogger(__name__)


def signals_path(folder: Path, faces: FaceTracks, audio: AudioSource) -> Path | None:
    """The file of these faces and this sound in the work folder; None for a clip in memory, which has no identity."""
    clip = faces.clip
    if clip.identity is None:
        return None
    parts = (EDITION, clip.identity.digest, clip.identity.mtime_ns, clip.first_frame, clip.frame_count)
    digest = hashlib.sha256(f"{parts} {clip.geometry_key} {clip.deinterlace} {faces.align} {audio.digest}".encode())
    digest.update(hashlib.sha256(CARRIED_SYNCNET.read_bytes()).digest())
    for track in faces.tracks:
        digest.update(f"{track.start} {track.stop}".encode())
        for values in (track.boxes, track.landmarks, track.visible, track.opening):
            digest.update(np.ascontiguousarray(values).tobytes())
    return Path(folder) / f"{digest.hexdigest()[:32]}{SUFFIX}"


def write_signals(signals: SpeakerSignals, path: Path) -> None:
    """Writes signals into one file, atomically.

    Raises:
        OutputError: the file can't be written.
    """
    tracks = signals.tracks
    empty = np.zeros(0, np.float32)
    arrays: dict[str, Any] = {
        "frames": signals.frames,
        "level": signals.level,
        "speech": signals.speech,
        "table": np.array([(t.start, len(t.opening), len(t.sync_steps)) for t in tracks], np.int64).reshape(-1, 3),
        "opening": np.concatenate([empty, *(t.opening for t in tracks)]),
        "sync_steps": np.concatenate([empty.astype(np.int64), *(t.sync_steps for t in tracks)]),
        "sync": np.concatenate([np.zeros((0, READINGS), np.float32), *(t.sync for t in tracks)]),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)
    except OSError as problem:
        raise OutputError(
            f"can't save who speaks in {path.parent}: {os.strerror(problem.errno or 0) if problem.errno else problem}",
            "free disk space",
            Remedy.MOVE_WORK_FOLDER,
        ) from None


def read_signals(path: Path, tracks: int, frames: int) -> SpeakerSignals | None:
    """Reads what `write_signals` wrote; None if there is no file, or it isn't of so many tracks and frames."""
    try:
        check_array_sizes(path)
        with np.load(path, allow_pickle=False) as file:
            return _signals({name: file[name] for name in file}, tracks, frames)
    except FileNotFoundError:
        return None
    except READ_ERRORS as problem:
        log.warning("%s can't be used (%s): who speaks is looked for again", path, problem)
        return None


def _signals(arrays: dict[str, np.ndarray], track_count: int, frame_count: int) -> SpeakerSignals:
    """Builds signals from a file's untrusted arrays. ValueError: they don't fit together."""
    count, table = arrays["frames"].size, arrays["table"]
    expected = {
        "frames": ((count,), np.int64),
        "level": ((count,), np.float32),
        "speech": ((count,), np.bool_),
        "table": ((track_count, 3), np.int64),
    }
    _check(arrays, expected)
    if (table < 0).any() or (table[:, 0] + table[:, 1] > count).any():
        raise ValueError("its tracks lie outside of the clip")
    if not count or arrays["frames"].min() < 0 or arrays["frames"].max() >= frame_count:
        raise ValueError("its frames are not this clip's")
    rows, windows = int(table[:, 1].sum()), int(table[:, 2].sum())
    _check(
        arrays,
        {
            "opening": ((rows,), np.float32),
            "sync_steps": ((windows,), np.int64),
            "sync": ((windows, READINGS), np.float32),
        },
    )
    tracks, row, window = [], 0, 0
    for start, length, number in table.tolist():
        steps = arrays["sync_steps"][window : window + number]
        if number and (steps[0] < start or steps[-1] >= start + length or (np.diff(steps) < 1).any()):
            raise ValueError("its windows lie outside of their tracks")
        sync = arrays["sync"][window : window + number]
        tracks.append(TrackSignals(start, arrays["opening"][row : row + length], steps, sync))
        row, window = row + length, window + number
    return SpeakerSignals(arrays["frames"], arrays["level"], arrays["speech"], tuple(tracks))


def _check(arrays: dict[str, np.ndarray], expected: dict[str, tuple[tuple[int, ...], type]]) -> None:
    for name, (shape, dtype) in expected.items():
        if arrays[name].shape != shape or arrays[name].dtype != dtype:
            raise ValueError(f"{name} has an unexpected shape or type")
