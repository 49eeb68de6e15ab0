"""Reads a weights file's tensors by key and assigns them to a network; a mismatch is named by its first key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from ...errors import ModelError
from ...messages import Remedy
from ..names import one_line
from .weights_file import read_content

SHOWN_KEYS = 3
MAX_MAPPED_BYTES = 512 * 2**20  # bytes of a file that may count as this process's memory while its tensors are cast
FLOAT_DTYPES = {  # kinds that PyTorch can cast into the one that a network runs in; old ones lack the last two
    getattr(torch, name, torch.float32)
    for name in ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
}
WRAPPER_KEYS = ("state_dict", "model", "module")  # keys that training programs put the weights under


def read_tensors(path: Path, remedy: Remedy | str = Remedy.REPLACE_WITH_OFFICIAL) -> dict[str, torch.Tensor]:
    """The tensors of a .pt or .safetensors file by key, still in the file: memory is taken when one is copied or cast.

    A state dict inside is unwrapped, and the "module." that distributed training puts before keys is dropped. `remedy`
    ends the message of every error.

    Raises:
        ModelError: as read_content, or there are no tensors in it, or some that are no plain arrays.
    """
    content = read_content(path, remedy)
    if isinstance(content, Mapping):
        content = next((content[key] for key in WRAPPER_KEYS if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not content or not all(map(is_dense_tensor_entry, content.items())):
        raise ModelError(f"{path} is no checkpoint that we know: it holds {_describe(content)}.", remedy)
    return {key.removeprefix("module."): tensor for key, tensor in content.items()}


def is_dense_tensor_entry(item: tuple[object, object]) -> bool:
    """Whether an entry is a name with a plain array of numbers, all of which are there."""
    key, tensor = item
    return (
        isinstance(key, str)
        and isinstance(tensor, torch.Tensor)
        and tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and not (tensor.is_quantized or tensor.is_complex())
        and (tensor.dtype in FLOAT_DTYPES or not tensor.is_floating_point())
        and tensor.untyped_storage().nbytes() >= tensor.nbytes
    )


def fill(
    module: torch.nn.Module,
    read: Callable[[], Mapping[str, torch.Tensor]],
    what: str,
    device: torch.device,
    dtype: torch.dtype,
    on_tensor: Callable[[], None] | None = None,
    remedy: Remedy | str = Remedy.REPLACE_WITH_OFFICIAL,
    channels_last: bool | None = None,
) -> None:
    """Gives `module`, built on the meta device, its weights one tensor after the other, cast and moved on the way, so
    that never more than one copy of them is in memory. Weights already on `device` in `dtype` and in the layout wanted
    stay in their file.

    `read` opens the file, as read_tensors does; it is called again every so often. Buffers that the file lacks keep
    what the module made; keys that the module lacks are ignored.

    Raises:
        ModelError: naming the first key that is missing or has another shape, from `what` to `remedy`.
    """
    expected_tensors, tensors = module.state_dict(), read()
    check_state_dict(expected_tensors, tensors, what, remedy)
    assigned, copied = {}, 0
    turn = device.type != "cpu" if channels_last is None else channels_last
    for key, target in expected_tensors.items():
        tensor = tensors.get(key, target)
        layout = torch.channels_last if turn and tensor.ndim == 4 else torch.preserve_format
        assigned[key] = tensor.to(device, dtype if tensor.is_floating_point() else None, memory_format=layout)
        if assigned[key] is not tensor:
            copied += tensor.nbytes
        if copied > MAX_MAPPED_BYTES:
            # What was read of a mapped file counts as our memory until the mapping is gone, so we begin a new one.
            del tensor, tensors
            tensors, copied = read(), 0
        if on_tensor:
            on_tensor()
    module.load_state_dict(assigned, assign=True)
    module.requires_grad_(False).eval()


def check_state_dict(
    expected_tensors: Mapping[str, torch.Tensor],
    tensors: Mapping[str, torch.Tensor],
    what: str,
    remedy: Remedy | str = Remedy.REPLACE_WITH_OFFICIAL,
) -> None:
    """ModelError, from `what` to `remedy`, unless `tensors` has every weight of the state dict `expected_tensors` in
    its shape, as floats where those are."""
    for key, target in expected_tensors.items():
        if key not in tensors and target.is_meta:
            raise ModelError(f"{what}: it lacks {key} and holds {_describe(tensors)}.", remedy)
        if key in tensors and tensors[key].shape != target.shape:
            seen, expected = one_line(tuple(tensors[key].shape)), tuple(target.shape)
            raise ModelError(f"{what}: {key} has shape {seen} where {expected} is expected.", remedy)
        if key in tensors and target.is_floating_point() != tensors[key].is_floating_point():
            raise ModelError(f"{what}: {key} is {tensors[key].dtype} where {target.dtype} is expected.", remedy)


def _describe(content: object) -> str:
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    keys = list(content)[:SHOWN_KEYS]
    names = ", ".join(one_line(key) if isinstance(key, str) else f"a {type(key).__name__}" for key in keys)
    kind = "tensors" if content and all(map(torch.is_tensor, content.values())) else "entries"
    return f"{len(content)} {kind} ({names}{', ...' if len(content) > SHOWN_KEYS else ''})"
