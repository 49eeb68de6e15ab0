"""Opens a weights file, .pt or .safetensors, as data only; reports damaged and foreign files in one sentence.

What can be checked is checked before anything is loaded: that a file holds what it claims, and that reading it runs
nothing and takes no more memory than the file has bytes. The tensors stay in the file (memory-mapped).
"""

from __future__ import annotations

import os
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Hashable
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import BinaryIO

import torch

from ...errors import ModelError
from ...messages import Remedy
from ..names import check_path, first_line, one_line
from .pickle_scan import OversizedPickle, Storage, UnsafePickle, scan_pickle

MIN_SAFE_TORCH = (2, 6)  # PyTorch before this one runs code from a .pt file in spite of weights_only (CVE-2025-32434)
HEAD_BYTES = 512  # bytes that tell what a file is
MAX_DIRECTORY_BYTES = 16 * 2**20  # bytes of an archive's list of files, or of a safetensors file's list of tensors
MAX_PICKLE_BYTES = 16 * 2**20  # bytes; LatentSync's own has 0.3 million
LEGACY_PICKLES = 5  # magic number, version, system, content, keys of the storages that follow
LFS_POINTER = b"version https://git-lfs"
# What readers raise for a file that is not what they expect. Every kind is named: a broad catch would swallow ComfyUI's
# interrupt, which used to be an Exception of its own. RuntimeError includes RecursionError and NotImplementedError,
# ValueError all of Unicode's, ArithmeticError OverflowError, LookupError IndexError and KeyError.
READ_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    pickle.PickleError,
    SystemError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
)


def read_content(path: Path, remedy: Remedy | str) -> object:
    """What a .pt or .safetensors file holds: usually a dictionary of tensors, or of such dictionaries.

    Raises:
        ModelError: ending with `remedy`. No such file, an unusable name, a web page, a git-LFS pointer, cut short,
            damaged, code in the pickle, more claimed than the file holds, or a .pt file under PyTorch before 2.6.
    """
    check_path(path)
    try:
        if not path.is_file():
            raise ModelError(f"There is no file of weights at {path}.", remedy)
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as problem:
        raise ModelError(f"{path} can't be read ({problem.strerror or first_line(problem)}).", remedy) from None
    _check_is_weights(path, head, size, remedy)
    if _is_safetensors(path, head):
        return _read_safetensors(path, size, remedy)
    return _read_pickle(path, head, size, remedy)


def read_metadata(path: Path) -> dict[str, str]:
    """The texts that a safetensors file carries beside its tensors; none where it is no such file."""
    check_path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if not _is_safetensors(path, file.read(HEAD_BYTES)):
                return {}
        _check_header(path, size)
        return _open_safetensors(path, lambda file: dict(file.metadata() or {}))
    except READ_ERRORS:
        return {}


def torch_version() -> tuple[int, int]:
    """The running PyTorch's major and minor version."""
    numbers = re.match(r"(\d+)\.(\d+)", torch.__version__)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


def _check_is_weights(path: Path, head: bytes, size: int, remedy: Remedy | str) -> None:
    if head.startswith(LFS_POINTER):
        raise ModelError(
            f"{path} is a git-LFS pointer of {size} bytes, not the weights.", "fetch it with git LFS", remedy
        )
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise ModelError(f"{path} is a web page of {size} bytes saved under that name, not weights.", remedy)
    if size < 16:
        raise ModelError(f"{path} is cut short: it has only {size} bytes.", remedy)


def _damaged(path: Path, problem: BaseException, remedy: Remedy | str) -> ModelError:
    return ModelError(f"{path} is damaged or cut short ({first_line(problem)}).", remedy)


# --- safetensors


def _is_safetensors(path: Path, head: bytes) -> bool:
    return path.suffix.lower() == ".safetensors" or head[8:9] == b"{"


def _read_safetensors(path: Path, size: int, remedy: Remedy | str) -> dict[str, torch.Tensor]:
    try:
        _check_header(path, size)
        return _open_safetensors(
            path,
            lambda file: {key: file.get_tensor(key) for key in file.keys()},  # noqa: SIM118 (a file, not a mapping)
        )
    except READ_ERRORS as problem:
        raise ModelError(f"{path} is damaged or cut short at {size} bytes ({first_line(problem)}).", remedy) from None


