"""Caches a clip's faces on disk, keyed by the clip's content and the request."""

from __future__ import annotations

import hashlib
import logging
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OutputError
from ..files.scratch import atomic_write
from ..messages import Remedy
from ..models.checkpoints.weights_file import READ_ERRORS
from ..video.clip import Clip, FileIdentity
from .alignment.align_options import AlignOptions
from .face_tracks import FaceTracks
from .identity.embedding import EMBEDDING_SIZE
from .limits import TouchLimits
from .tracks import PER_FRAME, PORTRAIT_SIZE, FaceTrack

CACHE_VERSION = 3  # raised whenever detection or tracking gives other results
SUFFIX = ".faces.npz"
PER_TRACK = {"portrait": (PORTRAIT_SIZE, PORTRAIT_SIZE, 3), "embedding": (EMBEDDING_SIZE,)}  # shapes
TYPES = {"visible": np.bool_, "portrait": np.uint8}  # float32 else
ADDED_COLUMNS = {"opening"}  # since 0.2.0: unknown, NaN, in earlier files
FORMER_NAMES = {"flip_error": "doubt"}  # a field's name in files before 0.2.0, which stay readable

log = logging.getLogger(__name__)


def cached_faces(
    clip: Clip,
    request: str,
    folder: Path | None,
    align: AlignOptions,
    limits: TouchLimits,
    prepare: Callable[[], FaceTracks],
) -> FaceTracks:
    """The clip's faces from `folder`, or else those that `prepare` finds, which are saved there.

    In-memory clips are never cached. `align` and `limits` may differ from those of the first run: neither changes what
    is found.

    Args:
        request: everything that `prepare` depends on, as text.
        folder: of the cache; None disables it.

    Raises:
        OutputError: `folder` can't be written to.
    """
    if folder is None or clip.identity is None:
        return prepare()
    path = Path(folder) / f"{_key(clip, clip.identity, request)}{SUFFIX}"
    cached = read_faces(path, clip, align, limits)
    if cached is None:
        cached = prepare()
        write_faces(cached, path)
    return cached


def write_faces(faces: FaceTracks, path: Path) -> None:
    """Writes tracks and shots into one file, atomically.

    Raises:
        OutputError: the file can't be written.
    """
    tracks = faces.tracks
    columns = {name: [getattr(track, name) for track in tracks] for name in (*PER_FRAME, "portrait")}
    columns["embedding"] = [np.full(EMBEDDING_SIZE, np.nan) if t.embedding is None else t.embedding for t in tracks]
    table = [(track.start, track.stop, track.person, track.by_hand) for track in tracks]
    arrays = {name: np.concatenate(rows) for name, rows in columns.items() if name in PER_FRAME}
    arrays |= {name: np.stack(rows) for name, rows in columns.items() if name in PER_TRACK}
    named: dict[str, Any] = {name: values.astype(TYPES.get(name, np.float32)) for name, values in arrays.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial, partial.open("wb") as file:
            np.savez(file, tracks=np.array(table, np.int64), shots=np.array(faces.shots, np.int64), **named)
    except OSError as problem:
        raise OutputError(
            f"can't save the faces of {faces.clip.name} in {path.parent}: {problem.strerror or problem}",
            "free disk space",
            Remedy.MOVE_WORK_FOLDER,
        ) from None


def read_faces(path: Path, clip: Clip, align: AlignOptions, limits: TouchLimits) -> FaceTracks | None:
    """Reads what `write_faces` wrote; None if there is no file, or it doesn't fit this clip."""
    try:
        check_array_sizes(path)
        with np.load(path, allow_pickle=False) as file:
            names = {"tracks", "shots", *PER_FRAME, *PER_TRACK} - (ADDED_COLUMNS - {*file})
            arrays = {name: file[name if name in file else FORMER_NAMES.get(name, name)] for name in names}
        for name in ADDED_COLUMNS - arrays.keys():
            arrays[name] = np.full((arrays["visible"].size, *PER_FRAME[name]), np.nan, np.float32)
        return _faces(arrays, clip, align, limits)
    except FileNotFoundError:
        return None
    except READ_ERRORS as problem:
        log.warning("%s can't be used (%s): the faces are detected again", path, problem)
        return None


def check_array_sizes(path: Path) -> None:
    """Raises ValueError where an array's header claims more bytes than the file has: the header is untrusted."""
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as data:
                version = np.lib.format.read_magic(data)
                shape, _, dtype = (
                    np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                )(data)
            if math.prod(shape) * dtype.itemsize > size or member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{member.filename} claims more than the file holds")


def _faces(arrays: dict[str, np.ndarray], clip: Clip, align: AlignOptions, limits: TouchLimits) -> FaceTracks:
    """Builds the faces from a file's untrusted arrays. ValueError: they don't describe faces of this clip."""
    table, shots = arrays["tracks"], arrays["shots"]
    if table.ndim != 2 or table.shape[1] != 4 or not len(table) or shots.ndim != 2 or shots.shape[1] != 2:
        raise ValueError("its tables have unexpected shapes")
    lengths = table[:, 1] - table[:, 0]
    edges = np.concatenate([shots[:1, 0], shots[:, 1]]) if len(shots) else np.zeros(0)
    if (
        (lengths < 1).any() or table[:, 0].min() < 0 or table[:, 1].max() > clip.frame_count
        or not len(shots) or edges[0] != 0 or edges[-1] != clip.frame_count
        or (shots[:, 0] != edges[:-1]).any() or (np.diff(edges) < 1).any()
    ):  # fmt: skip
        raise ValueError("its frames are not this clip's")
    for name, shape in {**PER_FRAME, **PER_TRACK}.items():
        rows = lengths.sum() if name in PER_FRAME else len(table)
        if arrays[name].shape != (rows, *shape) or arrays[name].dtype != TYPES.get(name, np.float32):
            raise ValueError(f"{name} has an unexpected shape or type")
    ends = np.cumsum(lengths)
    tracks = []
    for number, (start, _, person, by_hand) in enumerate(table.tolist()):
        rows = slice(int(ends[number] - lengths[number]), int(ends[number]))
        own = {name: arrays[name][rows] for name in PER_FRAME}
        known = np.isfinite(arrays["embedding"][number]).all()
        tracks.append(
            FaceTrack(
                track_id=number,
                start=start,
                **own,
                portrait=arrays["portrait"][number],
                embedding=arrays["embedding"][number] if known else None,
                person=person,
                by_hand=bool(by_hand),
            )
        )
        seen = tracks[-1].visible
        if not (np.isfinite(own["boxes"][seen]).all() and np.isfinite(own["landmarks"][seen]).all()):
            raise ValueError("a visible face has no finite position")
    return FaceTracks(clip, tuple(tracks), tuple((int(a), int(b)) for a, b in shots), align, limits)


def _key(clip: Clip, file: FileIdentity, request: str) -> str:
    parts = (CACHE_VERSION, file.digest, file.mtime_ns, clip.first_frame, clip.frame_count, request + clip.geometry_key)
    parts += ("deinterlaced",) if clip.deinterlace else ()
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
