"""Checks every value that reaches a node by its schema, whether from a widget or over a link.

ComfyUI checks what stands in widgets; a value that comes over a link, from a socket of any type, it doesn't, and old
ComfyUIs don't look at lists of choices. A prompt may also hold a plain value where a socket is meant.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from numbers import Integral, Real
from typing import Any

import torch
from comfy_api.latest import io

from ..latentsync_core.audio.features import AudioEmbedding
from ..latentsync_core.dubbing.lines.line_formats import Dialogue
from ..latentsync_core.errors import AudioError, OptionError
from ..latentsync_core.faces.face_tracks import FaceTracks
from ..latentsync_core.sampling.sampler_options import SamplerOptions
from ..latentsync_core.sampling.synced_faces import SyncedFaces
from ._managed_model import ManagedModel
from ._sockets import Audio, Faces, Lines, Model, Synced, Trepa, WithTensors
from ._wording import errors_in_node_words

MAX_LISTED_CHOICES = 8  # choices that a message lists
MAX_SHOWN_CHARACTERS = 60  # characters of a value that a message repeats


def check_inputs(
    execute: Callable[..., io.NodeOutput] | None = None, *, lists: Collection[str] = ()
) -> Callable[..., Any]:
    """Makes a node's `execute` take only what its schema describes; a LatentSyncError names the first misfit.

    Every LatentSyncError, also of the engine, is raised in the words of that node.

    Args:
        lists: inputs that a node with `is_input_list` takes whole, each of their values being checked; of all others
            it takes the first value.
    """
    if execute is None:
        return functools.partial(check_inputs, lists=lists)

    @functools.wraps(execute)
    def run(cls: type[io.ComfyNode], **values: Any) -> io.NodeOutput:
        declared_schema = cls.define_schema()
        inputs = {declared.id: declared for declared in declared_schema.inputs}
        if declared_schema.is_input_list:
            values = {name: _first_of(inputs.get(name), value, lists) for name, value in values.items()}
        given = {
            name: value for name, value in values.items() if value is not None or not _is_optional(inputs.get(name))
        }
        with errors_in_node_words(inputs):
            return execute(cls, **{name: _check_input(inputs.get(name), name, value) for name, value in given.items()})

    return run


def _first_of(declared: io.Input | None, values: Any, lists: Collection[str]) -> Any:
    """Of what a node that takes lists is given: all of an input in `lists`, of every other the first."""
    if declared is None or declared.id in lists or not isinstance(values, list):
        return values
    return values[0] if values else None


def _is_optional(declared: io.Input | None) -> bool:
    """Whether the input may be absent; null counts as absent, and `execute`'s own default as its value then."""
    return declared is not None and declared.optional


def _check_input(declared: io.Input | None, name: str, value: Any) -> Any:
    """The value as the node may use it; the values of a list of sounds one by one."""
    if declared is None:
        return value
    if declared.io_type == "AUDIO" and isinstance(value, list):
        return [_check_audio(declared, f"{name} {number}", each) for number, each in enumerate(value, 1)]
    check = _CHECKS.get(declared.io_type)
    return check(declared, name, value) if check else value  # a clip: clip_of looks at what it is


