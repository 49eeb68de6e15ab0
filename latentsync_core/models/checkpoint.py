"""Reads a file of weights without running what is in it, and says plainly what is wrong with one that is none."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from ..errors import ModelError

HEAD = 512  # bytes that tell what a file is
SHOWN_KEYS = 3
MAPPED_AT_ONCE = 512 * 2**20  # bytes of a file that may count as this process's memory while its tensors are cast
OFFICIAL = "get the official file with `python -m latentsync_core download latentsync-1.6`"
# What torch says of a pickle with something in it that would be called, rather than of one that is damaged or none.
SIGNS_OF_CODE = ("Unsupported global", "Unsupported class", "REDUCE")
WRAPPERS = ("state_dict", "model", "module")  # keys that training programs put the weights under
LFS_POINTER = b"version https://git-lfs"


def read_tensors(path: Path, remedy: str = OFFICIAL) -> dict[str, torch.Tensor]:
    """The tensors of a .pt or .safetensors file by key, still in the file: memory is taken when one is copied or cast.

    A state dict inside is unwrapped, and the "module." that distributed training puts before keys is dropped. `remedy`
    ends the message of every error.

    Raises:
        ModelError: no such file, a web page, a git-LFS pointer, cut short, code in the pickle, or no tensors in it.
    """
    if not path.is_file():
        raise ModelError(f"There is no file of weights at {path}; {remedy}.")
    with path.open("rb") as file:
        head = file.read(HEAD)
    _refuse_what_is_no_weights(path, head, remedy)
    is_safetensors = path.suffix == ".safetensors" or head[8:9] == b"{"
    content = _read_safetensors(path, remedy) if is_safetensors else _read_pickle(path, head, remedy)
    if isinstance(content, Mapping):
        content = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not content or not all(map(torch.is_tensor, content.values())):
        raise ModelError(f"{path} is no checkpoint that we know: it holds {_describe(content)}; {remedy}.")
    return {str(key).removeprefix("module."): tensor for key, tensor in content.items()}


def fill(
    module: torch.nn.Module,
    read: Callable[[], Mapping[str, torch.Tensor]],
    what: str,
    device: torch.device,
    dtype: torch.dtype,
    on_tensor: Callable[[], None] | None = None,
    remedy: str = OFFICIAL,
) -> None:
    """Gives `module`, built on the meta device, its weights one tensor after the other, cast and moved on the way, so
    that never more than one copy of them is in memory. Weights already on `device` in `dtype` stay in their file.

    `read` opens the file, as read_tensors does; it is called again every so often. Buffers that the file lacks keep
    what the module made; keys that the module lacks are ignored.

    Raises:
        ModelError: naming the first key that is missing or has another shape, from `what` to `remedy`.
    """
    slots, tensors = module.state_dict(), read()
    check_fit(slots, tensors, what, remedy)
    placed, copied = {}, 0
    for key, slot in slots.items():
        tensor = tensors.get(key, slot)
        # Convolutions run on channels-last pictures; a GPU would turn their weights around at every call.
        turned = tensor.ndim == 4 and device.type != "cpu"
        layout = torch.channels_last if turned else torch.preserve_format
        placed[key] = tensor.to(device, dtype if tensor.is_floating_point() else None, memory_format=layout)
        if placed[key] is not tensor:
            copied += tensor.nbytes
        if copied > MAPPED_AT_ONCE:
            # What was read of a mapped file counts as our memory until the mapping is gone, so we begin a new one.
            del tensor, tensors
            tensors, copied = read(), 0
        if on_tensor:
            on_tensor()
    module.load_state_dict(placed, assign=True)
    module.requires_grad_(False).eval()


def check_fit(
    slots: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor], what: str, remedy: str = OFFICIAL
) -> None:
    """ModelError, from `what` to `remedy`, unless `tensors` has every weight of the state dict `slots` in its shape."""
    for key, slot in slots.items():
        if key not in tensors and slot.is_meta:
            raise ModelError(f"{what}: it lacks {key} and holds {_describe(tensors)}; {remedy}.")
        if key in tensors and tensors[key].shape != slot.shape:
            seen, expected = tuple(tensors[key].shape), tuple(slot.shape)
            raise ModelError(f"{what}: {key} has shape {seen} where {expected} is expected; {remedy}.")


def _refuse_what_is_no_weights(path: Path, head: bytes, remedy: str) -> None:
    size = path.stat().st_size
    if head.startswith(LFS_POINTER):
        raise ModelError(
            f"{path} is a git-LFS pointer of {size} bytes, not the weights; run `git lfs pull`, or {remedy}."
        )
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise ModelError(f"{path} is a web page of {size} bytes saved under that name, not weights; {remedy}.")
    if size < 16:
        raise ModelError(f"{path} is cut short: it has only {size} bytes; {remedy}.")
    if head.startswith(b"PK") and not zipfile.is_zipfile(path):
        raise ModelError(f"{path} is cut short at {size} bytes: its end is missing; {remedy}.")


def _read_safetensors(path: Path, remedy: str) -> Mapping[str, torch.Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (a file, not a mapping)
    except SafetensorError as problem:
        size = path.stat().st_size
        raise ModelError(f"{path} is damaged or cut short at {size} bytes ({problem}); {remedy}.") from None


def _read_pickle(path: Path, head: bytes, remedy: str) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=head.startswith(b"PK"))
    except pickle.UnpicklingError as problem:
        if any(word in str(problem) for word in SIGNS_OF_CODE):
            raise ModelError(f"{path} holds code besides weights, which was not run; {remedy}.") from None
        raise ModelError(f"{path} is no file of weights; {remedy}.") from None
    except (RuntimeError, EOFError, ValueError, KeyError) as problem:
        raise ModelError(f"{path} is damaged or cut short ({_first_line(problem)}); {remedy}.") from None


def _first_line(problem: BaseException) -> str:
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0].rstrip(".")


def _describe(content: object) -> str:
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    names = ", ".join(map(str, list(content)[:SHOWN_KEYS]))
    kind = "tensors" if content and all(map(torch.is_tensor, content.values())) else "entries"
    return f"{len(content)} {kind} ({names}{', ...' if len(content) > SHOWN_KEYS else ''})"
