"""The on-disk store of generated patches, one slot a frame, so that a film never sits in memory."""

from __future__ import annotations

import errno
import logging
import os
import weakref
from contextlib import ExitStack
from enum import Enum
from io import FileIO
from pathlib import Path

import numpy as np
import torch

from ..errors import OutputError
from ..files.output_checks import check_disk_space
from ..files.scratch import ScratchFolder
from ..messages import Remedy

_NUMPY_TYPES = {torch.float16: np.float16, torch.float32: np.float32}

log = logging.getLogger(__name__)


class PatchKind(Enum):
    """What the patches of a store are."""

    LATENTS = "latents"  # (4, h, w), for the codec to decode
    CROPS = "crops"  # (3, P, P) RGB in [0, 1]


class PatchStore:
    """Latents (or crops) of a clip's output frames, keyed by what they were made from.

    In a folder of the user's the store outlives the run: opened again under the same key it still has every finished
    frame, so an interrupted run goes on where it stopped. `remove_when_closed` ends that, once all is finished: then
    the files go with the object. Without a folder it lives in a temporary one of its own and goes with it. Closing is
    optional: an object that nothing refers to any more is closed by itself. Memory held: none but the patch at hand.

    Args:
        key: a digest of everything that the patches depend on.
        frames: F, slots in the store.
        shape: of one patch.
        dtype: float16 (half the disk; a latent's rounding is far below one 8-bit level) or float32.
        folder: where to keep the files.
        kind: what the patches are.
        remove_on_close: as if `remove_when_closed` had been called.
    """

    def __init__(
        self,
        key: str,
        frames: int,
        shape: tuple[int, ...],
        dtype: torch.dtype = torch.float16,
        folder: Path | None = None,
        *,
        kind: PatchKind = PatchKind.LATENTS,
        remove_on_close: bool = False,
    ) -> None:
        self.frames = frames
        self.shape = tuple(shape)
        self.dtype = dtype
        self.kind = kind
        self._slot_bytes = int(np.prod(shape)) * dtype.itemsize
        temporary = None
        if not folder:
            temporary = ScratchFolder()
            folder = temporary.path
        self._folder = Path(folder)
        sizes = {f"{key}.patches": frames * self._slot_bytes, f"{key}.finished": frames}
        with ExitStack() as opened:
            if temporary:
                opened.callback(temporary.close)
            try:
                if not _has_size(self._folder / f"{key}.patches", frames * self._slot_bytes):
                    (self._folder / f"{key}.finished").unlink(missing_ok=True)  # the patches that it tells of are gone
                self._folder.mkdir(parents=True, exist_ok=True)
                allocated = allocated_bytes(self._folder / f"{key}.patches")
                check_disk_space(
                    self._folder, frames * self._slot_bytes - allocated, "the finished faces", Remedy.MOVE_WORK_FOLDER
                )
                self._data, self._flags = (
                    opened.enter_context(open(_allocate(self._folder / name, size), "r+b", buffering=0))
                    for name, size in sizes.items()
                )
                self.finished = np.frombuffer(self._flags.read(), dtype=np.uint8).astype(bool)
            except OSError as error:
                raise _output_error(error, self._folder) from error
            opened.pop_all()
        self._removal = _Removal(remove_on_close)
        self._finalize = weakref.finalize(self, _finalize, (self._data, self._flags), temporary, self._removal)

    def put(self, frame: int, patch: torch.Tensor) -> None:
        """Writes one patch; it counts as finished only once all of it is written."""
        data = patch.detach().to("cpu", self.dtype).contiguous().numpy().tobytes()
        if len(data) != self._slot_bytes:
            raise ValueError(f"patch has shape {tuple(patch.shape)}, the store holds {self.shape}")
        try:
            _write_at(self._data, frame * self._slot_bytes, data)
            _write_at(self._flags, frame, b"\x01")
        except OSError as error:
            raise _output_error(error, self._folder) from error
        self.finished[frame] = True

    def get(self, frames: list[int]) -> torch.Tensor:
        """The patches of some finished frames: (n, *shape) float32."""
        missing = [frame for frame in frames if not self.finished[frame]]
        if missing:
            raise KeyError(f"frames {missing} have no patch yet")
        patches = []
        for frame in frames:
            self._data.seek(frame * self._slot_bytes)
            values = np.frombuffer(self._data.read(self._slot_bytes), dtype=_NUMPY_TYPES[self.dtype])
            patches.append(torch.from_numpy(values.astype(np.float32)).reshape(self.shape))
        return torch.stack(patches)

    def remove_when_closed(self) -> None:
        """From now on the files are removed when the store is closed, or nothing refers to it, or Python ends.

        For a store that is finished: nothing is left to go on with, and it serves only who holds it.
        """
        self._removal.remove = True

    def close(self) -> None:
        """Closes the files; a temporary store's are removed. Closing again does nothing."""
        self._finalize()

    def __enter__(self) -> PatchStore:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def gather_patches(source: Path, target: Path) -> None:
    """Adds the finished patches of all stores in the folder `source` to the stores of the same keys in `target`.

    Raises:
        OutputError: they can't be read or written.
    """
    try:
        for flags_path in sorted(source.glob("*.finished")):
            flags = np.frombuffer(flags_path.read_bytes(), np.uint8)
            data_path = flags_path.with_suffix(".patches")
            size = data_path.stat().st_size if data_path.is_file() else 0
            if not size or size % len(flags):
                continue  # made by a process that was killed before it had a patch
            slot_bytes, other_size = size // len(flags), _file_size(target / data_path.name)
            with ExitStack() as opened:
                patches = opened.enter_context(open(data_path, "rb", buffering=0))
                if other_size != size:
                    (target / flags_path.name).unlink(missing_ok=True)
                own, own_flags = (
                    opened.enter_context(open(_allocate(target / path.name, path.stat().st_size), "r+b", buffering=0))
                    for path in (data_path, flags_path)
                )
                finished = np.frombuffer(own_flags.read(), np.uint8)
                for frame in np.flatnonzero((flags != 0) & (finished == 0)).tolist():
                    patches.seek(frame * slot_bytes)
                    _write_at(own, frame * slot_bytes, patches.read(slot_bytes))
                    _write_at(own_flags, frame, b"\x01")
    except OSError as error:
        raise _output_error(error, target) from error


