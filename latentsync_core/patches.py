"""The store of finished face patches: on disk, one slot a frame, so that a film's worth never sits in memory."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

import numpy as np
import torch

from .errors import OutputError

_NUMPY_TYPES = {torch.float16: np.float16, torch.float32: np.float32}


class PatchStore:
    """Latents (or crops) of a clip's output frames, keyed by what they were made from.

    In a folder of the user's the store outlives the run: opened again under the same key it still has every finished
    frame, so an interrupted run goes on where it stopped. Without a folder it lives in a temporary one of its own and
    goes with it. Memory held: none but the patch at hand.

    Args:
        key: a digest of everything that the patches depend on.
        frames: F, slots in the store.
        shape: of one patch.
        dtype: float16 (half the disk; a latent's rounding is far below one 8-bit level) or float32.
        folder: where to keep the files.
    """

    def __init__(
        self,
        key: str,
        frames: int,
        shape: tuple[int, ...],
        dtype: torch.dtype = torch.float16,
        folder: Path | None = None,
    ) -> None:
        self.frames = frames
        self.shape = tuple(shape)
        self.dtype = dtype
        self._temporary = None if folder else tempfile.TemporaryDirectory(prefix="latentsync_dub_")
        folder = Path(folder or self._temporary.name)
        self._slot_bytes = int(np.prod(shape)) * dtype.itemsize
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._data = open(_at_size(folder / f"{key}.patches", frames * self._slot_bytes), "r+b", buffering=0)  # noqa: SIM115
            self._flags = open(_at_size(folder / f"{key}.finished", frames), "r+b", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise _output_error(error, folder) from error
        self._folder = folder
        self.finished = np.frombuffer(self._flags.read(), dtype=np.uint8).astype(bool)

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

    def close(self) -> None:
        """Closes the files; a temporary store's are removed."""
        self._data.close()
        self._flags.close()
        if self._temporary:
            self._temporary.cleanup()

    def __enter__(self) -> PatchStore:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _at_size(path: Path, size: int) -> Path:
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
        return OutputError(f"no room left in {folder} for the finished faces; free some or choose another work folder")
    return OutputError(f"can't keep the finished faces in {folder}: {error.strerror}; choose another work folder")