def _check_int(declared: io.Int.Input, name: str, value: Any) -> int:
    is_whole = isinstance(value, Integral) or (isinstance(value, Real) and value == value // 1)  # NaN never is
    if isinstance(value, bool) or not is_whole or not declared.min <= value <= declared.max:
        raise OptionError(f"{name} is {_describe(value)}; use a whole number from {declared.min} to {declared.max}")
    return int(value)


def _check_float(declared: io.Float.Input, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not declared.min <= value <= declared.max:
        raise OptionError(f"{name} is {_describe(value)}; use a number from {declared.min:g} to {declared.max:g}")
    return float(value)


def _check_bool(_declared: io.Boolean.Input, name: str, value: Any) -> bool:
    if not isinstance(value, (bool, Integral)) or value not in (0, 1):
        raise OptionError(f"{name} is {_describe(value)}; use true or false")
    return bool(value)


def _check_combo(declared: io.Combo.Input, name: str, value: Any) -> str:
    if not isinstance(value, str) or value not in declared.options:
        named = ", ".join(map(str, declared.options[:MAX_LISTED_CHOICES]))
        more = ", ..." if len(declared.options) > MAX_LISTED_CHOICES else ""
        raise OptionError(f"{name} is {_describe(value)}; choose one of {named}{more}")
    return value


def _check_string(_declared: io.String.Input, name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise OptionError(f"{name} is {_describe(value)}; write a text")
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise OptionError(f"{name} is {_describe(value)}, with characters that are no text; write it again")
    return value


def _check_audio(_declared: io.Audio.Input, name: str, value: Any) -> Mapping | None:
    """A mapping; never a path, by which a prompt could read any file of this machine. The engine looks at the rest."""
    if value is not None and not isinstance(value, Mapping):
        raise AudioError(f"{name} is {_describe(value)}, not a sound; connect an AUDIO, from Load Audio")
    return value


def _check_image(_declared: io.Image.Input, name: str, value: Any) -> torch.Tensor:
    _check_tensor(name, value, (4,), "an IMAGE")
    if value.shape[-1] not in (3, 4):
        raise OptionError(f"{name} has {value.shape[-1]} channels; connect an IMAGE with 3 or 4")
    return value


def _check_mask(_declared: io.Mask.Input, name: str, value: Any) -> torch.Tensor:
    _check_tensor(name, value, (2, 3), "a MASK")
    if not all(picture.isfinite().all() for picture in value):
        raise OptionError(f"{name} has values that are not numbers; make the mask again")
    return value


def _check_tensor(name: str, value: Any, dimensions: tuple[int, ...], expected: str) -> None:
    if not isinstance(value, torch.Tensor):
        raise OptionError(f"{name} is {_describe(value)}; connect {expected}")
    if value.ndim not in dimensions or not value.is_floating_point() or not value.numel():
        raise OptionError(
            f"{name} is {value.dtype} of shape {tuple(value.shape)}; connect {expected} with pictures in it"
        )


def _check_vae(_declared: io.Vae.Input, name: str, value: Any) -> Any:
    if not all(hasattr(value, part) for part in ("encode", "decode", "first_stage_model")):
        raise OptionError(f"{name} is {_describe(value)}; connect a VAE, from Load VAE")
    return value


def _socket_check(kind: type, source: str) -> Callable[[io.Input, str, Any], Any]:
    """A check of a socket of our own: a value of that kind, or one held beside its tensors."""

    def check(_declared: io.Input, name: str, value: Any) -> Any:
        inner = value.value if isinstance(value, WithTensors) else value
        if not isinstance(inner, kind) or isinstance(value, WithTensors) != (kind in (FaceTracks, SyncedFaces)):
            raise OptionError(f"{name} is {_describe(value)}; connect {source}")
        return value

    return check


def _describe(value: Any) -> str:
    """A value as a message may repeat it."""
    if value is None or isinstance(value, (str, bool, int, float)):
        text = (
            repr(value)
            if not isinstance(value, int) or abs(value) < 10**MAX_SHOWN_CHARACTERS
            else "a number without end"
        )
        return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[: MAX_SHOWN_CHARACTERS - 3]}..."
    return f"a {type(value).__name__}"


_CHECKS: dict[str, Callable[[Any, str, Any], Any]] = {  # by type of the socket or widget
    "INT": _check_int,
    "FLOAT": _check_float,
    "BOOLEAN": _check_bool,
    "COMBO": _check_combo,
    "STRING": _check_string,
    "AUDIO": _check_audio,
    "IMAGE": _check_image,
    "MASK": _check_mask,
    "VAE": _check_vae,
    Model.io_type: _socket_check(ManagedModel, "LatentSync Load Model"),
    Audio.io_type: _socket_check(AudioEmbedding, "LatentSync Embed Audio"),
    Faces.io_type: _socket_check(FaceTracks, "LatentSync Prepare Faces"),
    Trepa.io_type: _socket_check(SamplerOptions, "LatentSync TREPA Settings"),
    Lines.io_type: _socket_check(Dialogue, "LatentSync Dialogue Lines"),
    Synced.io_type: _socket_check(SyncedFaces, "LatentSync Face Sampler"),
}