def allocated_bytes(path: Path) -> int:
    """What a file takes on disk, less than its size where it is sparse; 0 where there is none."""
    try:
        facts = path.stat()
    except OSError:
        return 0
    return getattr(facts, "st_blocks", facts.st_size // 512) * 512


class _Removal:
    """What becomes of a store's files; apart from the store, since it is asked when that is gone."""

    def __init__(self, remove: bool) -> None:
        self.remove = remove


def _finalize(files: tuple[FileIO, ...], temporary: ScratchFolder | None, removal: _Removal) -> None:
    """Closes a store's files, then (Windows removes no open file) removes them where that is their fate."""
    own = [Path(file.name) for file in files if removal.remove and _is_same_inode(file)]
    for file in files:
        file.close()
    try:
        for path in own:
            path.unlink(missing_ok=True)
    except OSError as problem:  # another store has it open; nobody could be told
        log.warning("%s is left behind: %s", problem.filename, problem.strerror or problem)
    if temporary:
        temporary.close()


def _is_same_inode(file: FileIO) -> bool:
    """Whether the open file is the one of its name, not one that another store removed and recreated."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(file.name))
    except OSError:
        return False


def _has_size(path: Path, size: int) -> bool:
    return _file_size(path) == size


def _file_size(path: Path) -> int | None:
    """A file's bytes; None where there is none."""
    return path.stat().st_size if path.is_file() else None


def _allocate(path: Path, size: int) -> Path:
    """Makes `path` a file of `size` bytes, zero where new (sparse where the file system can)."""
    with open(path, "ab") as file:
        if file.tell() != size:
            file.truncate(0)
            file.truncate(size)
    return path


def _write_at(file, offset: int, data: bytes) -> None:  # an unbuffered file may take only part of what it is given
    file.seek(offset)
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _output_error(error: OSError, folder: Path) -> OutputError:
    if error.errno == errno.ENOSPC:
        return OutputError(f"no room left in {folder} for the finished faces", "free some", Remedy.MOVE_WORK_FOLDER)
    return OutputError(f"can't keep the finished faces in {folder}: {error.strerror}", Remedy.MOVE_WORK_FOLDER)
