"""Scans a pickle of weights without executing it: what it would call, and how much it would build.

PyTorch's own `weights_only` lets a pickle make byte arrays and tensors of any size, and tuples that take years to hash;
both fit into a few hundred bytes. Here a pickle may hold what state dicts hold, and claim no more than its file has.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

MAX_OPCODES = 300_000  # a pickle of 1000 tensors has 30 000
MAX_VALUES = 10_000_000  # values in all, a value that is used twice counting twice
BYTES_BY_STORAGE = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8, "IntStorage": 4,
    "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1, "UntypedStorage": 1,
    "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16,
}  # fmt: skip
REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"
ALLOWED_GLOBALS = {
    REBUILD_TENSOR,
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_parameter_with_state",
    "torch._tensor _rebuild_from_type_v2",
    "torch.nn.parameter Parameter",
    "torch Tensor",
    "torch Size",
    "torch device",
    "collections OrderedDict",
    "collections Counter",
    "torch.storage UntypedStorage",
    *(f"torch {name}" for name in BYTES_BY_STORAGE),
    *(f"torch {name}" for name in ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")),
    *(f"torch {name}" for name in ("int64", "int32", "int16", "int8", "uint8", "bool")),
}
# What PyTorch's reader of weights follows; the rest it refuses.
ALLOWED_OPCODES = {
    "PROTO", "STOP", "MARK", "GLOBAL", "BINPERSID", "NEWOBJ", "REDUCE", "BUILD", "APPEND", "APPENDS", "SETITEM",
    "SETITEMS", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET", "NONE",
    "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING",
    "BINGET", "LONG_BINGET", "BINPUT", "LONG_BINPUT",
}  # fmt: skip
CALLING_OPCODES = {"STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "NEWOBJ_EX"}
# Names of values and of types, which would make something of any size when called with a number.
UNCALLABLE_GLOBALS = {"torch Tensor", "torch.storage UntypedStorage", *(f"torch {name}" for name in BYTES_BY_STORAGE)}


class UnsafePickle(Exception):
    """The pickle would call something that weights don't need; the message names it."""


class OversizedPickle(Exception):
    """The pickle would build more than a file of weights can hold; the message says what."""


class Storage(NamedTuple):
    """A run of values in the file, as the pickle claims it."""

    key: Any
    values: int
    bytes: int


@dataclass(frozen=True)
class _Global:
    """A function or class that the pickle names."""

    name: str


class _StackValue(NamedTuple):
    """A value on the unpickler's stack: how many values it is made of, and itself where it is one that we follow."""

    weight: int
    value: Any = None


_UNTRACKED = _StackValue(1)


def scan_pickle(file: BinaryIO, on_storage: Callable[[Storage], None]) -> None:
    """Reads one pickle from where `file` stands; leaves it behind the pickle's end.

    Every storage that it claims is handed to `on_storage`. Raises ForeignPickle, OversizedPickle; for what is no pickle
    ValueError, IndexError, KeyError, TypeError, AttributeError or OverflowError.
    """
    stack: list[_StackValue | None] = []  # None: a mark
    memo: dict[Hashable, _StackValue] = {}
    for count, (operation, argument, _) in enumerate(pickletools.genops(file)):
        if count > MAX_OPCODES:
            raise OversizedPickle(f"a list of more than {MAX_OPCODES} steps")
        name = operation.name
        if name in CALLING_OPCODES:
            raise UnsafePickle(name)
        if name not in ALLOWED_OPCODES:
            raise ValueError(f"the operation {name}")
        if name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = _without_mark(stack[-1])
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "MARK":
            stack.append(None)
        elif name == "GLOBAL":
            if argument not in ALLOWED_GLOBALS:
                raise UnsafePickle(str(argument).replace(" ", "."))
            stack.append(_StackValue(1, _Global(argument)))
        else:
            operands = _pop_operands(stack, operation.stack_before)
            weight = 1 + sum(part.weight for part in operands)
            if weight > MAX_VALUES:
                raise OversizedPickle(f"more than {MAX_VALUES} values out of {count} steps")
            stack += [_result(name, argument, operands, weight, on_storage)] * len(operation.stack_after)


def _pop_operands(stack: list, expected: Iterable) -> list[_StackValue]:
    """Pops what an operation takes, in order."""
    expected = list(expected)
    operands: list[_StackValue] = []
    if pickletools.markobject in expected:
        while (part := stack.pop()) is not None:
            operands.append(part)
        expected = expected[: expected.index(pickletools.markobject)]
    operands += [_without_mark(stack.pop()) for _ in expected]
    return operands[::-1]


def _without_mark(value: _StackValue | None) -> _StackValue:
    if value is None:
        raise ValueError("a mark where a value is due")
    return value


def _result(
    name: str, argument: Any, operands: list[_StackValue], weight: int, on_storage: Callable[[Storage], None]
) -> _StackValue:
    """What an operation leaves on the stack."""
    if name in ("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
        return _StackValue(weight, tuple(part.value for part in operands))
    if name == "BINPERSID":
        storage = _storage(operands[0].value)
        on_storage(storage)
        return _StackValue(weight, storage)
    if name in ("REDUCE", "NEWOBJ"):
        _check_call(operands[0].value, operands[1].value)
        return _StackValue(weight)
    if name in ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "BUILD"):
        return _StackValue(weight, operands[0].value)
    return _UNTRACKED if not operands and argument is None else _StackValue(weight, argument)


def _storage(claim: Any) -> Storage:
    """Reads ("storage", type, key, device, values) and what old files put behind it."""
    kind, named, key, _device, values = claim[:5]
    if kind != "storage" or not isinstance(named, _Global) or not isinstance(values, int) or values < 0:
        raise ValueError("no storage")
    return Storage(key, values, values * BYTES_BY_STORAGE[named.name.rpartition(" ")[2]])


def _check_call(function: Any, arguments: Any) -> None:
    if not isinstance(function, _Global) or not isinstance(arguments, tuple):
        raise ValueError("a call of nothing")
    if function.name in UNCALLABLE_GLOBALS:
        raise UnsafePickle(function.name.replace(" ", "."))
    if function.name == "torch._tensor _rebuild_from_type_v2":
        _check_call(arguments[0], arguments[2])
    if function.name == REBUILD_TENSOR:
        storage, offset, size, stride = arguments[:4]
        if not isinstance(storage, Storage):
            raise ValueError("a tensor of nothing")
        last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
        numbers = (offset, *size, *stride)
        if min(numbers) < 0 or (0 not in size and (last >= storage.values or math.prod(size) > storage.values)):
            raise OversizedPickle(f"a tensor of shape {_short(size)} out of {storage.values} stored values")


def _short(size: tuple) -> str:
    return str(tuple(size))[:60]
