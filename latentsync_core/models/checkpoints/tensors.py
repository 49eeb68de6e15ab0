"""The tensors of a file of weights by key, and how a network is given them; a misfit is named by its first key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from ...errors import ModelError
from ..names import shown
from .weights_file import read_content

SHOWN_KEYS = 3
MAPPED_AT_ONCE = 512 * 2**20  # bytes of a file that may count as this process's memory while its tensors are cast
OFFICIAL = "get the official file with `python -m latentsync_core download latentsync-1.6`"
FLOATS = {  # kinds that PyTorch can cast into the one that a network runs in; old ones lack the last two
    getattr(torch, name, torch.float32)
    for name in ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
}
WRAPPERS = ("state_dict", "model", "module")  # keys that training programs put the weights under


def read_tensors(path: Path, remedy: str = OFFICIAL) -> dict[str, torch.Tensor]:
    """The tensors of a .pt or .safetensors file by key, still in the file: memory is taken when one is copied or cast.

    A state dict inside is unwrapped, and the "module." that distributed training puts before keys is dropped. `remedy`
    ends the message of every error.

    Raises:
        ModelError: as read_content, or there are no tensors in it, or some that are no plain arrays.
    """
    content = read_content(path, remedy)
    if isinstance(content, Mapping):
        content = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not content or not all(map(is_plain, content.items())):
        raise ModelError(f"{path} is no checkpoint that we know: it holds {_describe(content)}; {remedy}.")
    return {key.removeprefix("module."): tensor for key, tensor in content.items()}


def is_plain(item: tuple[object, object]) -> bool:
    """Whether an entry is a name with a plain array of numbers, all of which are there."""
    key, tensor = item
    return (
        isinstance(key, str)
        and isinstance(tensor, torch.Tensor)
        and tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and not (tensor.is_quantized or tensor.is_complex())
        and (tensor.dtype in FLOATS or not tensor.is_floating_point())
        and tensor.untyped_storage().nbytes() >= tensor.nbytes
    )


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
    """ModelError, from `what` to `remedy`, unless `tensors` has every weight of the state dict `slots` in its shape,
    as floats where those are."""
    for key, slot in slots.items():
        if key not in tensors and slot.is_meta:
            raise ModelError(f"{what}: it lacks {key} and holds {_describe(tensors)}; {remedy}.")
        if key in tensors and tensors[key].shape != slot.shape:
            seen, expected = shown(tuple(tensors[key].shape)), tuple(slot.shape)
            raise ModelError(f"{what}: {key} has shape {seen} where {expected} is expected; {remedy}.")
        if key in tensors and slot.is_floating_point() != tensors[key].is_floating_point():
            raise ModelError(f"{what}: {key} is {tensors[key].dtype} where {slot.dtype} is expected; {remedy}.")


def _describe(content: object) -> str:
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    keys = list(content)[:SHOWN_KEYS]
    names = ", ".join(shown(key) if isinstance(key, str) else f"a {type(key).__name__}" for key in keys)
    kind = "tensors" if content and all(map(torch.is_tensor, content.values())) else "entries"
    return f"{len(content)} {kind} ({names}{', ...' if len(content) > SHOWN_KEYS else ''})"
