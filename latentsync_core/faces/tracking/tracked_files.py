"""Files of what is tracked in parts: a clip's shots, and the faces of a range of its frames."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import OutputError
from ...files.scratch import atomic_write
from ...messages import Remedy
from ...models.checkpoints.weights_file import READ_ERRORS
from ..cache import check_array_sizes
from ..identity.embedding import EMBEDDING_SIZE
from ..tracks import PORTRAIT_SIZE
from .shot_log import ShotLog
from .tracklet import COLUMNS, TrackedFace

log = logging.getLogger(__name__)


def write_shots(shots: ShotLog, path: Path) -> None:
    """Writes a log of shots, atomically. Raises OutputError."""
    _write(path, {"starts": np.array(shots.starts, np.int64), "known_after": np.array(shots.known_after, np.int64)})


def read_shots(path: Path, frame_count: int) -> ShotLog | None:
    """What `write_shots` wrote; None if there is no file, or it isn't of a clip with so many frames."""
    arrays = _read(path, ("starts", "known_after"))
    if arrays is None:
        return None
    starts, known = arrays["starts"], arrays["known_after"]
    is_log = starts.ndim == 1 and starts.shape == known.shape and starts.dtype == known.dtype == np.int64
    if not is_log or (len(starts) and (starts.min() < 1 or starts.max() >= frame_count or known.max() > frame_count)):
        log.warning("%s can't be used: its shots are not this clip's", path)
        return None
    return ShotLog(tuple(starts.tolist()), tuple(known.tolist()))


def write_tracked(faces: list[TrackedFace], path: Path) -> None:
    """Writes the faces of a range of frames, atomically. Raises OutputError."""
    samples = [sample for face in faces for sample in face.samples]
    _write(
        path,
        {
            "lengths": np.array([(len(face.frames), len(face.samples)) for face in faces], np.int64).reshape(-1, 2),
            "frames": np.concatenate([np.zeros(0, np.int64), *(face.frames for face in faces)]),
            "rows": np.concatenate([np.zeros((0, COLUMNS), np.float32), *(face.rows for face in faces)]),
            "sample_frames": np.array([frame for frame, _, _ in samples], np.int64),
            "qualities": np.array([quality for _, quality, _ in samples], np.float64),
            "embeddings": np.array([one for _, _, one in samples], np.float32).reshape(-1, EMBEDDING_SIZE),
            "portraits": np.array([face.portrait for face in faces], np.uint8).reshape(
                -1, PORTRAIT_SIZE, PORTRAIT_SIZE, 3
            ),
            "portrait_frames": np.array([face.portrait_frame for face in faces], np.int64),
        },
    )


def read_tracked(path: Path, first: int, stop: int) -> list[TrackedFace] | None:
    """What `write_tracked` wrote; None if there is no file, or it isn't of the frames first..stop-1."""
    names = (
        "lengths", "frames", "rows", "sample_frames", "qualities", "embeddings", "portraits", "portrait_frames",
    )  # fmt: skip
    arrays = _read(path, names)
    if arrays is None:
        return None
    try:
        return _faces(arrays, first, stop)
    except ValueError as problem:
        log.warning("%s can't be used (%s): its frames are tracked again", path, problem)
        return None


def _faces(arrays: dict[str, np.ndarray], first: int, stop: int) -> list[TrackedFace]:
    """Builds faces from a file's untrusted arrays. ValueError: they don't fit together, or lie in other frames."""
    lengths = arrays["lengths"]
    if lengths.ndim != 2 or lengths.shape[1] != 2 or lengths.dtype != np.int64 or (lengths < (1, 0)).any():
        raise ValueError("its table has an unexpected shape or type")
    faces, (rows, samples) = len(lengths), lengths.sum(0).tolist()
    expected = {
        "frames": ((rows,), np.int64),
        "rows": ((rows, COLUMNS), np.float32),
        "sample_frames": ((samples,), np.int64),
        "qualities": ((samples,), np.float64),
        "embeddings": ((samples, EMBEDDING_SIZE), np.float32),
        "portraits": ((faces, PORTRAIT_SIZE, PORTRAIT_SIZE, 3), np.uint8),
        "portrait_frames": ((faces,), np.int64),
    }
    for name, (shape, dtype) in expected.items():
        if arrays[name].shape != shape or arrays[name].dtype != dtype:
            raise ValueError(f"{name} has an unexpected shape or type")
    if rows and not first <= arrays["frames"].min() <= arrays["frames"].max() < stop:
        raise ValueError("its faces lie in other frames")
    found, row, sample = [], 0, 0
    for number, (length, count) in enumerate(lengths.tolist()):
        frames = arrays["frames"][row : row + length]
        if (np.diff(frames) < 1).any():
            raise ValueError("its frames don't ascend")
        picked = range(sample, sample + count)
        found.append(
            TrackedFace(
                frames,
                arrays["rows"][row : row + length],
                tuple(
                    (int(arrays["sample_frames"][at]), float(arrays["qualities"][at]), arrays["embeddings"][at])
                    for at in picked
                ),
                arrays["portraits"][number],
                int(arrays["portrait_frames"][number]),
            )
        )
        row, sample = row + length, sample + count
    return found


def _write(path: Path, arrays: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)
    except OSError as problem:
        raise OutputError(
            f"can't save the tracked faces in {path.parent}: {problem.strerror or problem}",
            "free disk space",
            Remedy.MOVE_WORK_FOLDER,
        ) from None


def _read(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray] | None:
    try:
        check_array_sizes(path)
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except FileNotFoundError:
        return None
    except READ_ERRORS as problem:
        log.warning("%s can't be used (%s): it is made again", path, problem)
        return None