def _check_header(path: Path, size: int) -> None:
    """ValueError where the list of tensors is longer than the file, or than any model's."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > size - 8:
        raise ValueError(f"its header claims {length} bytes")
    if length > MAX_DIRECTORY_BYTES:
        raise ValueError(f"its header has {length} bytes, more than the {MAX_DIRECTORY_BYTES} that are read")


def _open_safetensors(path: Path, read: Callable):
    """What `read` makes of the opened file; ValueError for what its library calls damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return read(file)
    except SafetensorError as problem:
        raise ValueError(first_line(problem)) from None


# --- pickles, in an archive or in a row as before PyTorch 1.6


def _read_pickle(path: Path, head: bytes, size: int, remedy: Remedy | str) -> object:
    is_archive = head.startswith(b"PK\3\4")
    if not is_archive and not head.startswith(b"\x80"):
        raise ModelError(f"{path} is no file of weights.", remedy)
    if torch_version() < MIN_SAFE_TORCH:
        raise ModelError(
            f"{path} is not opened: a .pt file can run code in PyTorch {torch.__version__} (CVE-2025-32434); use the "
            "same weights as .safetensors, or update PyTorch to 2.6 or newer."
        )
    try:
        if is_archive and not zipfile.is_zipfile(path):
            raise ModelError(f"{path} is cut short at {size} bytes: its end is missing.", remedy)
        if is_archive:
            _check_archive(path, size)
        else:
            _check_legacy(path, size)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)
    except UnsafePickle as problem:
        raise ModelError(
            f"{path} holds code besides weights ({one_line(problem)}), which was not run.", remedy
        ) from None
    except OversizedPickle as problem:
        raise ModelError(f"{path} claims more than it holds, {one_line(problem)}.", remedy) from None
    except READ_ERRORS as problem:
        raise _damaged(path, problem, remedy) from None


def _check_archive(path: Path, size: int) -> None:
    """Raises for an archive that PyTorch didn't write: compressed, or with less in it than its pickle claims."""
    with (
        path.open("rb") as file,
        zipfile.ZipFile(_SizeLimitedReader(file, MAX_DIRECTORY_BYTES + MAX_PICKLE_BYTES)) as archive,
    ):
        entries = archive.infolist()
        sizes = {entry.filename: entry.file_size for entry in entries}
        root = entries[0].filename.split("/")[0]
        if len(sizes) < len(entries) or entries[0].header_offset or f"{root}/data.pkl" not in sizes:
            raise ValueError("its files are not those of a checkpoint")
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
                raise OversizedPickle(f"{entry.filename} being compressed")
        if sum(sizes.values()) > size:
            raise OversizedPickle(f"{sum(sizes.values())} bytes in a file of {size}")
        if sizes[f"{root}/data.pkl"] > MAX_PICKLE_BYTES:
            raise OversizedPickle(f"a pickle of {sizes[f'{root}/data.pkl']} bytes")

        def check(storage: Storage) -> None:
            stored = sizes[f"{root}/data/{storage.key}"]
            if storage.bytes > stored:
                raise OversizedPickle(f"{storage.bytes} bytes of weights where {stored} are")

        scan_pickle(BytesIO(archive.read(f"{root}/data.pkl")), check)


def _check_legacy(path: Path, size: int) -> None:
    """The same for the form of before PyTorch 1.6."""
    claimed: dict[Hashable, int] = {}

    def check(storage: Storage) -> None:
        claimed[storage.key] = max(storage.bytes, claimed.get(storage.key, 0))
        if sum(claimed.values()) > size:
            raise OversizedPickle(f"{sum(claimed.values())} bytes of weights in a file of {size}")

    with path.open("rb") as file:
        bounded = _SizeLimitedReader(file, MAX_PICKLE_BYTES)
        for _ in range(LEGACY_PICKLES):
            scan_pickle(bounded, check)  # pyright: ignore[reportArgumentType]  # read, readline, tell: all it uses


class _SizeLimitedReader(RawIOBase):
    """A file of which no more than so many bytes are read, whatever lengths it claims; OversizedPickle beyond."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file, self._left = file, limit

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left + 1 if size < 0 else min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise OversizedPickle("a list of its parts that is larger than any model's")
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True
